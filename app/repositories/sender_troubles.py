"""Senders that their provider refuses: an expired token, an account that was locked. They wait for the mend."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# While it lasts, one message this often finds out whether the sender was mended; nothing else is handed to it.
PROBE_EVERY = timedelta(seconds=15)

_NOTE = text(
    """
    INSERT INTO sender_troubles (id, tenant_id, code, detail, probe_at)
    VALUES (:id, :tenant_id, :code, :detail, clock_timestamp() + :pause)
    ON CONFLICT (id) DO UPDATE SET code = excluded.code, detail = excluded.detail, probe_at = excluded.probe_at
    RETURNING created_at, probe_at
    """
)
_OPEN = text(
    """
    SELECT t.id, c.channel, c.name, t.code, t.detail, t.created_at AS since, t.probe_at
    FROM sender_troubles t JOIN channel_settings c ON c.id = t.id
    WHERE t.tenant_id = :tenant_id
    """
)
_PROBE = text(
    "UPDATE sender_troubles SET probe_at = clock_timestamp() + :pause "
    "WHERE id = :id AND probe_at <= clock_timestamp() RETURNING id"
)
_TRY_AT = text("UPDATE sender_troubles SET probe_at = clock_timestamp() + :pause WHERE id = :id")
_CLEAR = text("DELETE FROM sender_troubles WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the provider said, in its own words, since when, and when one message tries again."""

    id: UUID
    channel: str
    name: str
    code: str
    detail: str
    since: datetime
    probe_at: datetime


async def note(session: AsyncSession, *, tenant_id: UUID, settings_id: UUID, code: str, detail: str) -> None:
    values = {"id": settings_id, "tenant_id": tenant_id, "code": code, "detail": detail, "pause": PROBE_EVERY}
    await session.execute(_NOTE, values)


async def still_open(session: AsyncSession, tenant_id: UUID) -> dict[UUID, Trouble]:
    """By the channel setting's id."""
    rows = await session.execute(_OPEN, {"tenant_id": tenant_id})
    return {row.id: Trouble(*row) for row in rows}


async def may_probe(session: AsyncSession, settings_id: UUID) -> bool:
    """Whether the caller may try the sender with one message now; of all who ask, one."""
    return (await session.execute(_PROBE, {"id": settings_id, "pause": PROBE_EVERY})).first() is not None


async def try_in(session: AsyncSession, settings_id: UUID, pause: timedelta) -> None:
    """It may have been mended: find out after `pause`."""
    await session.execute(_TRY_AT, {"id": settings_id, "pause": pause})


async def clear(session: AsyncSession, settings_ids: Sequence[UUID]) -> None:
    """It works again."""
    await session.execute(_CLEAR, {"ids": list(settings_ids)})
