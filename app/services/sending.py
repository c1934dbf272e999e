"""What may leave and how it looks: candidates through the gate, the next channel after a refusal, rendering, claiming
and recording. The caller owns the transactions and does the HTTP in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import uniform
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app import ids
from app.channels.base import OutboundMessage, Receipt
from app.domain.gate import Decision, GateFacts, Verdict, decide
from app.domain.quiet_hours import QuietHours, resolve_quiet_hours
from app.domain.status import (
    CampaignStatus,
    Channel,
    MessageStatus,
    MessageType,
    Purpose,
    RecipientState,
    StopReason,
    SuppressionReason,
)
from app.domain.template import CompiledTemplate, MissingVariable, Rendered, compile_template
from app.domain.zones import contact_zones
from app.errors import (
    InvalidInput,
    MessageRejected,
    NotFound,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
)
from app.models import Campaign, CampaignStep, Tenant
from app.repositories import outbox, rate_buckets
from app.repositories.outbox import Candidate
from app.services.senders import Sender
from app.tokens import UnsubscribeTokens

# A provider that names a passing reason for this very message is asked again this often; an outage is never counted.
MAX_TRANSIENT_ATTEMPTS = 8
ACCEPTED = frozenset({MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ})


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    position: int
    channels: tuple[Channel, ...]
    template_id: UUID
    template_name: str
    template: CompiledTemplate


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchedCampaign:
    """What does not change once a campaign is launched."""

    tenant_id: UUID
    id: UUID
    purpose: Purpose
    quiet_hours: QuietHours | None
    variables: dict[str, Any]
    tenant_name: str
    tenant_timezone: str
    tenant_lang: str
    steps: Mapping[int, Step]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A claimed message, the sender it leaves by and how often it was tried before."""

    id: UUID
    contact_id: UUID
    sender: Sender
    message: OutboundMessage
    attempts: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What one claim did. `examined` recipients were decided; nobody was left when it is 0 and `wait` is None."""

    examined: int
    outgoing: list[Outgoing] = field(default_factory=list)
    wait: timedelta | None = None
    status: CampaignStatus = CampaignStatus.RUNNING
    standings: dict[UUID, outbox.Standing] = field(default_factory=dict)
    channels: dict[UUID, str] = field(default_factory=dict)


@dataclass(slots=True)
class Recorded:
    """What came of a chunk. `retry_at`: some go again then; `trouble`: their sender must be mended first."""

    sent: int = 0
    unknown: int = 0
    failed: int = 0
    retried: int = 0
    retry_at: datetime | None = None
    trouble: SendError | None = None


@dataclass(slots=True)
class _Choice:
    standing: outbox.Standing
    verdicts: list[outbox.Verdict] = field(default_factory=list)
    withdrawn: dict[UUID, str] = field(default_factory=dict)
    claim: outbox.Claim | None = None
    stale: UUID | None = None
    channel: str = ""


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
    steps = {}
    for row in rows:
        first = row.channel or campaign.primary_channel
        steps[row.position] = Step(
            position=row.position,
            channels=(first, *(channel for channel in [campaign.primary_channel, *fallbacks] if channel != first)),
            template_id=row.template_id,
            template_name=row.template_name,
            template=compile_template(row.core_schema_json, lang=row.template_lang),
        )
    return LaunchedCampaign(
        tenant_id=campaign.tenant_id,
        id=campaign.id,
        purpose=campaign.purpose,
        quiet_hours=resolve_quiet_hours(campaign.quiet_hours_json, tenant.settings_json.get("quiet_hours")),
        variables=campaign.variables_json,
        tenant_name=tenant.name,
        tenant_timezone=tenant.timezone,
        tenant_lang=tenant.default_lang,
        steps=steps,
    )


class Renderer:
    """Adds to a rendered message what the template does not know: the unsubscribe link and its headers."""

    def __init__(self, public_url: str, tokens: UnsubscribeTokens) -> None:
        self.public_url, self.tokens = public_url, tokens

    def render(
        self,
        template: CompiledTemplate,
        channel: Channel,
        lang: str,
        context: dict[str, Any],
        *,
        tenant_id: UUID,
        contact_id: UUID,
        message_id: UUID,
        purpose: Purpose,
    ) -> Rendered:
        """Raises InvalidInput, of which MissingVariable is one kind."""
        if channel is not Channel.EMAIL or purpose is not Purpose.MARKETING:
            return template.render(channel, lang, context)
        url = self.unsubscribe_url(tenant_id, contact_id, message_id)
        rendered = template.render(channel, lang, {**context, "unsubscribe_url": url})
        rendered.content["headers"] = _unsubscribe_headers(url)
        return rendered

    def with_unsubscribe(
        self, content: dict[str, Any], *, tenant_id: UUID, contact_id: UUID, message_id: UUID
    ) -> dict[str, Any]:
        """A marketing e-mail written by hand, with the link a template would have had."""
        url = self.unsubscribe_url(tenant_id, contact_id, message_id)
        return {**content, "text": f"{content['text']}\n\n{url}", "headers": _unsubscribe_headers(url)}

    def unsubscribe_url(self, tenant_id: UUID, contact_id: UUID, message_id: UUID) -> str:
        token = self.tokens.issue(
            tenant_id=tenant_id, contact_id=contact_id, channel=Channel.EMAIL, message_id=message_id
        )
        return f"{self.public_url}/u/{token}"


def _unsubscribe_headers(url: str) -> dict[str, str]:
    """RFC 8058: one POST to this address unsubscribes, without another question."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def contact_context(row: Candidate) -> dict[str, Any]:
    return {
        "first_name": row.first_name,
        "last_name": row.last_name,
        "phone": row.phone or "",
        "email": row.email or "",
        "lang": row.lang,
        "timezone": row.timezone,
        "country": row.country,
        "tags": row.tags_json,
        "attributes": row.attributes_json,
    }


