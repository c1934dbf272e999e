"""A pause is exact: whatever dies and however long it lasts, nothing leaves, and afterwards each leaves once.

The simulator's own ledger is the judge, by recipient and reference.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.status import Channel
from app.settings import Settings
from tests.crash.processes import Stores
from tests.operating.machines import Machine, Site, site
from tests.world import WAIT_SECONDS

CONTACTS = 120
DAY = 5  # seconds
NIGHT_SECONDS = 95  # the longest that `quiet_until_soon` makes


async def per_step(place: Site) -> dict[int, Counter[int]]:
    """For each step: how many messages the simulator accepted once, twice …"""
    accepted = {reference: count for (_, reference), count in (await place.world.accepted()).items()}
    rows = await place.world.rows("SELECT id, step FROM messages WHERE direction = 'out'")
    found: dict[int, Counter[int]] = {}
    for id, step in rows:
        if str(id) in accepted:
            found.setdefault(step, Counter())[accepted[str(id)]] += 1
    return found


async def pause_in_the_middle(place: Site, machine: Machine, path: str, step: int) -> int:
    """Pause once some of the step are out, and wait until what was in flight is; how many the provider has."""
    at_least = "SELECT count(*) >= 25 FROM messages WHERE step = :step AND sent_at IS NOT NULL"
    await place.world.until(at_least, (True,), step=step)
    assert (await machine.call("POST", f"{path}/pause", 202))["status"] == "paused"
    await place.world.until("SELECT count(*) FROM messages WHERE status = 'sending'", (0,))
    await place.world.settle()
    return len(await place.world.accepted())


async def away_for_a_day(place: Site) -> None:
    await place.kill_all()
    await asyncio.sleep(DAY + 1)
    await place.start_all()


async def steps_are_apart(place: Site, days: float) -> bool:
    """Whether nobody got a follow-up much sooner after the message before it than it was planned."""
    rows = await place.world.rows(
        "SELECT min(later.sent_at - earlier.sent_at) FROM messages later "
        "JOIN messages earlier ON earlier.contact_id = later.contact_id AND earlier.step = later.step - 1"
    )
    return bool(rows[0][0] > timedelta(seconds=DAY * days / 2))


class TestEverythingDiesDuringPauses:
    async def test_each_contact_gets_each_step_once(self, settings: Settings, stores: Stores) -> None:
        async with site(settings, stores, 1, day_seconds=DAY, followup_jitter_seconds=0) as place:
            (machine,) = place.machines
            await place.world.add_senders([Channel.WHATSAPP], per_second=40)
            await place.world.add_contacts(CONTACTS)
            path = f"/v1/campaigns/{await place.make_campaign(machine, followups=[1, 2])}"

            launched = await pause_in_the_middle(place, machine, path, step=0)
            assert launched < CONTACTS
            await away_for_a_day(place)
            paused = await machine.call("GET", path, 200)
            assert [item["reason"] for item in paused["waiting"]] == ["paused"]
            await place.world.settle()
            assert len(await place.world.accepted()) == launched
            await machine.call("POST", f"{path}/resume", 202)

            followed = await pause_in_the_middle(place, machine, path, step=1)
            await away_for_a_day(place)
            await place.world.settle()
            assert len(await place.world.accepted()) == followed < 3 * CONTACTS
            await machine.call("POST", f"{path}/resume", 202)
            done = await machine.until(path, lambda it: it["status"] == "done" and it["counts"]["active"] == 0)
            assert await per_step(place) == {step: Counter({1: CONTACTS}) for step in (0, 1, 2)}
            assert done["counts"]["unknown"] == done["counts"]["held"] == 0
            assert await steps_are_apart(place, days=1)


class TestQuietHours:
    async def test_the_morning_comes_while_everything_is_down_and_each_gets_it_once(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with site(settings, stores, 1) as place:
            (machine,) = place.machines
            await place.world.add_senders([Channel.WHATSAPP, Channel.SMS])
            contacts = await place.world.add_contacts(40, timezone="Africa/Abidjan")
            await place.world.script(contacts[0], Channel.WHATSAPP, "not_on_whatsapp")
            night = quiet_until_soon()
            campaign = await place.make_campaign(machine, quiet_hours=night, fallback_order=["sms"])
            path = f"/v1/campaigns/{campaign}"
            held = await machine.until(path, lambda it: it["counts"]["held"] == 40)
            (waiting,) = held["waiting"]
            assert (waiting["reason"], waiting["count"]) == ("quiet_hours", 40)
            assert waiting["until"][11:16] == night["end"]
            await machine.call("POST", f"{path}/pause", 202)
            await place.kill_all()
            await place.start_all()
            await machine.call("POST", f"{path}/resume", 202)
            assert await place.world.accepted() == {}
            # some are refused for now, and one for good: in the morning too, another try and another channel
            await place.world.faults(
                {"kind": "error", "provider": "whatsapp_cloud", "next": 5, "status": 503, "code": 131016}
            )
            await machine.until(path, lambda it: it["status"] == "done", seconds=NIGHT_SECONDS + WAIT_SECONDS)
            accepted = await place.world.accepted()
            assert set(accepted.values()) == {1}
            assert {recipient for recipient, _ in accepted} == {contact.phone for contact in contacts}
            early = await place.world.rows("SELECT count(*) FROM messages WHERE sent_at < :end", end=morning(night))
            assert early == [(0,)]


def quiet_until_soon() -> dict[str, str]:
    """Quiet hours that are on now and end with the next minute, or with the one after if that is too close."""
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if end - datetime.now(UTC) < timedelta(seconds=NIGHT_SECONDS - 60):
        end += timedelta(minutes=1)
    return {"start": (end - timedelta(hours=9)).strftime("%H:%M"), "end": end.strftime("%H:%M")}


def morning(night: dict[str, str]) -> datetime:
    hour, minute = map(int, night["end"].split(":"))
    end = datetime.now(ZoneInfo("Africa/Abidjan")).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return end
