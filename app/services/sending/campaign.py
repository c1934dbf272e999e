"""A launched campaign as the send path needs it, with its templates compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.quiet_hours import QuietHours
from app.domain.status import Channel, Purpose
from app.domain.template import CompiledTemplate, compile_template
from app.errors import NotFound
from app.models import Campaign, CampaignStep, Tenant


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    position: int
    channels: tuple[Channel, ...]
    template_id: UUID
    template_name: str
    template: CompiledTemplate
    gap_days: float = 0  # after the step before it


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchedCampaign:
    """What does not change once a campaign is launched."""

    tenant_id: UUID
    id: UUID
    purpose: Purpose
    variables: dict[str, Any]
    tenant_name: str
    tenant_timezone: str
    tenant_lang: str
    steps: Mapping[int, Step]
    fallback_after: timedelta | None = None  # what is not delivered by then is followed by the next channel
    own_quiet_hours: QuietHours | None = None
    has_own_quiet_hours: bool = False  # else the tenant's, as they are when a message leaves


async def load_campaign(session: AsyncSession, campaign_id: UUID) -> LaunchedCampaign:
    """Raises NotFound. Compiles the templates, so keep the result."""
    campaign = await session.get(Campaign, campaign_id)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    tenant = await session.get_one(Tenant, campaign.tenant_id)
    rows = await session.scalars(
        select(CampaignStep).where(col(CampaignStep.campaign_id) == campaign_id).order_by(col(CampaignStep.position))
    )
    fallbacks = [Channel(name) for name in campaign.fallback_order_json]
    steps, before = {}, 0.0
    for row in rows:
        first = row.channel or campaign.primary_channel
        steps[row.position] = Step(
            position=row.position,
            channels=(first, *(channel for channel in [campaign.primary_channel, *fallbacks] if channel != first)),
            template_id=row.template_id,
            template_name=row.template_name,
            template=compile_template(row.core_schema_json, lang=row.template_lang),
            gap_days=row.after_days - before,
        )
        before = row.after_days
    return LaunchedCampaign(
        tenant_id=campaign.tenant_id,
        id=campaign.id,
        purpose=campaign.purpose,
        own_quiet_hours=QuietHours.parse(campaign.quiet_hours_json) if campaign.quiet_hours_json else None,
        has_own_quiet_hours=campaign.quiet_hours_json is not None,
        variables=campaign.variables_json,
        tenant_name=tenant.name,
        tenant_timezone=tenant.timezone,
        tenant_lang=tenant.default_lang,
        steps=steps,
        fallback_after=(
            timedelta(seconds=campaign.fallback_after_seconds) if campaign.fallback_after_seconds is not None else None
        ),
    )