def address_of(row: Candidate, channel: Channel) -> str:
    return (row.email if channel is Channel.EMAIL else row.phone) or ""


def consent_of(row: Candidate, channel: Channel) -> tuple[datetime | None, datetime | None, SuppressionReason | None]:
    """Opt-in, opt-out and suppression of the candidate on the channel."""
    if channel is Channel.WHATSAPP:
        opt_in, opt_out, reason = row.whatsapp_in, row.whatsapp_out, row.whatsapp_suppression
    elif channel is Channel.EMAIL:
        opt_in, opt_out, reason = row.email_in, row.email_out, row.email_suppression
    else:
        opt_in, opt_out, reason = row.sms_in, row.sms_out, row.sms_suppression
    return opt_in, opt_out, SuppressionReason(reason) if reason else None


def stored_payload(rendered: Rendered) -> dict[str, Any]:
    """What a conversation shows later; the HTML of an e-mail can be rendered again and would fill the table."""
    return {key: value for key, value in rendered.content.items() if key not in {"html", "headers"}}


async def claim_chunk(
    session: AsyncSession,
    campaign: LaunchedCampaign,
    step: Step,
    candidates: Sequence[Candidate],
    *,
    status: CampaignStatus,
    senders: Mapping[Channel, Sender],
    renderer: Renderer,
    claim_token: UUID,
    now: datetime,
) -> Chunk:
    """Decide each candidate, lease room from the senders and claim the messages that may leave now.

    Candidates for whom a sender has no room are left as they were; `wait` says when there is.
    """
    choices: list[_Choice] = []
    renders: dict[UUID, Rendered] = {}
    for row in candidates:
        choice = _choose(row, campaign, step, status, senders, renderer, renders, now)
        choices.append(choice)
    kept, wait = await _lease(session, campaign.tenant_id, choices, senders)
    claims = [choice.claim for choice in kept if choice.claim]
    owned = await outbox.claim(
        session,
        claims,
        tenant_id=campaign.tenant_id,
        campaign_id=campaign.id,
        step=step.position,
        purpose=campaign.purpose.value,
        template_id=step.template_id,
        claim_token=claim_token,
    )
    await outbox.abandon(session, [choice.stale for choice in kept if choice.stale], claim_token)
    await outbox.withdraw(session, {key: value for choice in kept for key, value in choice.withdrawn.items()})
    await outbox.place(session, campaign.id, step.position, [choice.standing for choice in kept])
    await outbox.add_decisions(
        session, campaign.tenant_id, campaign.id, [verdict for choice in kept for verdict in choice.verdicts]
    )
    outgoing = []
    for claim in claims:
        if claim.id in owned:
            sender = senders[Channel(claim.channel)]
            outgoing.append(_outgoing(campaign, claim, renders[claim.id], sender, owned[claim.id]))
    return Chunk(
        examined=len(kept),
        outgoing=outgoing,
        wait=wait,
        status=status,
        standings={choice.standing.contact_id: choice.standing for choice in kept},
        channels={choice.standing.contact_id: choice.channel for choice in kept},
    )


