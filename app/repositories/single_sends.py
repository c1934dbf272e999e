"""Single sends in the outbox: one message, or the messages it fell back to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.domain.status import Channel, MessageStatus
from app.models import Message
from app.repositories.outbox import CONSENT_JOINS, CONTACT_COLUMNS

_CONTACT = text(
    f"SELECT c.id AS contact_id, {CONTACT_COLUMNS} FROM contacts c {CONSENT_JOINS} WHERE c.id = :contact_id"
)
_LOCK = text("SELECT FROM messages WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")
_ROWS = text("SELECT id FROM messages WHERE id = ANY(:ids)")
_CLAIM = text(
    """
    UPDATE messages SET status = 'sending', claim_token = :claim_token, attempts = attempts + 1,
           unresolved_since = CASE status WHEN 'queued' THEN now() ELSE unresolved_since END,
           next_attempt_at = CASE status WHEN 'queued' THEN NULL ELSE now() END,
           frozen_json = CAST(:frozen AS jsonb), repeat_until = :repeat_until,
           settings_id = :settings_id, provider = :provider,
           address = :address, lang = :lang, template_name = :template_name,
           fallback_at = now() + CAST(:fallback_after AS interval),
           payload_json = payload_json || jsonb_build_object('sent', CAST(:sent AS jsonb))
    WHERE id = :id AND status = ANY(:sources) RETURNING attempts
    """
)
_FALL_BACK = text(
    """
    INSERT INTO messages (id, tenant_id, conversation_id, contact_id, channel, direction, type, purpose, template_id,
                          template_name, lang, payload_json, status, fallback_of, workflow_started_at, meta_json)
    SELECT :id, tenant_id, conversation_id, contact_id, :channel, 'out', type, purpose, template_id, template_name,
           lang, payload_json - 'sent', 'queued', id, now(), meta_json
    FROM messages WHERE id = :root_id
    ON CONFLICT (id) DO NOTHING
    """
)
_SETTLE = text(
    """
    UPDATE messages
    SET status = CAST(:status AS text), error_code = :code, error_detail = :detail, next_attempt_at = NULL,
        unresolved_since = CASE WHEN CAST(:status AS text) = 'unknown' THEN unresolved_since END
    WHERE id = :id AND status = ANY(:sources)
    """
)


async def lock(session: AsyncSession, message_id: UUID) -> list[Message]:
    """The message and those it fell back to, locked; the first one first."""
    values = {"ids": _family(message_id)}
    await session.execute(_LOCK, values)
    rows = await session.execute(_ROWS, values)
    found = [await session.get_one(Message, row[0], populate_existing=True) for row in rows]
    return sorted(found, key=lambda message: message.id != message_id)


def _family(message_id: UUID) -> list[UUID]:
    """Made from the channels instead of looked up: nothing is indexed by `fallback_of`."""
    return [message_id, *(ids.fallback_id(message_id, channel.value) for channel in Channel)]


async def contact(session: AsyncSession, contact_id: UUID) -> Row[Any]:
    """The contact with consents and suppressions, as the gate reads it."""
    return (await session.execute(_CONTACT, {"contact_id": contact_id})).one()


async def claim(
    session: AsyncSession,
    message_id: UUID,
    claim_token: UUID,
    *,
    sources: Sequence[MessageStatus],
    sent: dict[str, Any],
    frozen: dict[str, Any] | None,
    **columns: Any,
) -> int | None:
    """How often it was tried with this time, or None when another attempt has it. `sent` is the rendered content: a
    look-up at the provider finds the message by it."""
    values = {
        "id": message_id,
        "claim_token": claim_token,
        "sources": [source.value for source in sources],
        "sent": orjson.dumps(sent).decode(),
        "frozen": orjson.dumps(frozen).decode() if frozen else None,
        **columns,
    }
    attempts: int | None = (await session.execute(_CLAIM, values)).scalar()
    return attempts


async def fall_back(session: AsyncSession, root_id: UUID, message_id: UUID, channel: str) -> None:
    await session.execute(_FALL_BACK, {"id": message_id, "root_id": root_id, "channel": channel})


async def settle(
    session: AsyncSession,
    message_id: UUID,
    status: MessageStatus,
    sources: Sequence[MessageStatus],
    *,
    code: str = "",
    detail: str = "",
) -> None:
    values = {"id": message_id, "status": status.value, "code": code, "detail": detail}
    await session.execute(_SETTLE, {**values, "sources": [source.value for source in sources]})


def due(message: Message, now: datetime) -> bool:
    return message.next_attempt_at is None or message.next_attempt_at <= now
