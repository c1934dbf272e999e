"""The one bulk statement that stops recipients, and the look-up of what was stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import StopReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """A contact's reason, at `at`, to be left alone by the campaigns it is in."""

    contact_id: UUID
    reason: StopReason
    at: datetime


# A recipient is in play while the campaign reached it lately or still has follow-ups for it; only then can a reply be
# one to this campaign. A minute of grace: `at` comes from the provider's clock and often has no fractions of a second.
_REACHED = """
    (r.armed_at IS NOT NULL AND r.ended_at IS NULL)
    OR EXISTS (
        SELECT FROM messages m
        WHERE m.campaign_id = r.campaign_id AND m.contact_id = r.contact_id AND m.direction = 'out'
          AND m.status NOT IN ('queued', 'skipped')
          AND m.created_at BETWEEN s.at - interval '7 days' AND s.at + interval '1 minute'
    )
"""
_WAITING = "(r.ended_at IS NULL AND r.state IN ('pending', 'held', 'queued'))"

# One row per contact at most, so that no recipient is updated twice in one statement.
_STOP = text(
    f"""
    WITH hits AS MATERIALIZED (
        SELECT r.id, s.reason, s.at,
               CASE s.reason
                   WHEN 'replied' THEN c.exit_on_json ? 'reply'
                   WHEN 'converted' THEN c.exit_on_json ? 'conversion'
                   ELSE true
               END AS stops
        FROM jsonb_to_recordset(CAST(:stops AS jsonb)) AS s(contact_id uuid, reason text, at timestamptz)
        JOIN campaign_recipients r ON r.contact_id = s.contact_id AND r.tenant_id = :tenant_id
        JOIN campaigns c ON c.id = r.campaign_id
        WHERE CASE s.reason
                  WHEN 'deleted' THEN true
                  WHEN 'replied' THEN c.status IN ('pending', 'running', 'paused', 'done') AND ({_REACHED})
                  WHEN 'opted_out' THEN c.status IN ('pending', 'running', 'paused', 'done')
                      AND c.purpose = 'marketing' AND ({_WAITING} OR {_REACHED})
                  ELSE c.status IN ('pending', 'running', 'paused', 'done') AND ({_WAITING} OR {_REACHED})
              END
        ORDER BY r.id
        FOR UPDATE OF r
    )
    UPDATE campaign_recipients r SET
        stop_reason = CASE WHEN h.stops THEN coalesce(r.stop_reason, h.reason) ELSE r.stop_reason END,
        stopped_at = CASE WHEN h.stops THEN coalesce(r.stopped_at, h.at) ELSE r.stopped_at END,
        replied_at = CASE WHEN h.reason = 'replied' THEN least(r.replied_at, h.at) ELSE r.replied_at END,
        converted_at = CASE WHEN h.reason = 'converted' THEN least(r.converted_at, h.at) ELSE r.converted_at END
    FROM hits h
    WHERE r.id = h.id
    RETURNING r.campaign_id, r.contact_id, r.stop_reason, r.stopped_at = h.at AND r.stop_reason = h.reason AS by_this,
              r.ended_at IS NULL AS may_run
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedSequence:
    """A recipient that is stopped and whose sequence may be running: signal it after the commit."""

    tenant_id: UUID
    campaign_id: UUID
    contact_id: UUID
    reason: StopReason


async def stop(session: AsyncSession, tenant_id: UUID, stops: Sequence[Stop]) -> list[StoppedSequence]:
    """Apply them, at most one per contact. The same stop again changes nothing and is answered with the same list."""
    if not stops:
        return []
    rows = [{"contact_id": stop.contact_id, "reason": stop.reason, "at": stop.at} for stop in stops]
    result = await session.execute(_STOP, {"stops": orjson.dumps(rows).decode(), "tenant_id": tenant_id})
    return [
        StoppedSequence(
            tenant_id=tenant_id,
            campaign_id=row.campaign_id,
            contact_id=row.contact_id,
            reason=StopReason(row.stop_reason),
        )
        for row in result
        if row.by_this and row.may_run
    ]
