"""Facts about contacts. Their ids are made from what they tell, so a fact told twice is kept once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import EventSource

_ADD = text(
    """
    INSERT INTO events (id, tenant_id, source, kind, contact_id, campaign_id, message_id, occurred_at, payload_json)
    SELECT id, :tenant_id, source, kind, contact_id, campaign_id, message_id, occurred_at, payload
    FROM json_to_recordset(CAST(:rows AS json))
         AS r(id uuid, source text, kind text, contact_id uuid, campaign_id uuid, message_id uuid,
              occurred_at timestamptz, payload jsonb)
    ON CONFLICT (id) DO NOTHING
    """
)
_KNOWN = text("SELECT id FROM events WHERE id = ANY(:ids) AND tenant_id = :tenant_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    id: UUID
    source: EventSource
    kind: str
    occurred_at: datetime
    contact_id: UUID | None = None
    campaign_id: UUID | None = None
    message_id: UUID | None = None
    payload: dict[str, Any] = field(default_factory=dict)


async def add(session: AsyncSession, tenant_id: UUID, facts: Sequence[Fact]) -> None:
    if facts:
        await session.execute(_ADD, {"rows": orjson.dumps(facts).decode(), "tenant_id": tenant_id})


async def known(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these facts are kept."""
    if not ids:
        return set()
    return set((await session.execute(_KNOWN, {"ids": list(ids), "tenant_id": tenant_id})).scalars())
