"""A single send through the gate and down its channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.channels.base import Feature, OutboundMessage
from app.domain.frequency import Sent, capped
from app.domain.gate import ONE_CHANNEL, Decision, GateFacts, Verdict, decide
from app.domain.keywords import Keyword
from app.domain.replies import ANSWER_WITHIN
from app.domain.status import Channel, MessageStatus, MessageType, Purpose
from app.domain.template import CompiledTemplate, Rendered, compile_stored
from app.domain.tenant_rules import TenantRules
from app.domain.zones import contact_zones
from app.errors import InvalidInput
from app.models import Message, Tenant
from app.repositories import outbox, sender_troubles, single_sends
from app.repositories.sender_troubles import Trouble
from app.services.limits import Permit, Room
from app.services.senders import Sender
from app.services.sending import (
    ACCEPTED,
    LOOK_AGAIN,
    REFUSED,
    Outgoing,
    Renderer,
    address_of,
    caps,
    consent_of,
    contact_context,
    draft_of,
    frozen_request,
    marketing_only,
    pairs,
    quotas,
    rooms,
    stored_payload,
    unrenderable,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleTurn:
    """`outgoing` is claimed and has to be sent; else `outcome` says how the message stands (see SendMessageResult).
    With `short` that sender has no room; nothing was changed then."""

    outcome: str
    outgoing: Outgoing | None = None
    channel: str = ""
    reason: str = ""
    hold_until: datetime | None = None
    trouble: Trouble | None = None
    short: Sender | None = None


@dataclass(frozen=True, slots=True)
class _Limits:
    """What the limits of the sender left to the message."""

    permit: Permit | None
    pair: pairs.Turn | None
    counted_on: date | None
    probe: bool = False


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the tenant has decided, and what counts for its frequency caps."""

    rules: TenantRules
    sent: Sequence[Sent]


@dataclass(slots=True)
class _Trail:
    """What was decided on the way down the channels."""

    verdicts: list[outbox.Verdict] = field(default_factory=list)
    reason: str = ""
    failed: bool = False
    superseded: str = ""  # the channel on which it went out, and was not delivered in time
    waiting: dict[UUID, SingleTurn] = field(default_factory=dict)  # messages that wait for their channel alone


async def claim_single(
    session: AsyncSession,
    message_id: UUID,
    *,
    senders: Mapping[Channel, Sender],
    renderer: Renderer,
    claim_token: UUID,
    unknown_deadline: timedelta,
    now: datetime,
    room: Room,
) -> SingleTurn:
    """Decide the message on its channels in order and claim the first that may leave."""
    rows = await single_sends.lock(session, message_id)
    root = rows[0]
    by_channel = {row.channel: row for row in rows}
    tenant = await session.get_one(Tenant, root.tenant_id)
    rules, own = TenantRules.parse(tenant.settings_json), [row.id for row in rows]
    sent = await caps.look(session, rules, root.purpose, [root.contact_id], now, own=own)
    wishes, trail = _Wishes(rules, sent.get(root.contact_id, ())), _Trail()
    fallbacks = [Channel(name) for name in root.payload_json.get("fallback_order", [])]
    turn: SingleTurn | None = None
    for channel in (root.channel, *(channel for channel in fallbacks if channel is not root.channel)):
        row = by_channel.get(channel)
        if row is None:
            id = ids.fallback_id(root.id, channel.value)
            await single_sends.fall_back(session, root.id, id, channel.value)
            row = await session.get_one(Message, id)
        turn = await _try(
            session, row, tenant, wishes, senders, renderer, claim_token, unknown_deadline, trail, now, room
        )
        if turn is not None:
            break
    if trail.waiting:
        turn = await _among_waiting(session, turn, trail)
    if turn is None or turn.short is None:
        await outbox.add_decisions(session, root.tenant_id, None, trail.verdicts)
    if turn is None and trail.superseded:  # there is no better way
        return SingleTurn(outcome="sent", channel=trail.superseded)
    return turn or SingleTurn(outcome="failed" if trail.failed else "skipped", reason=trail.reason)


