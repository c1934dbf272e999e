"""Campaigns: checked whole before anything is written, launched once, steered by guarded moves."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.pointers import Problems
from app.domain.quiet_hours import QuietHours
from app.domain.segment import parse_segment
from app.domain.status import CampaignStatus, Channel
from app.domain.template import compile_template
from app.errors import InvalidInput, InvalidTransition, NotFound
from app.ids import new_id
from app.models import Campaign, CampaignStep, Template, Tenant
from app.repositories import campaigns, templates
from app.schemas.campaigns import CampaignCreate
from app.services.approvals import Answers
from app.services.channel_settings import require_reports, require_senders

COMMANDS = {
    CampaignStatus.PAUSED: ("paused", {CampaignStatus.PAUSED}),
    CampaignStatus.RUNNING: ("resumed", {CampaignStatus.PENDING, CampaignStatus.RUNNING, CampaignStatus.DONE}),
    CampaignStatus.CANCELLED: ("cancelled", {CampaignStatus.CANCELLED}),
}
LAUNCHED = frozenset({CampaignStatus.PENDING, CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.DONE})


@dataclass(frozen=True, slots=True)
class _Use:
    """A template that a campaign needs, and the field that names it."""

    template_id: UUID
    pointer: str


async def create(
    session: AsyncSession, tenant: Tenant, wanted: CampaignCreate, *, id: UUID, approvals: Answers | None = None
) -> Campaign:
    """Write a draft, and launch it when asked to.

    Raises InvalidInput that names every bad field: templates, variables, segment, follow-ups, schedule, quiet hours
    and, for a launch, what `launch` refuses. Then nothing is written.
    """
    if repeated := await campaigns.get(session, tenant.id, id):
        return await launch(session, tenant, id, approvals=approvals) if wanted.launch else repeated
    problems = Problems()
    _check_plan(wanted, problems)
    for check in (lambda: parse_segment(wanted.segment), lambda: _quiet_hours(wanted)):
        try:
            check()
        except InvalidInput as error:
            problems.errors.extend(error.errors)
    uses = [_Use(wanted.template_id, "/template_id")]
    uses += [_Use(step.template_id, f"/followups/{n}/template_id") for n, step in enumerate(wanted.followups)]
    await _check_templates(session, tenant.id, uses, wanted.variables, problems)
    problems.raise_any()
    campaign = Campaign(
        id=id,
        tenant_id=tenant.id,
        name=wanted.name,
        primary_channel=wanted.primary_channel,
        fallback_order_json=[channel.value for channel in wanted.fallback_order],
        fallback_after_seconds=(
            wanted.fallback_after_minutes * 60 if wanted.fallback_after_minutes is not None else None
        ),
        template_id=wanted.template_id,
        segment_json=wanted.segment,
        variables_json=wanted.variables,
        exit_on_json=list(dict.fromkeys(wanted.exit_on)),
        quiet_hours_json=_quiet_hours(wanted),
        purpose=wanted.purpose,
        scheduled_at_utc=wanted.scheduled_at_utc,
    )
    session.add(campaign)
    await session.flush()
    session.add(_step(campaign, 0, 0, wanted.template_id, None))
    for n, step in enumerate(wanted.followups, start=1):
        session.add(_step(campaign, n, step.after_days, step.template_id, step.channel))
    await session.flush()
    if wanted.launch:
        return await launch(session, tenant, id, approvals=approvals)
    return await get(session, tenant.id, id)


async def template_ids(session: AsyncSession, tenant_id: UUID, campaign_id: UUID) -> set[UUID]:
    """The templates of a draft that may leave by WhatsApp. Raises NotFound."""
    campaign = await get(session, tenant_id, campaign_id)
    if campaign.status is not CampaignStatus.DRAFT:
        return set()
    every = {campaign.primary_channel.value, *campaign.fallback_order_json}
    steps = await campaigns.steps(session, tenant_id, [campaign_id])
    return {step.template_id for step in steps if Channel.WHATSAPP in {step.channel, *every}}


async def get(session: AsyncSession, tenant_id: UUID, campaign_id: UUID) -> Campaign:
    """Raises NotFound."""
    campaign = await campaigns.get(session, tenant_id, campaign_id)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return campaign


async def launch(
    session: AsyncSession, tenant: Tenant, campaign_id: UUID, *, approvals: Answers | None = None
) -> Campaign:
    """Take a draft to `pending`, with a copy of each step's template. A launched campaign is answered as it is.

    `approvals`: what is known of its WhatsApp templates (see app.services.approvals); None: they are not looked at.
    Raises NotFound, InvalidTransition for one that ended, InvalidInput for a channel without a sender, a template that
    went missing or one that the provider did not approve, and ApprovalUnknown.
    """
    campaign = await campaigns.get(session, tenant.id, campaign_id, lock=True)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    if campaign.status in LAUNCHED:
        return campaign
    if campaign.status is not CampaignStatus.DRAFT:
        raise InvalidTransition(f"The campaign is {campaign.status}: it can't be launched any more. Make a new one.")
    steps = await campaigns.steps(session, tenant.id, [campaign.id])
    problems = Problems()
    uses = [
        _Use(step.template_id, f"/followups/{step.position - 1}/template_id" if step.position else "/template_id")
        for step in steps
    ]
    found = await _check_templates(session, tenant.id, uses, campaign.variables_json, problems)
    problems.raise_any()
    await require_senders(session, tenant.id, _channels(campaign, steps))
    if campaign.fallback_after_seconds is not None:
        order = [campaign.primary_channel, *map(Channel, campaign.fallback_order_json)]
        await require_reports(session, tenant.id, order)
    if approvals is not None:
        _check_approvals(campaign, steps, found, approvals)
    for step in steps:
        template = found[step.template_id]
        step.template_name, step.template_lang = template.name, template.lang
        step.template_version, step.core_schema_json = template.version, template.core_schema_json
    await session.flush()
    now = datetime.now(UTC)
    await campaigns.launch(session, campaign.id, max(campaign.scheduled_at_utc or now, now))
    return await get(session, tenant.id, campaign_id)


async def move(session: AsyncSession, tenant_id: UUID, campaign_id: UUID, to: CampaignStatus) -> tuple[Campaign, bool]:
    """Pause (`paused`), resume (`running`) or cancel (`cancelled`). The flag says whether anything changed: a repeat
    does nothing. Raises NotFound, and InvalidTransition naming the present state."""
    changed = await campaigns.move(session, tenant_id, campaign_id, to)
    campaign = await get(session, tenant_id, campaign_id)
    verb, already = COMMANDS[to]
    if not changed and campaign.status not in already:
        raise InvalidTransition(f"The campaign is {campaign.status}: it can't be {verb} now.")
    return campaign, changed


def _check_plan(wanted: CampaignCreate, problems: Problems) -> None:
    seen = {wanted.primary_channel}
    for n, channel in enumerate(wanted.fallback_order):
        if channel in seen:
            problems.add(f"/fallback_order/{n}", f"{channel} is there already; each channel is tried once.")
        seen.add(channel)
    if wanted.fallback_after_minutes is not None and not wanted.fallback_order:
        problems.add("/fallback_after_minutes", "There is nothing to fall back to: give a fallback_order.")
    before = 0.0
    for n, step in enumerate(wanted.followups):
        if step.after_days <= before:
            problems.add(f"/followups/{n}/after_days", f"Follow-ups come in order: this must be more than {before:g}.")
        before = max(before, step.after_days)
    if wanted.scheduled_at_utc is not None and wanted.scheduled_at_utc <= datetime.now(UTC):
        problems.add(
            "/scheduled_at_utc", "This time is in the past: give a later one, or leave it out to begin at once."
        )


def _quiet_hours(wanted: CampaignCreate) -> dict[str, Any] | None:
    """As stored: None takes the tenant's, `{}` is none. Raises InvalidInput."""
    if "quiet_hours" not in wanted.model_fields_set:
        return None
    if not wanted.quiet_hours:
        return {}
    return QuietHours.parse(wanted.quiet_hours).as_json()


