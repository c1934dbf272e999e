"""Two worker processes on one sender keep its limits together. The simulator's count of what arrives is the judge."""

import signal
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from app.domain.status import CampaignStatus, Channel
from app.services import tenants
from app.settings import Settings
from tests.crash.processes import Product, Stores, product
from tests.world import World

PER_SECOND = 40
QUOTA = 200
# A claim comes at most so long before its message leaves, and the worker that was not answered must hear of it.
ALREADY_CLAIMED = 1.0


async def both_workers(relay: Product) -> None:
    await relay.start_worker()
    await relay.start_worker()


async def arrivals(relay: World, channel: Channel = Channel.WHATSAPP) -> tuple[int, list[float]]:
    """The most requests that arrived in any one second, and when each of them did."""
    account = relay.credentials[channel]["phone_number_id"]
    answer = await relay.http.get(f"{relay.simulator}/sandbox/arrivals", params={"account": account})
    found: dict[str, Any] = answer.json()
    return found["most_per_second"], found["times"]


def most_in_a_second(times: Sequence[float]) -> int:
    return max(sum(begin <= at < begin + 1 for at in times) for begin in times)


async def assert_each_once(relay: World, count: int) -> None:
    accepted = await relay.accepted()
    assert len(accepted) == count
    assert set(accepted.values()) == {1}


class TestMessagesPerSecond:
    async def test_no_second_ever_sees_more_than_the_limit(self, settings: Settings, stores: Stores) -> None:
        async with product(settings, stores) as place:
            relay = place.world
            await both_workers(place)
            await relay.add_senders([Channel.WHATSAPP], per_second=PER_SECOND)
            await relay.add_contacts(8 * PER_SECOND)
            campaign = await relay.launch(fallback_order_json=[])
            await relay.until_status(campaign, CampaignStatus.DONE)
            most, times = await arrivals(relay)
            assert len(times) == 8 * PER_SECOND
            assert most == most_in_a_second(times)
            assert most <= PER_SECOND
            await assert_each_once(relay, 8 * PER_SECOND)


class TestPause:
    async def test_after_a_429_nothing_leaves_before_its_time_and_nothing_is_lost(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with product(settings, stores) as place:
            relay = place.world
            await both_workers(place)
            await relay.add_senders([Channel.WHATSAPP], per_second=PER_SECOND)
            await relay.add_contacts(5 * PER_SECOND)
            campaign = await relay.launch(fallback_order_json=[])
            await relay.until_accepted(2 * PER_SECOND)
            await relay.faults({"kind": "throttle", "provider": "whatsapp_cloud", "next": 1, "retry_after": 4})
            await relay.until_status(campaign, CampaignStatus.DONE)
            _, times = await arrivals(relay)
            # what was claimed before the answer came still leaves; then it is still for the rest of the four seconds
            assert max(later - at for at, later in pairwise(times)) >= 4 - ALREADY_CLAIMED
            await assert_each_once(relay, 5 * PER_SECOND)


class TestPair:
    async def test_campaigns_and_single_messages_to_one_person_keep_the_providers_interval(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with product(settings, stores) as place:
            relay = place.world
            await both_workers(place)
            await relay.add_senders([Channel.WHATSAPP], seconds_per_recipient=None)
            await relay.behave(pair_burst=1, pair_seconds=6)  # as Meta documents it, and no burst on credit
            contacts = await relay.add_contacts(3)
            campaigns = [await relay.launch(fallback_order_json=[]) for _ in range(2)]
            singles = [await relay.send(contact) for contact in contacts]
            for campaign in campaigns:
                await relay.until_status(campaign, CampaignStatus.DONE)
            for message in singles:
                assert await relay.outcome(message) == "sent"
            stats = (await relay.http.get(f"{relay.simulator}/stats?summary=1")).json()
            assert stats["totals"]["whatsapp_cloud"]["rejected"] == {}
            await assert_each_once(relay, 9)
            held = await relay.rows("SELECT count(*) > 0 FROM decisions WHERE reason = 'pair_limit'")
            assert held == [(True,)]


class TestQuota:
    async def test_it_is_never_exceeded_though_both_workers_are_killed(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with product(settings, stores) as place:
            relay = place.world
            workers = [await place.start_worker(), await place.start_worker()]
            await relay.add_senders([Channel.WHATSAPP], per_second=100)
            await limit_tenant(relay, QUOTA)
            await relay.add_contacts(2 * QUOTA)
            campaign = await relay.launch(fallback_order_json=[])
            await relay.until_accepted(QUOTA // 3)
            for worker in workers:
                await worker.end(signal.SIGKILL)
            await both_workers(place)
            await relay.until(
                "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND state = 'held' "
                "AND reason = 'daily_quota'",
                (QUOTA,),
                id=campaign.id,
            )
            accepted = await relay.accepted()
            assert set(accepted.values()) == {1}
            used = await relay.rows("SELECT used FROM daily_usage WHERE subject_id = :id", id=relay.tenant.id)
            unknown = await relay.rows("SELECT count(*) FROM messages WHERE status = 'unknown'")
            assert used == [(QUOTA,)]
            assert len(accepted) + unknown[0][0] == QUOTA


async def limit_tenant(relay: World, per_day: int) -> None:
    async with relay.sessions.begin(relay.tenant.id) as session:
        await tenants.limit(session, relay.tenant.id, per_day=per_day)