async def _among_waiting(session: AsyncSession, turn: SingleTurn | None, trail: _Trail) -> SingleTurn | None:
    """Whoever waited for another channel waits no more once one sends, or has sent and there is no better way; else for
    what ends first."""
    if trail.superseded if turn is None else turn.outgoing:
        for id, held in trail.waiting.items():
            await single_sends.settle(session, id, MessageStatus.SKIPPED, [MessageStatus.QUEUED], code=held.reason)
        return turn
    if turn is not None and turn.outcome != "held":
        return turn
    holds = [*trail.waiting.values(), *([turn] if turn else [])]
    return min(holds, key=lambda hold: hold.hold_until.timestamp() if hold.hold_until else 0.0)


async def _try(
    session: AsyncSession,
    row: Message,
    tenant: Tenant,
    wishes: _Wishes,
    senders: Mapping[Channel, Sender],
    renderer: Renderer,
    claim_token: UUID,
    unknown_deadline: timedelta,
    trail: _Trail,
    now: datetime,
    room: Room,
) -> SingleTurn | None:
    """This channel's turn; None when the next one has to be tried."""
    channel = row.channel.value
    if row.status is MessageStatus.SENT and row.superseded_at is not None:
        trail.superseded = trail.superseded or channel
        return None
    if row.status in ACCEPTED:
        return SingleTurn(outcome="sent", channel=channel)
    if row.status in {MessageStatus.FAILED, MessageStatus.SKIPPED}:
        trail.failed = trail.failed or row.status is MessageStatus.FAILED
        trail.reason = trail.reason or row.error_code
        return None
    doubtful = row.status in {MessageStatus.SENDING, MessageStatus.UNKNOWN}
    if doubtful and not (row.repeat_until and now < row.repeat_until):
        return await _rest(session, row, claim_token, unknown_deadline, now)
    if not single_sends.due(row, now):
        return SingleTurn(outcome="retry", channel=channel, reason=row.error_code, hold_until=row.next_attempt_at)

    contact = await single_sends.contact(session, row.contact_id)
    languages = (row.lang, contact.lang, tenant.default_lang)
    template = _template(row)
    facts = _facts(row, contact, tenant, wishes, template, languages, row.channel in senders, now)
    decision = decide(facts)
    rendered: Rendered | None = None
    if decision.verdict is Verdict.SEND:
        try:
            media = senders[row.channel].takes_media
            rendered = _render(row, contact, tenant, template, languages, renderer, media)
        except InvalidInput as problem:
            decision = unrenderable(decision, problem)
    if rendered is not None:
        sender = senders[row.channel]
        if doubtful and not _same_request(row, contact, sender, now):
            return await _rest(session, row, claim_token, unknown_deadline, now)
        limited = await _limit(session, row, facts, sender, room)
        if isinstance(limited, SingleTurn):
            return limited
        if isinstance(limited, _Limits):
            trail.verdicts.append(_verdict(row, decision))
            rendered = await _shorten_links(session, row, rendered, sender, renderer)
            return await _claim(session, row, contact, rendered, sender, claim_token, now, limited)
        decision = limited
    trail.verdicts.append(_verdict(row, decision))
    if decision.verdict is Verdict.HOLD:
        held = SingleTurn(outcome="held", channel=channel, reason=decision.reason, hold_until=decision.hold_until)
        if doubtful or decision.reason not in ONE_CHANNEL:
            return held
        trail.waiting[row.id] = held
        return None
    if doubtful:  # perhaps it has left: there is no other channel
        return await _rest(session, row, claim_token, unknown_deadline, now)
    trail.reason = trail.reason or decision.reason
    detail = str(decision.inputs.get("problem", ""))
    await single_sends.settle(
        session, row.id, MessageStatus.SKIPPED, [MessageStatus.QUEUED], code=decision.reason, detail=detail
    )
    return None


def _verdict(row: Message, decision: Decision) -> outbox.Verdict:
    return outbox.Verdict(
        contact_id=row.contact_id,
        message_id=row.id,
        step=0,
        channel=row.channel.value,
        verdict=decision.verdict.value,
        reason=decision.reason,
        hold_until=decision.hold_until,
        inputs=decision.inputs,
    )


