"""The token bucket that all workers of one sender share."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The bucket's size and its refill together are the sender's limit, so no window of one second ever holds more.
BURST_SHARE = 0.05

_BLOCKED = text(
    "SELECT extract(epoch FROM blocked_until - clock_timestamp())::float FROM rate_buckets "
    "WHERE id = :id AND blocked_until > clock_timestamp()"
)
_CREATE = text(
    "INSERT INTO rate_buckets (id, tenant_id, tokens, refilled_at) VALUES (:id, :tenant_id, 0, clock_timestamp()) "
    "ON CONFLICT (id) DO NOTHING"
)
_LEASE = text(
    """
    WITH locked AS (
        SELECT id, least(:burst, tokens + :refill * extract(epoch FROM clock_timestamp() - refilled_at)) AS level,
               coalesce(blocked_until > clock_timestamp(), false) AS blocked,
               extract(epoch FROM blocked_until - clock_timestamp())::float AS blocked_for
        FROM rate_buckets WHERE id = :id FOR UPDATE
    ), granted AS (
        SELECT id, level, blocked, blocked_for,
               CASE WHEN blocked THEN 0 ELSE least(:want, floor(level + 1e-9)) END AS count FROM locked
    )
    UPDATE rate_buckets b SET tokens = g.level - g.count, refilled_at = clock_timestamp()
    FROM granted g WHERE b.id = g.id
    RETURNING g.count::int, CASE WHEN g.blocked THEN g.blocked_for
                                 ELSE greatest(0, (1 - (g.level - g.count)) / :refill) END::float
    """
)
_BLOCK = text(
    """
    INSERT INTO rate_buckets (id, tenant_id, tokens, refilled_at, blocked_until)
    VALUES (:id, :tenant_id, 0, clock_timestamp(), clock_timestamp() + :length)
    ON CONFLICT (id) DO UPDATE
    SET blocked_until = greatest(rate_buckets.blocked_until, excluded.blocked_until), tokens = 0
    """
)


@dataclass(frozen=True, slots=True)
class Lease:
    """`granted` messages may leave now; after `wait` there is room for the next."""

    granted: int
    wait: timedelta


def burst(per_second: float) -> int:
    """How many messages one lease gives at most."""
    return max(1, int(per_second * BURST_SHARE))


async def lease(
    session: AsyncSession, *, tenant_id: UUID, settings_id: UUID, per_second: float | None, want: int
) -> Lease:
    """Take up to `want` tokens of the sender. Without a limit only a block (after a 429) holds them back."""
    if per_second is None:
        blocked_for = (await session.execute(_BLOCKED, {"id": settings_id})).scalar()
        return Lease(0, timedelta(seconds=blocked_for)) if blocked_for else Lease(want, timedelta(0))
    size = burst(per_second)
    refill = max(per_second - size, per_second / 2)
    values = {"id": settings_id, "burst": float(size), "refill": refill, "want": want}
    row = (await session.execute(_LEASE, values)).first()
    if row is None:
        await session.execute(_CREATE, {"id": settings_id, "tenant_id": tenant_id})
        row = (await session.execute(_LEASE, values)).one()
    return Lease(row[0], timedelta(seconds=row[1]))


async def block(session: AsyncSession, *, tenant_id: UUID, settings_id: UUID, length: timedelta) -> None:
    """Slow the whole sender: nothing leaves before `length` is over."""
    await session.execute(_BLOCK, {"id": settings_id, "tenant_id": tenant_id, "length": length})
