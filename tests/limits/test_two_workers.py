"""Two worker processes on one sender keep its limits together. The simulator's count of what arrives is the judge."""

from collections.abc import Sequence
from typing import Any

from app.domain.status import CampaignStatus, Channel
from app.settings import Settings
from tests.crash.processes import Product, Stores, product
from tests.world import World

PER_SECOND = 40


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
