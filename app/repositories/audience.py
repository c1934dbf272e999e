"""A campaign's frozen audience: who is in it, whose follow-ups are armed, whose have ended."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.gate import STOPPED
from app.domain.segment import Segment
from app.domain.status import StopReason
from app.models import Contact
from app.repositories import segments

_FREEZE = text(
    """
    INSERT INTO campaign_recipients (tenant_id, campaign_id, contact_id)
    SELECT :tenant_id, :campaign_id, v.id FROM unnest(CAST(:contact_ids AS uuid[])) AS v(id)
    ON CONFLICT (campaign_id, contact_id) DO NOTHING
    """
)
_UNARMED_OF_PAGE = text(
    """
    SELECT contact_id FROM campaign_recipients
    WHERE campaign_id = :campaign_id AND contact_id > :after AND (CAST(:last AS uuid) IS NULL OR contact_id <= :last)
      AND state IN ('queued', 'sent') AND stopped_at IS NULL AND armed_at IS NULL
    ORDER BY contact_id LIMIT :size
    """
)
_MARK_ARMED = text(
    "UPDATE campaign_recipients SET armed_at = now() "
    "WHERE campaign_id = :campaign_id AND contact_id = ANY(:contact_ids) AND armed_at IS NULL"
)
# A failed delivery, or a late one, may have started one before its page was armed, or again after it had ended.
_OPEN_SEQUENCES = text(
    """
    SELECT r.contact_id FROM campaign_recipients r
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM messages m WHERE m.campaign_id = r.campaign_id AND m.contact_id = r.contact_id
                       AND m.direction = 'out' AND (m.status = 'failed' OR m.superseded_at IS NOT NULL)) AS woken
    ) w
    WHERE r.campaign_id = :campaign_id AND r.contact_id > :after
      AND ((r.ended_at IS NULL AND (r.armed_at IS NOT NULL OR r.step > 0 OR w.woken))
           OR (r.state IN ('pending', 'held', 'queued') AND w.woken))
    ORDER BY r.contact_id LIMIT :size
    """
)
_HELD_BY_PAUSE = text(
    """
    SELECT contact_id FROM campaign_recipients
    WHERE campaign_id = :campaign_id AND contact_id > :after AND state = 'held' AND reason = 'campaign_paused'
    ORDER BY contact_id LIMIT :size
    """
)
_MARK_ENDED = text(
    """
    UPDATE campaign_recipients
    SET ended_at = coalesce(ended_at, now()), stopped_at = CASE WHEN :reason = '' THEN stopped_at
            ELSE coalesce(stopped_at, now()) END,
        stop_reason = CASE WHEN :reason = '' THEN stop_reason ELSE coalesce(stop_reason, :reason) END,
        -- a step that was held or to be tried again is not sent any more, and nobody else will decide it
        state = CASE WHEN :reason <> '' AND state IN ('held', 'pending') THEN 'skipped' ELSE state END,
        reason = CASE WHEN :reason <> '' AND state IN ('held', 'pending') THEN :word ELSE reason END,
        hold_until = CASE WHEN :reason <> '' AND state IN ('held', 'pending') THEN NULL ELSE hold_until END
    WHERE campaign_id = :campaign_id AND contact_id = ANY(:contact_ids)
    """
)
_WITHDRAW = text(
    """
    UPDATE messages SET status = 'skipped', error_code = :word, next_attempt_at = NULL, unresolved_since = NULL
    WHERE campaign_id = :campaign_id AND contact_id = ANY(:contact_ids) AND direction = 'out' AND status = 'queued'
    """
)
_ANY = text("SELECT 1 FROM campaign_recipients WHERE campaign_id = :campaign_id LIMIT 1")
BEGINNING = UUID(int=0)


async def freeze(
    session: AsyncSession,
    *,
    tenant_id: UUID,
    campaign_id: UUID,
    segment: Segment,
    after: UUID | None,
    size: int,
    launched_at: datetime,
    now: datetime,
) -> list[UUID]:
    """Add the next `size` contacts of the segment, in the order of their ids; the ids, also when they were there.

    Contacts made after the launch are not part of it, so an import that runs beside doesn't stretch the audience.
    """
    chosen = (
        select(col(Contact.id))
        .where(
            col(Contact.id) > (after or BEGINNING),
            col(Contact.deleted_at).is_(None),
            col(Contact.created_at) <= launched_at,
            segments.where(segment, now),
        )
        .order_by(col(Contact.id))
        .limit(size)
    )
    contact_ids = list((await session.execute(chosen)).scalars())
    if contact_ids:
        values = {"tenant_id": tenant_id, "campaign_id": campaign_id, "contact_ids": contact_ids}
        await session.execute(_FREEZE, values)
    return contact_ids


async def unarmed(
    session: AsyncSession, campaign_id: UUID, after: UUID | None, last: UUID | None, size: int
) -> Sequence[UUID]:
    """Recipients still in play whose follow-ups are not armed yet."""
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "last": last, "size": size}
    return (await session.execute(_UNARMED_OF_PAGE, values)).scalars().all()


async def mark_armed(session: AsyncSession, campaign_id: UUID, contact_ids: Sequence[UUID]) -> None:
    await session.execute(_MARK_ARMED, {"campaign_id": campaign_id, "contact_ids": list(contact_ids)})


async def open_sequences(session: AsyncSession, campaign_id: UUID, after: UUID | None, size: int) -> Sequence[UUID]:
    """Recipients whose sequence may still run."""
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "size": size}
    return (await session.execute(_OPEN_SEQUENCES, values)).scalars().all()


async def held_by_pause(session: AsyncSession, campaign_id: UUID, after: UUID | None, size: int) -> Sequence[UUID]:
    values = {"campaign_id": campaign_id, "after": after or BEGINNING, "size": size}
    return (await session.execute(_HELD_BY_PAUSE, values)).scalars().all()


async def mark_ended(session: AsyncSession, campaign_id: UUID, contact_ids: Sequence[UUID], reason: str = "") -> None:
    """Their sequences are over; with a `reason` (a StopReason) they were stopped before their last step, and what
    waits for another try is withdrawn."""
    word = STOPPED[StopReason(reason)] if reason else ""
    values = {"campaign_id": campaign_id, "contact_ids": list(contact_ids), "reason": reason, "word": word}
    await session.execute(_MARK_ENDED, values)
    if reason:
        await session.execute(_WITHDRAW, values)


async def is_empty(session: AsyncSession, campaign_id: UUID) -> bool:
    found = await session.execute(_ANY, {"campaign_id": campaign_id})
    return found.first() is None
