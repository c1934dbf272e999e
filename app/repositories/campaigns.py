"""Campaigns, their steps and recipients, and their counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.status import CampaignStatus, RecipientState
from app.models import Campaign, CampaignRecipient, CampaignStep, Contact, Decision, Message

# "accepted": the provider took it, also when it failed afterwards
_MESSAGE_COUNTS = text(
    """
    SELECT campaign_id, step, channel,
           count(*) FILTER (WHERE status IN ('queued', 'sending')) AS queued,
           count(*) FILTER (WHERE status = 'queued' AND EXISTS (
               SELECT FROM campaign_recipients r
               WHERE r.campaign_id = messages.campaign_id AND r.contact_id = messages.contact_id
                 AND r.step = messages.step AND r.state IN ('pending', 'held'))) AS undecided,
           count(*) FILTER (WHERE sent_at IS NOT NULL OR status IN ('sent', 'delivered', 'read')) AS sent,
           count(*) FILTER (WHERE delivered_at IS NOT NULL OR status IN ('delivered', 'read')) AS delivered,
           count(*) FILTER (WHERE read_at IS NOT NULL OR status = 'read') AS read,
           count(clicked_at) AS clicked,
           count(replied_at) AS replied,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'unknown') AS unknown
    FROM messages
    WHERE tenant_id = :tenant_id AND campaign_id = ANY(:ids) AND direction = 'out'
    GROUP BY campaign_id, step, channel
    ORDER BY campaign_id, step, channel
    """
)
_RECIPIENT_COUNTS = text(
    """
    SELECT campaign_id, CASE WHEN state IN ('skipped', 'held') THEN reason ELSE '' END AS why,
           count(*) AS recipients,
           count(*) FILTER (WHERE state = 'pending') AS pending,
           count(*) FILTER (WHERE state = 'held' AND stopped_at IS NULL) AS held,
           count(*) FILTER (WHERE state = 'skipped') AS skipped,
           count(*) FILTER (WHERE stop_reason = 'opted_out') AS opted_out,
           count(replied_at) AS replied,
           count(converted_at) AS converted,
           count(armed_at) AS armed,
           count(armed_at) FILTER (WHERE ended_at IS NULL) AS active
    FROM campaign_recipients
    WHERE tenant_id = :tenant_id AND campaign_id = ANY(:ids)
    GROUP BY campaign_id, why
    ORDER BY campaign_id, recipients DESC
    """
)
# Every change of state is unknown to the engine until it was told: see app.starter.
_PAUSE = text(
    """
    UPDATE campaigns SET status = 'paused', workflow_started_at = NULL, paused_at = now(),
           status_detail = CASE WHEN status = 'done' THEN 'done' ELSE status_detail END
    WHERE tenant_id = :tenant_id AND id = :id AND status IN ('pending', 'running', 'done')
    RETURNING id
    """
)
_RESUME = text(
    """
    UPDATE campaigns SET workflow_started_at = NULL, paused_at = NULL,
           status = CASE WHEN status_detail = 'done' THEN 'done' WHEN launched_at > now() THEN 'pending'
                         ELSE 'running' END,
           status_detail = CASE WHEN status_detail = 'done' THEN '' ELSE status_detail END
    WHERE tenant_id = :tenant_id AND id = :id AND status = 'paused'
    RETURNING id
    """
)
# Rules may have changed since: whoever waits for a time is asked anew. In one order, as everybody locks recipients.
_ASK_ANEW = text(
    """
    UPDATE campaign_recipients SET hold_until = now()
    WHERE campaign_id = :id AND contact_id IN (
        SELECT contact_id FROM campaign_recipients
        WHERE campaign_id = :id AND state = 'held' AND step = 0 AND hold_until > now() AND stopped_at IS NULL
        ORDER BY contact_id FOR NO KEY UPDATE)
    """
)
_CANCEL = text(
    """
    UPDATE campaigns SET status = 'cancelled', finished_at = coalesce(finished_at, now()),
           workflow_started_at = CASE WHEN status = 'draft' THEN now() END
    WHERE tenant_id = :tenant_id AND id = :id AND status IN ('draft', 'pending', 'running', 'paused', 'done')
    RETURNING id
    """
)
MOVES = {CampaignStatus.PAUSED: _PAUSE, CampaignStatus.RUNNING: _RESUME, CampaignStatus.CANCELLED: _CANCEL}


async def get(session: AsyncSession, tenant_id: UUID, campaign_id: UUID, *, lock: bool = False) -> Campaign | None:
    query = (
        select(Campaign)
        .where(col(Campaign.tenant_id) == tenant_id, col(Campaign.id) == campaign_id)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()


async def page(
    session: AsyncSession, tenant_id: UUID, *, status: CampaignStatus | None, offset: int, size: int
) -> tuple[list[Campaign], int]:
    """Newest first."""
    where = [col(Campaign.tenant_id) == tenant_id]
    if status is not None:
        where.append(col(Campaign.status) == status)
    query = select(Campaign).where(*where).order_by(col(Campaign.created_at).desc(), col(Campaign.id).desc())
    rows = list((await session.execute(query.offset(offset).limit(size))).scalars())
    total = (await session.execute(select(func.count()).select_from(Campaign).where(*where))).scalar_one()
    return rows, total


async def move(session: AsyncSession, tenant_id: UUID, campaign_id: UUID, to: CampaignStatus) -> bool:
    """Pause, resume (to `running`, or back to where it was) or cancel, in one guarded statement; False when its state
    doesn't allow that."""
    values = {"tenant_id": tenant_id, "id": campaign_id}
    moved = (await session.execute(MOVES[to], values)).first() is not None
    if moved and to is CampaignStatus.RUNNING:
        await session.execute(_ASK_ANEW, values)
    return moved