async def _limit(
    session: AsyncSession, row: Message, facts: GateFacts, sender: Sender, room: Room
) -> "_Limits | Decision | SingleTurn":
    """What the limits leave to the message, or the gate's word when one holds it; a turn when there is no room."""
    trouble = (await sender_troubles.still_open(session, row.tenant_id)).get(sender.settings_id)
    probe = trouble is not None and await sender_troubles.may_probe(session, trouble.id)
    if trouble is not None and not probe:
        until = facts.now + LOOK_AGAIN
        return SingleTurn(outcome="held", channel=row.channel.value, reason=REFUSED, hold_until=until, trouble=trouble)
    pauses = await rooms.pauses_of(session, [sender], room)
    permits = [] if pauses else room.take(sender, 1)
    if permits is not None and not permits:
        until = facts.now + (pauses.get(sender.settings_id) or room.return_in(sender))
        return SingleTurn(
            outcome="retry", channel=row.channel.value, reason="sender_limit", hold_until=until, short=sender
        )
    senders = {sender.channel: sender}
    allowance = await quotas.take(session, senders, {sender.channel: 1}, facts.now)
    if allowance is not None and not allowance.counts[sender.channel]:
        return decide(replace(facts, quota_until=allowance.until))
    paced = {row.contact_id: sender} if sender.recipient_interval else {}
    turns, busy = await pairs.take(session, row.tenant_id, paced)
    if busy:
        if allowance is not None:
            await quotas.give_back(session, sender, allowance.day, 1)
        return decide(replace(facts, pair_free_at=busy[row.contact_id]))
    return _Limits(
        permit=permits[0] if permits else None,
        pair=turns.get(row.contact_id),
        counted_on=allowance.day if allowance else None,
        probe=probe,
    )


async def _rest(
    session: AsyncSession, row: Message, claim_token: UUID, unknown_deadline: timedelta, now: datetime
) -> SingleTurn:
    """What became of it is unknown, and stays so until a report, a look-up or the deadline: the resolver looks it up or
    applies the policy, and wakes the workflow."""
    if row.status is MessageStatus.SENDING:
        await outbox.abandon(session, [row.id], claim_token)
    await outbox.give_up(session, [row.id])
    since = row.unresolved_since
    until = max(since + unknown_deadline, now) + timedelta(minutes=1) if since else None
    return SingleTurn(outcome="unknown", channel=row.channel.value, reason=row.error_code, hold_until=until)


def _same_request(row: Message, contact: Any, sender: Sender, now: datetime) -> bool:
    """Whether the provider would know what it was handed before."""
    known = row.repeat_until is not None and now < row.repeat_until
    return known and row.settings_id == sender.settings_id and row.address == address_of(contact, row.channel)


async def _shorten_links(
    session: AsyncSession, row: Message, rendered: Rendered, sender: Sender, renderer: Renderer
) -> Rendered:
    draft = draft_of(row.id, rendered, row.channel, row.purpose, sender.provider)
    return (await renderer.shortener.shorten(session, row.tenant_id, [draft])).get(row.id, rendered)


async def _claim(
    session: AsyncSession,
    row: Message,
    contact: Any,
    rendered: Rendered,
    sender: Sender,
    claim_token: UUID,
    now: datetime,
    limits: "_Limits",
) -> SingleTurn:
    repeat_until = now + sender.repeat_for if sender.repeat_for else None
    frozen = frozen_request(rendered) if repeat_until else None
    if row.frozen_json and _same_request(row, contact, sender, now):
        frozen, repeat_until = row.frozen_json, row.repeat_until
        rendered = replace(rendered, type=MessageType(frozen["type"]), content=frozen["content"])
    attempts = await single_sends.claim(
        session,
        row.id,
        claim_token,
        sources=[row.status],
        sent=stored_payload(rendered),
        frozen=frozen,
        repeat_until=repeat_until,
        settings_id=sender.settings_id,
        provider=sender.provider,
        address=address_of(contact, row.channel),
        lang=rendered.lang,
        template_name=rendered.template_name or row.template_name,
        fallback_after=_fallback_after(row, sender),
    )
    assert attempts is not None, "the row is locked"
    message = OutboundMessage(
        reference=row.id,
        tenant_id=row.tenant_id,
        settings_id=sender.settings_id,
        channel=row.channel,
        type=rendered.type,
        to=address_of(contact, row.channel),
        purpose=row.purpose,
        content=rendered.content,
    )
    outgoing = Outgoing(
        id=row.id,
        contact_id=row.contact_id,
        sender=sender,
        message=message,
        attempts=attempts,
        repeat_until=repeat_until,
        doubtful=row.status is not MessageStatus.QUEUED,
        probe=limits.probe,
        permit=limits.permit,
        pair=limits.pair,
        counted_on=limits.counted_on,
    )
    return SingleTurn(outcome="sending", outgoing=outgoing, channel=row.channel.value)


