"""What providers report about messages we sent, in bulk."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel, MessageStatus

_COLUMNS = """
    SELECT m.id, m.fallback_of, m.contact_id, m.campaign_id, m.step, m.channel, m.status, m.address,
           m.provider_message_id, m.sent_at, m.delivered_at, m.read_at, m.clicked_at
    FROM messages m
"""
# Locked in the order of their ids, so that two relays with reports on the same messages do not wait for each other.
_BY_ID = text(
    f"{_COLUMNS} WHERE m.id = ANY(:ids) AND m.tenant_id = :tenant_id AND m.direction = 'out' ORDER BY m.id FOR UPDATE"
)
_BY_PROVIDER_ID = text(
    f"{_COLUMNS} WHERE m.provider_message_id = ANY(:ids) AND m.provider_message_id <> '' "
    "AND m.tenant_id = :tenant_id AND m.direction = 'out' ORDER BY m.id FOR UPDATE"
)
# `was` is what the new status was worked out from; the row is locked since.
_APPLY = text(
    """
    UPDATE messages m SET
        status = r.status,
        provider_message_id = CASE WHEN m.provider_message_id = '' THEN r.provider_message_id
                                   ELSE m.provider_message_id END,
        sent_at = coalesce(m.sent_at, r.sent_at),
        delivered_at = least(m.delivered_at, r.delivered_at),
        read_at = least(m.read_at, r.read_at),
        clicked_at = least(m.clicked_at, r.clicked_at),
        failed_at = CASE WHEN r.status = r.was THEN m.failed_at ELSE r.failed_at END,
        error_code = CASE WHEN r.status = r.was THEN m.error_code ELSE r.error_code END,
        error_detail = CASE WHEN r.status = r.was THEN m.error_detail ELSE r.error_detail END,
        next_attempt_at = CASE WHEN r.status = r.was THEN m.next_attempt_at END,
        unresolved_since = CASE WHEN r.status IN ('sending', 'unknown') THEN m.unresolved_since END,
        frozen_json = CASE WHEN r.status IN ('queued', 'sending', 'unknown') THEN m.frozen_json END,
        repeat_until = CASE WHEN r.status IN ('queued', 'sending', 'unknown') THEN m.repeat_until END,
        fallback_at = CASE WHEN r.status IN ('queued', 'sending', 'unknown', 'sent') THEN m.fallback_at END
    FROM json_to_recordset(CAST(:rows AS json))
         AS r(id uuid, was text, status text, provider_message_id text, sent_at timestamptz, delivered_at timestamptz,
              read_at timestamptz, clicked_at timestamptz, failed_at timestamptz, error_code text, error_detail text)
    WHERE m.id = r.id AND m.status = r.was
    """
)
_RECIPIENTS_SENT = text(
    """
    UPDATE campaign_recipients r SET state = 'sent'
    FROM messages m
    WHERE m.id = ANY(:ids) AND r.campaign_id = m.campaign_id AND r.contact_id = m.contact_id AND r.step = m.step
      AND r.state = 'queued'
    """
)
_WRITTEN_TO = text(
    """
    UPDATE conversations v SET last_outbound_at = greatest(v.last_outbound_at, m.sent_at)
    FROM (SELECT contact_id, max(sent_at) AS sent_at FROM messages WHERE id = ANY(:ids) GROUP BY contact_id) m
    WHERE v.id = m.contact_id
    """
)
# Nothing more will be tried for a recipient that is stopped; the others are left to their sequences.
_RECIPIENTS_FAILED = text(
    """
    UPDATE campaign_recipients r SET state = 'failed', reason = m.error_code
    FROM messages m
    WHERE m.id = ANY(:ids) AND r.campaign_id = m.campaign_id AND r.contact_id = m.contact_id AND r.step = m.step
      AND r.stopped_at IS NOT NULL AND r.state IN ('queued', 'sent')
    """
)
_IN_PLAY = text(
    """
    SELECT m.id
    FROM messages m
    JOIN campaign_recipients r ON r.campaign_id = m.campaign_id AND r.contact_id = m.contact_id
    JOIN campaigns c ON c.id = m.campaign_id
    WHERE m.id = ANY(:ids) AND m.tenant_id = :tenant_id AND r.stopped_at IS NULL AND c.launched_at IS NOT NULL
      AND c.status NOT IN ('cancelled', 'failed')
    """
)
# Only what was surely accepted makes room for the next channel: an unknown send is never sent twice, so it is looked at
# again, the older the less often, as is what still waits to leave. Until whoever has to act was told, so is everything.
_SUPERSEDE = text(
    """
    UPDATE messages SET
        superseded_at = CASE WHEN status = 'sent' THEN coalesce(superseded_at, now()) ELSE superseded_at END,
        fallback_at = CASE WHEN status = 'sent' THEN now() + interval '1 minute'
                           WHEN status IN ('queued', 'sending', 'unknown')
                           THEN now() + least(greatest(now() - coalesce(unresolved_since, created_at),
                                                       interval '1 minute'), interval '1 hour') END
    WHERE id IN (SELECT id FROM messages WHERE id = ANY(:ids) AND fallback_at <= now() ORDER BY id
                 FOR NO KEY UPDATE SKIP LOCKED)
      AND tenant_id = :tenant_id
    RETURNING id, fallback_of, contact_id, campaign_id, step, status
    """
)
_TOLD = text("UPDATE messages SET fallback_at = NULL WHERE id = ANY(:ids) AND superseded_at IS NOT NULL")


@dataclass(frozen=True, kw_only=True, slots=True)
class Late:
    """An accepted message that was not delivered in time."""

    id: UUID
    fallback_of: UUID | None
    contact_id: UUID
    campaign_id: UUID | None
    step: int

    @property
    def root_id(self) -> UUID:
        return self.fallback_of or self.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A message of ours as it stands, locked."""

    id: UUID
    fallback_of: UUID | None
    contact_id: UUID
    campaign_id: UUID | None
    step: int
    channel: Channel
    status: MessageStatus
    address: str
    provider_message_id: str
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None

    @property
    def root_id(self) -> UUID:
        """The single send it belongs to: the message that it is, or that fell back to it."""
        return self.fallback_of or self.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What reports make of a message. A time that is set already stays, unless the reported one is earlier."""

    id: UUID
    was: MessageStatus
    status: MessageStatus
    provider_message_id: str
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    failed_at: datetime | None
    error_code: str
    error_detail: str


async def lock_by_id(session: AsyncSession, tenant_id: UUID, ids: Collection[UUID]) -> list[Sent]:
    return await _lock(session, tenant_id, _BY_ID, list(ids))


async def lock_by_provider_id(session: AsyncSession, tenant_id: UUID, ids: Collection[str]) -> list[Sent]:
    return await _lock(session, tenant_id, _BY_PROVIDER_ID, list(ids))


async def _lock(
    session: AsyncSession, tenant_id: UUID, query: object, ids: Sequence[UUID] | Sequence[str]
) -> list[Sent]:
    if not ids:
        return []
    rows = await session.execute(query, {"ids": ids, "tenant_id": tenant_id})  # type: ignore[call-overload]
    return [
        Sent(
            id=row.id,
            fallback_of=row.fallback_of,
            contact_id=row.contact_id,
            campaign_id=row.campaign_id,
            step=row.step,
            channel=Channel(row.channel),
            status=MessageStatus(row.status),
            address=row.address,
            provider_message_id=row.provider_message_id,
            sent_at=row.sent_at,
            delivered_at=row.delivered_at,
            read_at=row.read_at,
            clicked_at=row.clicked_at,
        )
        for row in rows
    ]


async def apply(session: AsyncSession, changes: Sequence[Change]) -> None:
    if changes:
        await session.execute(_APPLY, {"rows": orjson.dumps(changes).decode()})


async def mark_accepted(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Messages whose acceptance was only proven by a report: what the sender would have recorded with its answer."""
    if ids:
        await session.execute(_RECIPIENTS_SENT, {"ids": list(ids)})
        await session.execute(_WRITTEN_TO, {"ids": list(ids)})