def _outgoing(
    campaign: LaunchedCampaign, claim: outbox.Claim, rendered: Rendered, sender: Sender, attempts: int
) -> Outgoing:
    message = OutboundMessage(
        reference=claim.id,
        tenant_id=campaign.tenant_id,
        settings_id=sender.settings_id,
        channel=sender.channel,
        type=rendered.type,
        to=claim.address,
        purpose=campaign.purpose,
        content=rendered.content,
    )
    return Outgoing(id=claim.id, contact_id=claim.contact_id, sender=sender, message=message, attempts=attempts)


async def _lease(
    session: AsyncSession, tenant_id: UUID, choices: list[_Choice], senders: Mapping[Channel, Sender]
) -> tuple[list[_Choice], timedelta | None]:
    """The choices for which there is room, in order, and how long the first of the others has to wait."""
    wanted: dict[str, int] = {}
    for choice in choices:
        if choice.claim:
            wanted[choice.claim.channel] = wanted.get(choice.claim.channel, 0) + 1
    room: dict[str, int] = {}
    wait: timedelta | None = None
    for channel, want in sorted(wanted.items()):  # one order for all, or two leases of two channels wait in a circle
        sender = senders[Channel(channel)]
        lease = await rate_buckets.lease(
            session,
            tenant_id=tenant_id,
            settings_id=sender.settings_id,
            per_second=sender.per_second,
            want=want,
        )
        room[channel] = lease.granted
        if lease.granted < want:
            wait = lease.wait if wait is None else min(wait, lease.wait)
    kept = []
    for choice in choices:
        if choice.claim:
            if room[choice.claim.channel] == 0:
                continue
            room[choice.claim.channel] -= 1
        kept.append(choice)
    return kept, wait


def _choose(
    row: Candidate,
    campaign: LaunchedCampaign,
    step: Step,
    status: CampaignStatus,
    senders: Mapping[Channel, Sender],
    renderer: Renderer,
    renders: dict[UUID, Rendered],
    now: datetime,
) -> _Choice:
    """The first channel of the step's order that the gate lets pass, or why none does."""
    attempts: dict[str, str] = row.attempts or {}
    choice = _Choice(standing=outbox.Standing(contact_id=row.contact_id, state=RecipientState.SKIPPED))
    first_reason, failed = "", False
    lang = row.lang or campaign.tenant_lang
    for channel in step.channels:
        message_id = ids.outbox_id(campaign.id, row.contact_id, step.position, channel.value)
        earlier = attempts.get(channel.value)
        if earlier is not None and earlier != MessageStatus.QUEUED:
            if earlier in {MessageStatus.FAILED, MessageStatus.SKIPPED}:
                failed = failed or earlier == MessageStatus.FAILED
                continue
            return _already_out(choice, row.contact_id, channel, message_id, MessageStatus(earlier))
        decision, rendered = _ask(row, campaign, step, status, channel, lang, senders, renderer, message_id, now)
        choice.verdicts.append(
            outbox.Verdict(
                contact_id=row.contact_id,
                message_id=message_id if rendered else None,
                step=step.position,
                channel=channel.value,
                verdict=decision.verdict.value,
                reason=decision.reason,
                hold_until=decision.hold_until,
                inputs=decision.inputs,
            )
        )
        choice.channel = channel.value
        if rendered is not None:
            renders[message_id] = rendered
            choice.claim = outbox.Claim(
                id=message_id,
                contact_id=row.contact_id,
                channel=channel.value,
                type=rendered.type.value,
                template_name=rendered.template_name or step.template_name,
                lang=rendered.lang,
                address=address_of(row, channel),
                payload=stored_payload(rendered),
                settings_id=senders[channel].settings_id,
                provider=senders[channel].provider,
            )
            choice.standing = outbox.Standing(contact_id=row.contact_id, state=RecipientState.QUEUED)
            return choice
        if decision.verdict is Verdict.HOLD:
            choice.standing = outbox.Standing(
                contact_id=row.contact_id,
                state=RecipientState.HELD,
                reason=decision.reason,
                hold_until=decision.hold_until,
            )
            return choice
        first_reason = first_reason or decision.reason
        if earlier == MessageStatus.QUEUED:
            choice.withdrawn[message_id] = decision.reason
        if _ends_everything(row, status):
            break
    choice.standing = outbox.Standing(
        contact_id=row.contact_id,
        state=RecipientState.FAILED if failed else RecipientState.SKIPPED,
        reason=first_reason,
    )
    return choice


