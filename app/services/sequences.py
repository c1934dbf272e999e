"""The follow-ups of one contact: when each is due, as the input of its sequence."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.contracts.sequence import SequenceInput, SequenceStep
from app.domain.schedule import due_at, jitter
from app.errors import NotFound
from app.models import Campaign, CampaignStep
from app.settings import Settings


class SequencePlan:
    """The schedule of a campaign; makes the same input for a contact whoever asks, arming lane or relay."""

    def __init__(
        self,
        *,
        tenant_id: UUID,
        campaign_id: UUID,
        launched_at: datetime,
        followups: list[tuple[int, float]],
        settings: Settings,
    ) -> None:
        self.tenant_id, self.campaign_id, self.launched_at = tenant_id, campaign_id, launched_at
        self.followups, self.settings = followups, settings

    def input(self, contact_id: UUID) -> SequenceInput:
        day = self.settings.day_seconds
        spread = jitter(contact_id, self.settings.followup_jitter_seconds, day)
        return SequenceInput(
            tenant_id=self.tenant_id,
            campaign_id=self.campaign_id,
            contact_id=contact_id,
            steps=[
                SequenceStep(position=position, due_at=due_at(self.launched_at, after_days, day) + spread)
                for position, after_days in self.followups
            ],
        )


async def sequence_plan(session: AsyncSession, campaign_id: UUID, settings: Settings) -> SequencePlan:
    """Raises NotFound when there is no such campaign or it was never launched."""
    campaign = await session.get(Campaign, campaign_id)
    if campaign is None or campaign.launched_at is None:
        raise NotFound(f"There is no launched campaign {campaign_id}.")
    rows = await session.execute(
        select(col(CampaignStep.position), col(CampaignStep.after_days))
        .where(col(CampaignStep.campaign_id) == campaign_id, col(CampaignStep.position) > 0)
        .order_by(col(CampaignStep.position))
    )
    return SequencePlan(
        tenant_id=campaign.tenant_id,
        campaign_id=campaign_id,
        launched_at=campaign.launched_at,
        followups=[(position, after_days) for position, after_days in rows],
        settings=settings,
    )


async def sequence_input(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, settings: Settings
) -> SequenceInput:
    plan = await sequence_plan(session, campaign_id, settings)
    assert plan.tenant_id == tenant_id
    return plan.input(contact_id)