async def _check_templates(
    session: AsyncSession, tenant_id: UUID, uses: list[_Use], variables: dict[str, Any], problems: Problems
) -> dict[UUID, Template]:
    """The templates by id; what is missing of them or of their variables is added to `problems`."""
    found = await templates.by_ids(session, tenant_id, {use.template_id for use in uses})
    told: set[str] = set()
    for use in uses:
        template = found.get(use.template_id)
        if template is None:
            problems.add(use.pointer, f"There is no template {use.template_id}.")
        elif not template.is_active:
            problems.add(use.pointer, f"The template {template.name!r} is not active.")
        else:
            for error in compile_template(template.core_schema_json, lang=template.lang).problems(variables):
                if error.pointer not in told:
                    told.add(error.pointer)
                    problems.errors.append(error)
    return found


def _check_approvals(
    campaign: Campaign, steps: list[CampaignStep], found: dict[UUID, Template], approvals: Answers
) -> None:
    """Every step that may leave by WhatsApp, in whatever language. Raises InvalidInput, or else ApprovalUnknown."""
    every = {campaign.primary_channel.value, *campaign.fallback_order_json}
    asked = [step for step in steps if Channel.WHATSAPP in {step.channel, *every}]
    problems = Problems()
    for step in asked:
        pointer = f"/followups/{step.position - 1}/template_id" if step.position else "/template_id"
        for detail in approvals.problems(found[step.template_id].core_schema_json):
            problems.add(pointer, detail)
    problems.raise_any()
    for step in asked:
        approvals.require(found[step.template_id].core_schema_json)


def _channels(campaign: Campaign, steps: list[CampaignStep]) -> list[tuple[Channel, str]]:
    asked = [(campaign.primary_channel, "/primary_channel")]
    asked += [(Channel(name), f"/fallback_order/{n}") for n, name in enumerate(campaign.fallback_order_json)]
    asked += [(step.channel, f"/followups/{step.position - 1}/channel") for step in steps if step.channel]
    return asked


def _step(
    campaign: Campaign, position: int, after_days: float, template_id: UUID, channel: Channel | None
) -> CampaignStep:
    return CampaignStep(
        id=new_id(),
        tenant_id=campaign.tenant_id,
        campaign_id=campaign.id,
        position=position,
        after_days=after_days,
        template_id=template_id,
        channel=channel,
    )
