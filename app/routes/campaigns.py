"""Campaigns: made, launched, steered and watched."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query

from app.contracts.campaign import CANCEL, PAUSE, RESUME, CampaignInput
from app.domain.status import CampaignStatus, Channel, RecipientState
from app.models import Campaign, Tenant
from app.repositories import backlog, templates
from app.repositories import campaigns as rows
from app.routes.deps import CreatedIdDep, PagingDep, Resources, ResourcesDep, TenantDep, reached_engine
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, CREATING, documented
from app.schemas.base import Page
from app.schemas.campaigns import (
    CREATE_EXAMPLE,
    READ_EXAMPLE,
    RECIPIENT_EXAMPLE,
    WHY_EXAMPLE,
    CampaignCreate,
    CampaignRead,
    RecipientRead,
    WhyRead,
)
from app.schemas.examples import answer, listed
from app.services import campaign_reports, campaigns, standstills
from app.services.approvals import Answers

router = APIRouter(prefix="/v1/campaigns", tags=["Campaigns"], route_class=Endpoint)
STEERED = {**COMMON, **documented(404, 409), **answer(202, READ_EXAMPLE)}


@router.post("", status_code=201, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def create_campaign(
    wanted: Annotated[CampaignCreate, Body(examples=[CREATE_EXAMPLE])],
    tenant: TenantDep,
    id: CreatedIdDep,
    relay: ResourcesDep,
) -> CampaignRead:
    """Make a campaign: a draft, or with `launch` one that begins at once or at `scheduled_at_utc`. Whatever is wrong
    with it is named here, before anything is written."""
    approvals = await _approvals(relay, tenant, wanted.templates_on(Channel.WHATSAPP)) if wanted.launch else None
    async with relay.sessions.begin(tenant.id) as session:
        campaign = await campaigns.create(session, tenant, wanted, id=id, approvals=approvals)
    return await _launched(relay, tenant, campaign)


@router.get("", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_campaigns(
    tenant: TenantDep,
    paging: PagingDep,
    relay: ResourcesDep,
    status: Annotated[CampaignStatus | None, Query(description="Only campaigns in this state.")] = None,
) -> Page[CampaignRead]:
    """Campaigns with their counts, newest first."""
    async with relay.sessions.begin(tenant.id) as session:
        found, total = await rows.page(session, tenant.id, status=status, offset=paging.offset, size=paging.size)
        items = await campaign_reports.show(session, tenant.id, found, relay.settings)
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@router.get("/{campaign_id}", responses={**COMMON, **documented(404), **answer(200, READ_EXAMPLE)})
async def get_campaign(campaign_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> CampaignRead:
    """One campaign: its state, and counts in all, per channel and per step. `status` is `done` once every recipient of
    the launch has an outcome and every follow-up is armed, while sequences go on. `waiting` says what stands still,
    why, until when, and what to do."""
    async with relay.sessions.begin(tenant.id) as session:
        campaign = await campaigns.get(session, tenant.id, campaign_id)
        shown = (await campaign_reports.show(session, tenant.id, [campaign], relay.settings))[0]
        return shown.model_copy(update={"waiting": await standstills.of_campaign(session, campaign)})


@router.post("/{campaign_id}/launch", status_code=202, responses=STEERED)
async def launch_campaign(campaign_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> CampaignRead:
    """Start sending a draft. Launching it twice has no further effect. Every channel it uses needs a channel
    setting, and every WhatsApp template the provider's approval. When that is not known yet and the provider can't be
    asked, the answer is 503: try again."""
    async with relay.sessions.begin(tenant.id) as session:
        needed = await campaigns.template_ids(session, tenant.id, campaign_id)
    approvals = await _approvals(relay, tenant, needed)
    async with relay.sessions.begin(tenant.id) as session:
        campaign = await campaigns.launch(session, tenant, campaign_id, approvals=approvals)
    return await _launched(relay, tenant, campaign)


@router.post("/{campaign_id}/pause", status_code=202, responses=STEERED)
async def pause_campaign(campaign_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> CampaignRead:
    """Stop sending within one chunk; due follow-ups are held. Pausing it again has no further effect."""
    return await _steer(relay, tenant, campaign_id, CampaignStatus.PAUSED, PAUSE)


@router.post("/{campaign_id}/resume", status_code=202, responses=STEERED)
async def resume_campaign(campaign_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> CampaignRead:
    """Go on where the pause stopped it: only what was held or not sent yet goes out."""
    return await _steer(relay, tenant, campaign_id, CampaignStatus.RUNNING, RESUME)


@router.post("/{campaign_id}/cancel", status_code=202, responses=STEERED)
async def cancel_campaign(campaign_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> CampaignRead:
    """End it for good: nothing leaves from now on, and its sequences end."""
    return await _steer(relay, tenant, campaign_id, CampaignStatus.CANCELLED, CANCEL)


@router.get(
    "/{campaign_id}/recipients", responses={**COMMON, **documented(404), **answer(200, listed(RECIPIENT_EXAMPLE))}
)
async def list_recipients(
    campaign_id: UUID,
    tenant: TenantDep,
    paging: PagingDep,
    relay: ResourcesDep,
    state: Annotated[RecipientState | None, Query(description="Only recipients in this state.")] = None,
) -> Page[RecipientRead]:
    """The frozen audience and where each recipient stands."""
    async with relay.sessions.begin(tenant.id) as session:
        await campaigns.get(session, tenant.id, campaign_id)
        found, total = await rows.recipients(
            session, tenant.id, campaign_id, state=state, offset=paging.offset, size=paging.size
        )
    items = campaign_reports.show_recipients(found)
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@router.get(
    "/{campaign_id}/recipients/{contact_id}/why",
    responses={**COMMON, **documented(404), **answer(200, WHY_EXAMPLE)},
)
async def explain_recipient(campaign_id: UUID, contact_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> WhyRead:
    """Why this contact got something or nothing: each verdict with all that it looked at, each message with its times,
    and the contact's sequence in the Temporal UI."""
    async with relay.sessions.begin(tenant.id) as session:
        return await campaign_reports.why(session, tenant.id, campaign_id, contact_id, relay.settings)