def _already_out(
    choice: _Choice, contact_id: UUID, channel: Channel, message_id: UUID, status: MessageStatus
) -> _Choice:
    """A message of this step is with a provider, or may be: there is nothing to decide."""
    choice.channel = channel.value
    if status in ACCEPTED:
        choice.standing = outbox.Standing(contact_id=contact_id, state=RecipientState.SENT)
    else:
        choice.standing = outbox.Standing(contact_id=contact_id, state=RecipientState.QUEUED, reason="outcome_unknown")
        choice.stale = message_id if status is MessageStatus.SENDING else None
    return choice


def _ends_everything(row: Candidate, status: CampaignStatus) -> bool:
    """Reasons that hold on every channel, so that the others need not be asked."""
    return bool(row.stop_reason or row.deleted_at) or status in {CampaignStatus.CANCELLED, CampaignStatus.FAILED}


def _ask(
    row: Candidate,
    campaign: LaunchedCampaign,
    step: Step,
    status: CampaignStatus,
    channel: Channel,
    lang: str,
    senders: Mapping[Channel, Sender],
    renderer: Renderer,
    message_id: UUID,
    now: datetime,
) -> tuple[Decision, Rendered | None]:
    opt_in_at, opt_out_at, suppression = consent_of(row, channel)
    has_template = channel is Channel.WHATSAPP and step.template.has_whatsapp_template(lang)
    decision = decide(
        GateFacts(
            now=now,
            channel=channel,
            purpose=campaign.purpose,
            campaign_status=status,
            stop_reason=StopReason(row.stop_reason) if row.stop_reason else None,
            contact_deleted=row.deleted_at is not None,
            address=address_of(row, channel),
            suppression=suppression,
            opt_in_at=opt_in_at,
            opt_out_at=opt_out_at,
            has_sender=channel in senders,
            message_type=MessageType.TEMPLATE if has_template else MessageType.TEXT,
            has_template=has_template,
            whatsapp_inbound_at=row.whatsapp_inbound_at,
            quiet_hours=campaign.quiet_hours,
            zones=contact_zones(row.timezone, row.phone or "", campaign.tenant_timezone)
            if campaign.quiet_hours
            else (),
        )
    )
    if decision.verdict is not Verdict.SEND:
        return decision, None
    context = {**campaign.variables, "contact": contact_context(row), "tenant": {"name": campaign.tenant_name}}
    try:
        rendered = renderer.render(
            step.template,
            channel,
            lang,
            context,
            tenant_id=campaign.tenant_id,
            contact_id=row.contact_id,
            message_id=message_id,
            purpose=campaign.purpose,
        )
    except InvalidInput as problem:
        return unrenderable(decision, problem), None
    return decision, rendered


def unrenderable(decision: Decision, problem: InvalidInput) -> Decision:
    """A message with a hole, or none at all, is not sent; another channel may do without what is missing here."""
    reason = "missing_variable" if isinstance(problem, MissingVariable) else "cannot_render"
    return Decision(verdict=Verdict.SKIP, reason=reason, inputs={**decision.inputs, "problem": problem.detail})


