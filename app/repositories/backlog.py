"""Work that waits across tenants: starts the engine never heard of, and sends whose outcome nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import CampaignStatus

_CAMPAIGNS = text(
    """
    SELECT id, tenant_id, status FROM campaigns
    WHERE workflow_started_at IS NULL AND status <> 'draft' AND updated_at < now() - :age
    ORDER BY updated_at LIMIT :size
    """
)
_MESSAGES = text(
    """
    SELECT id, tenant_id FROM messages
    WHERE campaign_id IS NULL AND direction = 'out' AND workflow_started_at IS NULL AND created_at < now() - :age
    ORDER BY created_at LIMIT :size
    """
)
_IMPORTS = text(
    """
    SELECT id, tenant_id FROM imports
    WHERE workflow_started_at IS NULL AND status = 'pending' AND created_at < now() - :age
    ORDER BY created_at LIMIT :size
    """
)
_UNRESOLVED = text(
    """
    SELECT id, tenant_id, status FROM messages
    WHERE unresolved_since IS NOT NULL
      AND CASE WHEN status = 'sending' OR repeat_until > now()
               THEN coalesce(next_attempt_at, unresolved_since) < now() - :stale
               ELSE coalesce(next_attempt_at, unresolved_since + :first_look) <= now() END
    ORDER BY unresolved_since LIMIT :size
    """
)
_LATE = text("SELECT id, tenant_id FROM messages WHERE fallback_at <= now() ORDER BY fallback_at LIMIT :size")


@dataclass(frozen=True, slots=True)
class Waiting:
    tenant_id: UUID
    id: UUID


@dataclass(frozen=True, slots=True)
class WaitingCampaign:
    tenant_id: UUID
    id: UUID
    status: CampaignStatus


@dataclass(frozen=True, slots=True)
class Unresolved:
    tenant_id: UUID
    id: UUID
    status: str


async def campaigns(session: AsyncSession, age: timedelta, size: int) -> Sequence[WaitingCampaign]:
    """Campaigns whose last change of state the engine was not told of."""
    rows = await session.execute(_CAMPAIGNS, {"age": age, "size": size})
    return [WaitingCampaign(row.tenant_id, row.id, CampaignStatus(row.status)) for row in rows]


async def messages(session: AsyncSession, age: timedelta, size: int) -> Sequence[Waiting]:
    rows = await session.execute(_MESSAGES, {"age": age, "size": size})
    return [Waiting(row.tenant_id, row.id) for row in rows]


async def imports(session: AsyncSession, age: timedelta, size: int) -> Sequence[Waiting]:
    rows = await session.execute(_IMPORTS, {"age": age, "size": size})
    return [Waiting(row.tenant_id, row.id) for row in rows]


async def late(session: AsyncSession, size: int) -> Sequence[Waiting]:
    """Messages that should have been delivered by now, or else be followed by the next channel."""
    rows = await session.execute(_LATE, {"size": size})
    return [Waiting(row.tenant_id, row.id) for row in rows]


async def unresolved(
    session: AsyncSession, *, first_look: timedelta, stale: timedelta, size: int
) -> Sequence[Unresolved]:
    """Unknown sends whose next look is due, and claimed ones that nobody can still be sending; also those that whoever
    had to send them once more has left."""
    rows = await session.execute(_UNRESOLVED, {"first_look": first_look, "stale": stale, "size": size})
    return [Unresolved(row.tenant_id, row.id, row.status) for row in rows]


_STARTED = {
    table: text(f"UPDATE {table} SET workflow_started_at = now() WHERE id = :id AND workflow_started_at IS NULL")
    for table in ("campaigns", "messages", "imports")
}


async def mark_started(session: AsyncSession, table: str, id: UUID) -> None:
    """The engine has it: `table` is campaigns, messages or imports."""
    await session.execute(_STARTED[table], {"id": id})
