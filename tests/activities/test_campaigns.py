"""Attempts that the engine gave up on run on beside their successors: no row leaves twice and no answer is lost."""

import asyncio

from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from app.contracts.campaign import SendPage, SendPageResult
from tests.activities.conftest import Hands

SENDING = "SELECT count(*) > 0 FROM messages WHERE status = 'sending'"


async def statuses(hands: Hands) -> dict[str, int]:
    rows = await hands.world.rows("SELECT status, count(*) FROM messages GROUP BY 1")
    return {row[0]: row[1] for row in rows}


def attempt(
    hands: Hands, page: SendPage, environment: ActivityEnvironment | None = None
) -> "asyncio.Task[SendPageResult]":
    return asyncio.ensure_future((environment or ActivityEnvironment()).run(hands.campaigns.send_page, page))


class TestSendPage:
    async def test_three_attempts_at_once_send_each_row_once(self, hands: Hands) -> None:
        await hands.world.add_contacts(300)
        page = await hands.frozen_page(await hands.world.make_campaign())
        await asyncio.gather(*(attempt(hands, page) for _ in range(3)))
        accepted = await hands.world.accepted()
        assert len(accepted) == 300
        assert set(accepted.values()) == {1}
        assert await statuses(hands) == {"sent": 300}

    async def test_repeated_after_its_end_it_sends_nothing(self, hands: Hands) -> None:
        await hands.world.add_contacts(20)
        page = await hands.frozen_page(await hands.world.make_campaign())
        assert (await attempt(hands, page)).sent == 20
        assert (await attempt(hands, page)).sent == 0
        assert set((await hands.world.accepted()).values()) == {1}

    async def test_a_late_answer_lands_though_a_successor_called_it_unknown(self, hands: Hands) -> None:
        await hands.world.behave(latency_ms=2_000)
        await hands.world.add_contacts(50)
        page = await hands.frozen_page(await hands.world.make_campaign())
        first = attempt(hands, page)
        await hands.world.until(SENDING, (True,))
        second = attempt(hands, page)
        await hands.world.until("SELECT count(*) FROM messages WHERE status = 'unknown'", (50,))
        assert (await first).sent == 50
        assert (await second).sent == 0
        assert await statuses(hands) == {"sent": 50}
        assert set((await hands.world.accepted()).values()) == {1}

    async def test_a_cancelled_attempt_still_records_what_was_in_flight(self, hands: Hands) -> None:
        await hands.world.behave(latency_ms=1_000)
        await hands.world.add_contacts(150)
        page = await hands.frozen_page(await hands.world.make_campaign())
        environment = ActivityEnvironment()
        first = attempt(hands, page, environment)
        await hands.world.until(SENDING, (True,))
        environment.cancel()
        await asyncio.wait([first])
        assert first.cancelled() or isinstance(first.exception(), CancelledError)
        assert await statuses(hands) == {"sent": 100}
        await hands.world.behave(latency_ms=0)
        assert (await attempt(hands, page)).sent == 50
        assert await statuses(hands) == {"sent": 150}
        assert set((await hands.world.accepted()).values()) == {1}
