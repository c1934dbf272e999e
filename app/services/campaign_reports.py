"""How campaigns stand: counts in two grouped queries, and why a recipient got something or nothing."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.domain.status import Channel
from app.errors import NotFound
from app.models import Campaign, CampaignRecipient, CampaignStep
from app.repositories import campaigns
from app.schemas.campaigns import (
    CampaignRead,
    Counts,
    DecisionRead,
    FollowupRead,
    MessageCounts,
    RecipientRead,
    WhyRead,
)
from app.schemas.messages import MessageRead
from app.settings import Settings

FROM_MESSAGES = tuple(MessageCounts.model_fields)
FROM_RECIPIENTS = ("recipients", "held", "skipped", "opted_out", "replied", "converted", "armed", "active")


class _Sums:
    """What the rows of one campaign add up to."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.skipped_by_reason: dict[str, int] = {}
        self.held_by_reason: dict[str, int] = {}
        self.by_channel: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.by_step: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add_messages(self, row: Any) -> None:
        for name in FROM_MESSAGES:
            number = getattr(row, name)
            self.by_channel[row.channel][name] += number
            self.by_step[str(row.step)][name] += number
            if name != "replied":  # of the campaign that counts people
                self.counts[name] += number
        self.counts["queued"] -= row.undecided  # whoever is decided anew is counted as a person

    def add_recipients(self, row: Any) -> None:
        for name in FROM_RECIPIENTS:
            self.counts[name] += getattr(row, name)
        self.counts["queued"] += row.pending
        if row.skipped:
            self.skipped_by_reason[row.why] = row.skipped
        if row.held:
            self.held_by_reason[row.why] = row.held


async def show(
    session: AsyncSession, tenant_id: UUID, found: Sequence[Campaign], settings: Settings
) -> list[CampaignRead]:
    """Campaigns as answers show them, counted in one moment."""
    wanted = [campaign.id for campaign in found]
    sums: dict[UUID, _Sums] = defaultdict(_Sums)
    for row in await campaigns.message_counts(session, tenant_id, wanted):
        sums[row.campaign_id].add_messages(row)
    for row in await campaigns.recipient_counts(session, tenant_id, wanted):
        sums[row.campaign_id].add_recipients(row)
    steps: dict[UUID, list[CampaignStep]] = defaultdict(list)
    for step in await campaigns.steps(session, tenant_id, wanted):
        if step.position:
            steps[step.campaign_id].append(step)
    return [_shown(campaign, sums[campaign.id], steps[campaign.id], settings) for campaign in found]


def show_recipients(
    rows: Sequence[tuple[CampaignRecipient, str, str]],
) -> list[RecipientRead]:
    return [_recipient(*row) for row in rows]


async def why(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, settings: Settings
) -> WhyRead:
    """Every verdict and message of one recipient. Raises NotFound when the contact is not in the audience."""
    row = await campaigns.recipient(session, tenant_id, campaign_id, contact_id)
    if row is None:
        raise NotFound(f"Contact {contact_id} is not in the audience of campaign {campaign_id}.")
    decisions = await campaigns.decisions(session, tenant_id, campaign_id, contact_id)
    messages = await campaigns.messages(session, tenant_id, campaign_id, contact_id)
    workflow_id = ids.sequence_workflow_id(tenant_id, campaign_id, contact_id)
    return WhyRead(
        recipient=_recipient(*row),
        decisions=[
            DecisionRead(
                at=decision.created_at,
                step=decision.step,
                channel=decision.channel,
                verdict=decision.verdict,
                reason=decision.reason,
                hold_until=decision.hold_until,
                message_id=decision.message_id,
                inputs=decision.inputs_json,
            )
            for decision in decisions
        ],
        messages=[MessageRead.of(message) for message in messages],
        workflow_id=workflow_id,
        workflow_url=workflow_url(settings, workflow_id),
    )


def workflow_url(settings: Settings, workflow_id: str) -> str:
    """The page of a workflow in the Temporal UI."""
    return (
        f"{settings.temporal_ui_url}/namespaces/{settings.temporal_namespace}/workflows/{quote(workflow_id, safe='')}"
    )


def _recipient(row: CampaignRecipient, first_name: str, last_name: str) -> RecipientRead:
    return RecipientRead(**row.model_dump(), first_name=first_name, last_name=last_name)


def _shown(campaign: Campaign, sums: _Sums, steps: list[CampaignStep], settings: Settings) -> CampaignRead:
    workflow_id = ids.campaign_workflow_id(campaign.tenant_id, campaign.id)
    return CampaignRead(
        id=campaign.id,
        name=campaign.name,
        status=campaign.status,
        status_detail=campaign.status_detail,
        primary_channel=campaign.primary_channel,
        fallback_order=[Channel(name) for name in campaign.fallback_order_json],
        fallback_after_minutes=(
            campaign.fallback_after_seconds / 60 if campaign.fallback_after_seconds is not None else None
        ),
        template_id=campaign.template_id,
        segment=campaign.segment_json,
        variables=campaign.variables_json,
        followups=[FollowupRead.model_validate(step) for step in steps],
        exit_on=campaign.exit_on_json,
        quiet_hours=campaign.quiet_hours_json,
        purpose=campaign.purpose,
        scheduled_at_utc=campaign.scheduled_at_utc,
        launched_at=campaign.launched_at,
        finished_at=campaign.finished_at,
        counts=Counts(**sums.counts),
        skipped_by_reason=sums.skipped_by_reason,
        held_by_reason=sums.held_by_reason,
        by_channel={Channel(name): MessageCounts(**counts) for name, counts in sums.by_channel.items()},
        by_step={name: MessageCounts(**counts) for name, counts in sums.by_step.items()},
        workflow_id=workflow_id,
        workflow_url=workflow_url(settings, workflow_id),
        created_at=campaign.created_at,
        updated_at=campaign.updated_at,
    )
