"""The inbox of provider reports: stored once, taken by one relay at a time, kept until they are processed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.status import Channel

# One JSON document for all rows: four times cheaper to send than an array per column. The clock runs on within the
# statement, so `created_at` keeps the order of arrival.
_ADD = """
    INSERT INTO webhook_events (id, tenant_id, settings_id, channel, provider, kind, event_json, payload_json,
                                occurred_at, created_at)
    SELECT id, tenant_id, settings_id, channel, provider, kind, event, payload, occurred_at, clock_timestamp()
    FROM json_to_recordset(CAST(%s AS json))
         AS r(id uuid, tenant_id uuid, settings_id uuid, channel text, provider text, kind text, event jsonb,
              payload jsonb, occurred_at timestamptz)
    ON CONFLICT (id) DO NOTHING
"""
# A kind that only a newer version knows is left to a worker of that version.
_TAKE = text(
    """
    SELECT id, tenant_id, settings_id, channel, provider, kind, CAST(event_json AS text) AS event, created_at,
           least(coalesce(occurred_at, created_at), created_at) AS at, attempts
    FROM webhook_events
    WHERE processed_at IS NULL AND next_attempt_at <= now() AND kind = ANY(:kinds) AND channel = ANY(:channels)
    ORDER BY next_attempt_at, created_at
    LIMIT :size FOR UPDATE SKIP LOCKED
    """
)
_DONE = text("UPDATE webhook_events SET processed_at = clock_timestamp(), error = '' WHERE id = ANY(:ids)")
_AGAIN = text(
    """
    UPDATE webhook_events e
    SET attempts = e.attempts + 1, error = r.error, next_attempt_at = now() + make_interval(secs => r.seconds)
    FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, error text, seconds float8)
    WHERE e.id = r.id
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """A report as it was stored; the fields that an event leaves empty are absent from `fields`."""

    id: UUID
    tenant_id: UUID
    settings_id: UUID
    channel: Channel
    provider: str
    kind: EventKind
    at: datetime  # when it happened, but never after it reached us
    received_at: datetime
    attempts: int
    fields: dict[str, Any]

    def text(self, name: str) -> str:
        return str(self.fields.get(name, ""))

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.fields.get("data", {})
        return data


@dataclass(frozen=True, kw_only=True, slots=True)
class Postponed:
    id: UUID
    error: str
    wait: timedelta


async def add(connection: AsyncConnection, rows: Sequence[bytes]) -> None:
    """Store rows, each a JSON object of the columns; those that are there already stay as they are.

    Straight on the driver: it happens thousands of times a second, and a session costs more than the statement.
    """
    await connection.execute(_ADD, [(b"[" + b",".join(rows) + b"]").decode()], prepare=True)


async def take(session: AsyncSession, size: int) -> list[StoredEvent]:
    """Lock the oldest events that are due and that no other relay holds, for as long as the transaction lasts."""
    rows = await session.execute(_TAKE, {"size": size, "kinds": list(EventKind), "channels": list(Channel)})
    return [
        StoredEvent(
            id=row.id,
            tenant_id=row.tenant_id,
            settings_id=row.settings_id,
            channel=Channel(row.channel),
            provider=row.provider,
            kind=EventKind(row.kind),
            at=row.at,
            received_at=row.created_at,
            attempts=row.attempts,
            fields=orjson.loads(row.event),
        )
        for row in rows
    ]


async def mark_processed(session: AsyncSession, ids: Sequence[UUID]) -> None:
    if ids:
        await session.execute(_DONE, {"ids": list(ids)})


async def postpone(session: AsyncSession, postponed: Sequence[Postponed]) -> None:
    """They stay pending, and are looked at again after their wait."""
    if postponed:
        rows = [{"id": item.id, "error": item.error, "seconds": item.wait.total_seconds()} for item in postponed]
        await session.execute(_AGAIN, {"rows": orjson.dumps(rows).decode()})