async def launch(session: AsyncSession, campaign_id: UUID, launched_at: datetime) -> None:
    await session.execute(
        update(Campaign)
        .where(col(Campaign.id) == campaign_id, col(Campaign.status) == CampaignStatus.DRAFT)
        .values(status=CampaignStatus.PENDING, launched_at=launched_at)
    )


async def steps(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> list[CampaignStep]:
    query = (
        select(CampaignStep)
        .where(col(CampaignStep.tenant_id) == tenant_id, col(CampaignStep.campaign_id).in_(ids))
        .order_by(col(CampaignStep.campaign_id), col(CampaignStep.position))
    )
    return list((await session.execute(query)).scalars())


async def message_counts(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Per campaign, step and channel."""
    return (await session.execute(_MESSAGE_COUNTS, {"tenant_id": tenant_id, "ids": list(ids)})).all()


async def recipient_counts(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Per campaign and reason of being skipped or held (empty for the others)."""
    return (await session.execute(_RECIPIENT_COUNTS, {"tenant_id": tenant_id, "ids": list(ids)})).all()


async def recipients(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID, *, state: RecipientState | None, offset: int, size: int
) -> tuple[list[tuple[CampaignRecipient, str, str]], int]:
    """Recipients with first and last name, in the order in which they are sent to."""
    where = [col(CampaignRecipient.tenant_id) == tenant_id, col(CampaignRecipient.campaign_id) == campaign_id]
    if state is not None:
        where.append(col(CampaignRecipient.state) == state)
    query = (
        select(CampaignRecipient, col(Contact.first_name), col(Contact.last_name))
        .join(Contact, col(Contact.id) == col(CampaignRecipient.contact_id))
        .where(*where)
        .order_by(col(CampaignRecipient.contact_id))
        .offset(offset)
        .limit(size)
    )
    rows = [(row[0], row[1], row[2]) for row in await session.execute(query)]
    total = (await session.execute(select(func.count()).select_from(CampaignRecipient).where(*where))).scalar_one()
    return rows, total


async def recipient(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID
) -> tuple[CampaignRecipient, str, str] | None:
    query = (
        select(CampaignRecipient, col(Contact.first_name), col(Contact.last_name))
        .join(Contact, col(Contact.id) == col(CampaignRecipient.contact_id))
        .where(
            col(CampaignRecipient.tenant_id) == tenant_id,
            col(CampaignRecipient.campaign_id) == campaign_id,
            col(CampaignRecipient.contact_id) == contact_id,
        )
    )
    row = (await session.execute(query)).first()
    return (row[0], row[1], row[2]) if row else None


async def decisions(session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID) -> list[Decision]:
    query = (
        select(Decision)
        .where(
            col(Decision.tenant_id) == tenant_id,
            col(Decision.contact_id) == contact_id,
            col(Decision.campaign_id) == campaign_id,
        )
        .order_by(col(Decision.created_at), col(Decision.id))
    )
    return list((await session.execute(query)).scalars())


async def messages(session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID) -> list[Message]:
    query = (
        select(Message)
        .where(
            col(Message.tenant_id) == tenant_id,
            col(Message.campaign_id) == campaign_id,
            col(Message.contact_id) == contact_id,
        )
        .order_by(col(Message.created_at), col(Message.id))
    )
    return list((await session.execute(query)).scalars())