def _fallback_after(row: Message, sender: Sender) -> timedelta | None:
    """When the next channel has its turn, unless this message was delivered by then."""
    order, seconds = row.payload_json.get("fallback_order", []), row.payload_json.get("fallback_after_seconds")
    if seconds is None or Feature.DELIVERY_REPORTS not in sender.adapter.features or row.channel.value == order[-1]:
        return None
    return timedelta(seconds=seconds)


def _template(row: Message) -> CompiledTemplate | None:
    schema = row.payload_json.get("core_schema")
    return compile_stored(schema, lang=row.payload_json.get("template_lang", "")) if schema else None


def _facts(
    row: Message,
    contact: Any,
    tenant: Tenant,
    wishes: _Wishes,
    template: CompiledTemplate | None,
    languages: tuple[str, ...],
    has_sender: bool,
    now: datetime,
) -> GateFacts:
    opt_in_at, opt_out_at, suppression = consent_of(contact, row.channel)
    on_whatsapp = row.channel is Channel.WHATSAPP
    has_template = on_whatsapp and template is not None and template.has_whatsapp_template(languages)
    kind = MessageType.TEXT if row.type is MessageType.TEMPLATE else row.type
    quiet = wishes.rules.quiet.of(contact.country)
    return GateFacts(
        now=now,
        channel=row.channel,
        purpose=row.purpose,
        campaign_status=None,
        stop_reason=None,
        contact_deleted=contact.deleted_at is not None,
        address=address_of(contact, row.channel),
        suppression=suppression,
        opt_in_at=opt_in_at,
        opt_out_at=opt_out_at,
        has_sender=has_sender,
        message_type=MessageType.TEMPLATE if has_template else kind,
        has_template=has_template,
        whatsapp_inbound_at=contact.whatsapp_inbound_at,
        quiet_hours=quiet,
        zones=contact_zones(contact.timezone, contact.phone or "", tenant.timezone) if quiet else (),
        marketing_only=marketing_only(contact, row.channel),
        answer=_is_answer(row, now),
        capped=capped(wishes.rules.caps, row.channel, wishes.sent, now),
        limited_until=contact.whatsapp_limited_until if on_whatsapp else None,
    )


def _is_answer(row: Message, now: datetime) -> bool:
    """To a keyword that the contact sent a moment ago; only Relay itself writes such messages."""
    answers = row.payload_json.get("answers")
    if answers is None:
        return False
    return now - datetime.fromisoformat(answers["at"]) <= ANSWER_WITHIN[Keyword(answers["keyword"])]


def _render(
    row: Message,
    contact: Any,
    tenant: Tenant,
    template: CompiledTemplate | None,
    languages: tuple[str, ...],
    renderer: Renderer,
    media: bool,
) -> Rendered:
    payload = row.payload_json
    if template is not None:
        context = {
            **payload.get("variables", {}),
            "contact": contact_context(contact),
            "tenant": {"name": tenant.name},
        }
        return renderer.render(
            template,
            row.channel,
            languages,
            context,
            tenant_id=row.tenant_id,
            contact_id=row.contact_id,
            message_id=row.id,
            purpose=row.purpose,
            media=media,
        )
    lang, short = next((lang for lang in languages if lang), ""), payload.get("short_links", False)
    if row.type is not MessageType.TEXT:
        return Rendered(
            type=row.type, template_name="", lang=lang, short_links=short, content=dict(payload.get("content", {}))
        )
    body = payload.get("text", "")
    if row.channel is not Channel.EMAIL:
        pressed = payload.get("content", {})
        content = {"body": body, **pressed}
        return Rendered(type=MessageType.TEXT, template_name="", lang=lang, short_links=short, content=content)
    content = {"subject": payload.get("subject") or tenant.name, "text": body}
    if row.purpose is Purpose.MARKETING:
        content = renderer.with_unsubscribe(
            content, tenant_id=row.tenant_id, contact_id=row.contact_id, message_id=row.id
        )
    return Rendered(type=MessageType.TEXT, template_name="", lang=lang, content=content)
