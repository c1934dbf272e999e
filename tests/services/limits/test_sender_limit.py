"""Several processes' limits of one sender, on one PostgreSQL. What each lets leave is noted as it leaves."""

import asyncio
from time import monotonic

import pytest
from sqlalchemy import text

from app.db import Sessions
from app.domain.permits import Window, window_of
from app.errors import ProviderUnavailable
from app.ids import new_id
from app.models import Tenant
from app.services.limits.sender_limit import SenderLimit


async def send(limit: SenderLimit, departures: list[float], *, takes: float = 0.01) -> None:
    permits = await limit.reserve(1, seconds=30)
    assert permits
    (permit,) = permits
    await permit.turn()
    departures.append(monotonic())
    await asyncio.sleep(takes)
    permit.answered()


def most_in(window: float, times: list[float]) -> int:
    return max(sum(begin <= at < begin + window for at in times) for begin in times)


async def shares(sessions: Sessions, limit: SenderLimit) -> dict[str, dict[str, int]]:
    async with sessions.begin(limit.tenant_id) as session:
        row = await session.execute(
            text("SELECT shares_json FROM rate_buckets WHERE id = :id"), {"id": limit.settings_id}
        )
        found: dict[str, dict[str, int]] = row.scalar_one()
        return found


class TestSenderLimit:
    async def test_several_together_keep_it(self, sessions: Sessions, tenant: Tenant) -> None:
        sender, departures = new_id(), list[float]()
        limits = [SenderLimit(sessions, tenant.id, sender, window_of(20)) for _ in range(3)]
        await asyncio.gather(*(send(limit, departures) for limit in limits for _ in range(15)))
        assert len(departures) == 45
        assert most_in(1.0, departures) <= 20
        for limit in limits:
            await limit.close()

    async def test_a_slow_answer_keeps_its_permit(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), window_of(2))
        departures = list[float]()
        await asyncio.gather(*(send(limit, departures, takes=1.0) for _ in range(4)))
        assert departures[2] - departures[0] >= 2.0
        await limit.close()

    async def test_less_than_one_a_second(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), window_of(0.5))
        departures = list[float]()
        await asyncio.gather(*(send(limit, departures) for _ in range(2)))
        assert departures[1] - departures[0] >= 2.0
        await limit.close()

    async def test_what_is_given_back_is_there_at_once(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), Window(1, 60))
        for _ in range(3):
            (permit,) = await limit.reserve(1, seconds=30)
            permit.give_back()
        await limit.close()

    async def test_a_block_lets_nothing_leave(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), window_of(100))
        (reserved,) = await limit.reserve(1, seconds=30)
        limit.block(60)
        with pytest.raises(ProviderUnavailable):
            await reserved.turn()
        assert await limit.reserve(1, seconds=30) == []
        reserved.give_back()
        await limit.close()

    async def test_urgent_ones_are_first(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), Window(1, 0.3))
        (first,) = await limit.reserve(1, seconds=30)
        order: list[str] = []

        async def wait(name: str, urgent: bool) -> None:
            (permit,) = await limit.reserve(1, seconds=30, urgent=urgent)
            order.append(name)
            permit.answered()

        waiting = [asyncio.create_task(wait("campaign", False)), asyncio.create_task(wait("urgent", True))]
        await asyncio.sleep(0)
        first.answered()
        await asyncio.gather(*waiting)
        assert order == ["urgent", "campaign"]
        await limit.close()

    async def test_closing_gives_back_what_nobody_uses(self, sessions: Sessions, tenant: Tenant) -> None:
        limit = SenderLimit(sessions, tenant.id, new_id(), window_of(50))
        (permit,) = await limit.reserve(1, seconds=30)
        permit.answered()
        assert len(await shares(sessions, limit)) == 1
        await limit.close()
        other = SenderLimit(sessions, tenant.id, limit.settings_id, window_of(50))
        assert len(await other.reserve(50, seconds=30)) >= 1
        await other.close()
