"""What counts for the frequency caps of contacts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.frequency import Sent
from app.domain.status import Channel

# Whoever counts for a contact does it one after the other, until its claim is committed: two campaigns at once see each
# other. Not the row of the conversation: claims lock that one last, after their quotas.
_TAKE_TURNS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('frequency of ' || id, 0)) FROM unnest(CAST(:ids AS text[])) AS id"
)
# A row is made before it leaves: when it is first tried, or for a single message when it is asked for.
LONGEST_WAIT = timedelta(days=30)
_SENT = text(
    """
    SELECT contact_id, channel, at FROM (
        SELECT contact_id, channel, coalesce(sent_at, unresolved_since, created_at) AS at FROM messages
        WHERE conversation_id = ANY(:ids) AND created_at > CAST(:since AS timestamptz) - CAST(:wait AS interval)
          AND direction = 'out' AND purpose = 'marketing'
          AND status IN ('sending', 'unknown', 'sent', 'delivered', 'read')
          AND (campaign_id IS DISTINCT FROM :campaign_id OR step <> :step OR :campaign_id IS NULL)
          AND id <> ALL(:own)
    ) AS left_us
    WHERE at > :since
    """
)


async def marketing_since(
    session: AsyncSession,
    contact_ids: Sequence[UUID],
    since: datetime,
    *,
    campaign_id: UUID | None = None,
    step: int = 0,
    own: Sequence[UUID] = (),
) -> dict[UUID, list[Sent]]:
    """The marketing messages that left or may have left for these contacts, without those of this step or in `own`.
    Until the transaction ends nobody else counts for them."""
    ids = sorted(contact_ids)
    await session.execute(_TAKE_TURNS, {"ids": [str(id) for id in ids]})
    values = {"ids": ids, "since": since, "wait": LONGEST_WAIT, "campaign_id": campaign_id, "step": step}
    found: dict[UUID, list[Sent]] = {}
    for row in await session.execute(_SENT, {**values, "own": list(own)}):
        found.setdefault(row.contact_id, []).append(Sent(channel=Channel(row.channel), at=row.at))
    return found