async def supersede(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> list[Late]:
    """Of these, which were accepted and not delivered in time: the next channel has its turn now."""
    rows = await session.execute(_SUPERSEDE, {"ids": list(ids), "tenant_id": tenant_id})
    return [
        Late(
            id=row.id,
            fallback_of=row.fallback_of,
            contact_id=row.contact_id,
            campaign_id=row.campaign_id,
            step=row.step,
        )
        for row in rows
        if row.status == MessageStatus.SENT
    ]


async def mark_superseded_told(session: AsyncSession, ids: Sequence[UUID]) -> None:
    """Whoever has to try the next channel knows; these need not be looked at again."""
    if ids:
        await session.execute(_TOLD, {"ids": sorted(ids)})


async def to_wake(session: AsyncSession, tenant_id: UUID, failed: Sequence[UUID]) -> set[UUID]:
    """Which of these failed campaign messages call for another channel; recipients that are stopped end here."""
    if not failed:
        return set()
    await session.execute(_RECIPIENTS_FAILED, {"ids": list(failed)})
    return await in_play(session, tenant_id, failed)


async def in_play(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these campaign messages are to recipients for whom something may still be tried."""
    rows = await session.execute(_IN_PLAY, {"ids": list(ids), "tenant_id": tenant_id})
    return set(rows.scalars())
