"""What of a campaign stands still, and since when."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

# a stop ends a recipient wherever it stood
_HELD_RECIPIENTS = text(
    """
    SELECT reason, count(*) AS count, min(hold_until) AS until, min(updated_at) AS since FROM campaign_recipients
    WHERE campaign_id = :campaign_id AND (state = 'held' OR (state = 'pending' AND reason = 'sender_refused'))
      AND stopped_at IS NULL
    GROUP BY reason ORDER BY count(*) DESC, reason
    """
)
# who is held since waits for that, and not for the provider
_WAITING_MESSAGES = text(
    """
    SELECT status, error_code AS code, max(error_detail) AS detail, count(*) AS count,
           min(next_attempt_at) AS until, min(updated_at) AS since
    FROM messages m
    WHERE campaign_id = :campaign_id AND direction = 'out'
      AND ((status = 'queued' AND error_code <> '' AND NOT EXISTS (
                SELECT FROM campaign_recipients r WHERE r.campaign_id = m.campaign_id AND r.contact_id = m.contact_id
                  AND r.step = m.step AND r.state = 'held'))
           OR status = 'unknown')
    GROUP BY status, error_code ORDER BY count(*) DESC, error_code
    """
)
_BLOCKED_SENDERS = text(
    """
    SELECT c.id, c.channel, c.name, b.updated_at AS since, b.blocked_until AS until
    FROM rate_buckets b JOIN channel_settings c ON c.id = b.id
    WHERE b.tenant_id = :tenant_id AND b.blocked_until > now() AND c.is_active
    ORDER BY b.blocked_until DESC
    """
)

_OPEN_SEQUENCES = text(
    """
    SELECT EXISTS (SELECT FROM campaign_recipients
                   WHERE campaign_id = :campaign_id AND armed_at IS NOT NULL AND ended_at IS NULL)
    """
)
# WhatsApp's codes for a template that is missing, against the rules, paused or disabled
_FAILED_TEMPLATES = text(
    """
    SELECT template_name, payload_json ->> 'language' AS language, count(*) FROM messages
    WHERE campaign_id = :campaign_id AND channel = 'whatsapp' AND status = 'failed'
      AND template_name = ANY(:names) AND error_code IN ('132001', '132007', '132015', '132016')
    GROUP BY 1, 2
    """
)


async def held_recipients(session: AsyncSession, campaign_id: UUID) -> Sequence[Row[Any]]:
    """Recipients that wait, by the reason they wait for."""
    return (await session.execute(_HELD_RECIPIENTS, {"campaign_id": campaign_id})).all()


async def waiting_messages(session: AsyncSession, campaign_id: UUID) -> Sequence[Row[Any]]:
    """Messages to be tried again, or whose outcome is unknown, by what the provider said."""
    return (await session.execute(_WAITING_MESSAGES, {"campaign_id": campaign_id})).all()


async def blocked_senders(session: AsyncSession, tenant_id: UUID) -> Sequence[Row[Any]]:
    """Senders that pause because their provider said so."""
    return (await session.execute(_BLOCKED_SENDERS, {"tenant_id": tenant_id})).all()


async def has_open_sequences(session: AsyncSession, campaign_id: UUID) -> bool:
    """Whether follow-ups are armed that are not over."""
    return bool((await session.execute(_OPEN_SEQUENCES, {"campaign_id": campaign_id})).scalar_one())


async def failed_templates(
    session: AsyncSession, campaign_id: UUID, names: Sequence[str]
) -> dict[tuple[str, str], int]:
    """How many messages failed because of their template, by its name and language."""
    rows = await session.execute(_FAILED_TEMPLATES, {"campaign_id": campaign_id, "names": list(names)})
    return {(name, language or ""): count for name, language, count in rows}
