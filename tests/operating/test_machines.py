"""Two machines with an API and a worker each, on one engine and one database: either may die."""

from typing import Any

from app.domain.status import Channel
from app.settings import Settings
from tests.crash.processes import Stores
from tests.operating.machines import Machine, Site, site
from tests.world import CORE

CONTACTS = 1_000


async def assert_everybody_once_or_named(place: Site, path: str) -> None:
    """One message each by the simulator's ledger; whoever has none is named as unknown."""
    accepted = await place.world.accepted()
    assert set(accepted.values()) == {1}
    references = {reference for _, reference in accepted}
    await place.world.until(
        "SELECT count(*) FROM messages WHERE direction = 'out' AND status = 'delivered'", (len(references),)
    )
    unknown = await place.world.rows("SELECT id FROM messages WHERE status = 'unknown'")
    assert {str(row[0]) for row in unknown}.isdisjoint(references)
    assert len(references) + len(unknown) == CONTACTS
    counts = (await place.machines[-1].call("GET", path, 200))["counts"]
    assert (counts["delivered"], counts["unknown"], counts["queued"]) == (len(references), len(unknown), 0)


class TestOneMachineDies:
    async def test_the_other_goes_on_and_each_contact_gets_it_once(self, settings: Settings, stores: Stores) -> None:
        async with site(settings, stores, 2) as place:
            first, second = place.machines
            await place.world.add_senders([Channel.WHATSAPP], per_second=500)
            await place.world.add_contacts(CONTACTS)
            path = f"/v1/campaigns/{await place.make_campaign(first)}"
            await second.until(path, lambda it: it["counts"]["sent"] > 200)
            await first.kill("worker", "api")
            await second.until(path, lambda it: it["status"] == "done")
            await assert_everybody_once_or_named(place, path)
            reports = await place.world.rows("SELECT count(*), count(DISTINCT id) FROM webhook_events")
            assert reports[0][0] == reports[0][1] > 0
            await place.world.until("SELECT count(*) FROM webhook_events WHERE processed_at IS NULL", (0,))


async def send(machine: Machine, expected: int, body: dict[str, Any], key: dict[str, str]) -> dict[str, Any]:
    return await machine.call("POST", "/v1/messages/send", expected, json=body, headers=key)


class TestIdempotencyKeys:
    async def test_a_key_holds_on_every_machine(self, settings: Settings, stores: Stores) -> None:
        async with site(settings, stores, 2) as place:
            first, second = place.machines
            await place.world.add_senders([Channel.WHATSAPP])
            (contact,) = await place.world.add_contacts(1)
            key = {"Idempotency-Key": "order-17"}
            order = {
                "contact_id": str(contact.id),
                "channel": "whatsapp",
                "type": "template",
                "template_name": "receipt",
            }
            template = {"name": "receipt", "lang": "en", "core_schema": CORE}
            await first.call("POST", "/v1/templates", 201, json=template)
            sent = await send(first, 202, {**order, "variables": {"code": "17"}}, key)
            await first.kill()
            assert await send(second, 202, {**order, "variables": {"code": "17"}}, key) == sent
            await send(second, 409, {**order, "variables": {"code": "18"}}, key)
            await second.until(f"/v1/messages/{sent['message_id']}", lambda it: it["status"] == "delivered")
            assert list((await place.world.accepted()).values()) == [1]