async def _approvals(relay: Resources, tenant: Tenant, needed: set[UUID]) -> Answers | None:
    """Outside of any transaction, because the provider may have to be asked."""
    async with relay.sessions.begin(tenant.id) as session:
        found = await templates.by_ids(session, tenant.id, needed) if needed else {}
    return await relay.approvals.ask(tenant.id, [template.core_schema_json for template in found.values()])


async def _steer(relay: Resources, tenant: Tenant, campaign_id: UUID, to: CampaignStatus, signal: str) -> CampaignRead:
    """The state in PostgreSQL counts from its commit on; the signal only makes the workflow notice sooner."""
    async with relay.sessions.begin(tenant.id) as session:
        campaign, changed = await campaigns.move(session, tenant.id, campaign_id, to)
    if (
        changed
        and campaign.workflow_started_at is None
        and await reached_engine(relay.workflows.signal_campaign(tenant.id, campaign_id, signal))
    ):
        await _mark_started(relay, tenant, campaign_id)
    return await _shown(relay, tenant, campaign)


async def _launched(relay: Resources, tenant: Tenant, campaign: Campaign) -> CampaignRead:
    if campaign.status is CampaignStatus.PENDING and campaign.workflow_started_at is None:
        input = CampaignInput(tenant_id=tenant.id, campaign_id=campaign.id)
        if await reached_engine(relay.workflows.start_campaign(input)):
            await _mark_started(relay, tenant, campaign.id)
    return await _shown(relay, tenant, campaign)


async def _mark_started(relay: Resources, tenant: Tenant, campaign_id: UUID) -> None:
    async with relay.sessions.begin(tenant.id) as session:
        await backlog.mark_started(session, "campaigns", campaign_id)


async def _shown(relay: Resources, tenant: Tenant, campaign: Campaign) -> CampaignRead:
    async with relay.sessions.begin(tenant.id) as session:
        return (await campaign_reports.show(session, tenant.id, [campaign], relay.settings))[0]
