"""How many messages of a day were claimed, for each tenant and sender that has a quota."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_TAKE = text(
    """
    INSERT INTO daily_usage AS u (tenant_id, subject_id, day, used)
    VALUES (:tenant_id, :subject_id, :day, least(CAST(:want AS bigint), :quota))
    ON CONFLICT (subject_id, day) DO UPDATE SET used = greatest(u.used, least(u.used + :want, :quota))
    RETURNING new.used - coalesce(old.used, 0)
    """
)
_GIVE_BACK = text(
    "UPDATE daily_usage SET used = greatest(0, used - :count) WHERE subject_id = :subject_id AND day = :day"
)
_LOCK = text("SELECT FROM daily_usage WHERE subject_id = :subject_id AND day = :day FOR UPDATE")


async def take(session: AsyncSession, *, tenant_id: UUID, subject_id: UUID, day: date, quota: int, want: int) -> int:
    """Count up to `want` more messages, as many as the quota leaves; how many. The row stays locked until the commit,
    and with a rollback they were never counted."""
    values = {"tenant_id": tenant_id, "subject_id": subject_id, "day": day, "quota": quota, "want": want}
    return int((await session.execute(_TAKE, values)).scalar_one())


async def give_back(session: AsyncSession, subject_id: UUID, day: date, count: int) -> None:
    if count:
        await session.execute(_GIVE_BACK, {"subject_id": subject_id, "day": day, "count": count})


async def lock(session: AsyncSession, subject_ids: Sequence[UUID], day: date) -> None:
    """Before messages are locked: whoever claims takes them in this order too."""
    for subject_id in subject_ids:
        await session.execute(_LOCK, {"subject_id": subject_id, "day": day})