async def record(
    session: AsyncSession,
    campaign: LaunchedCampaign,
    step: Step,
    results: Sequence[tuple[Outgoing, Receipt | SendError]],
    *,
    claim_token: UUID,
    now: datetime,
) -> Recorded:
    """Write what the providers answered. Safe to repeat."""
    outcome = Recorded()
    accepted: dict[UUID, str] = {}
    refused: list[outbox.NotSent] = []
    contacts: dict[UUID, UUID] = {}
    for outgoing, result in results:
        contacts[outgoing.id] = outgoing.contact_id
        if isinstance(result, Receipt):
            accepted[outgoing.id] = result.provider_message_id
        else:
            refused.append(not_sent(outgoing.id, result, outgoing.attempts, now))
            await note_sender(session, outgoing, result)
            if isinstance(result, ProviderMisconfigured):
                outcome.trouble = result
    await outbox.mark_sent(session, accepted, [contacts[id] for id in accepted])
    written = await outbox.mark_not_sent(session, refused, claim_token)
    again: dict[UUID, datetime | None] = {}
    for item in refused:
        if item.id not in written:
            continue
        if item.status is MessageStatus.UNKNOWN:
            outcome.unknown += 1
        elif item.status is MessageStatus.FAILED:
            outcome.failed += 1
            again[contacts[item.id]] = None  # the next channel, at once
        else:
            outcome.retried += 1
            again[contacts[item.id]] = item.next_at
            if item.next_at and (outcome.retry_at is None or item.next_at < outcome.retry_at):
                outcome.retry_at = item.next_at
    await outbox.decide_again(session, campaign.id, step.position, again)
    outcome.sent = len(accepted)
    return outcome


async def note_sender(session: AsyncSession, outgoing: Outgoing, error: SendError) -> None:
    """What an answer means beyond its message: a limit slows the whole sender, a dead address is not used again."""
    if isinstance(error, RateLimited) and not error.recipient_only:
        await rate_buckets.block(
            session,
            tenant_id=outgoing.sender.tenant_id,
            settings_id=outgoing.sender.settings_id,
            length=error.retry_after or timedelta(seconds=1),
        )
    if isinstance(error, MessageRejected) and error.suppress:
        await outbox.suppress(
            session,
            tenant_id=outgoing.sender.tenant_id,
            channel=outgoing.sender.channel.value,
            address=outgoing.message.to,
            reason=error.suppress,
            source=f"{outgoing.sender.provider} {error.provider_code}".strip(),
        )


def not_sent(message_id: UUID, error: SendError, attempts: int, now: datetime) -> outbox.NotSent:
    """What becomes of a message after this answer: unknown, failed for good, or queued for another try."""
    code, detail = error.provider_code or error.code, error.detail
    if isinstance(error, OutcomeUnknown):
        return outbox.NotSent(id=message_id, status=MessageStatus.UNKNOWN, code=code, detail=detail)
    if isinstance(error, ProviderMisconfigured):  # waits for the mend; not the message's fault
        return outbox.NotSent(id=message_id, status=MessageStatus.QUEUED, code=code, detail=detail, next_at=now)
    gave_up = attempts >= MAX_TRANSIENT_ATTEMPTS and isinstance(error, ProviderUnavailable) and error.provider_code
    if not error.retryable or gave_up:
        return outbox.NotSent(id=message_id, status=MessageStatus.FAILED, code=code, detail=detail)
    return outbox.NotSent(
        id=message_id, status=MessageStatus.QUEUED, code=code, detail=detail, next_at=now + _pause(error, attempts)
    )


def _pause(error: SendError, attempts: int) -> timedelta:
    """What the provider asks for, else doubling from half a second to a minute, spread a little."""
    if error.retry_after is not None:
        return error.retry_after
    return timedelta(seconds=min(60.0, 0.5 * 2 ** min(attempts, 7)) * uniform(0.8, 1.2))


def utc_now() -> datetime:
    return datetime.now(UTC)
