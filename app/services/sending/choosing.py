"""Which channel a recipient is written to: each in the step's order is asked at the gate, until one may send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from app import ids
from app.channels.base import Feature
from app.domain.frequency import Capped, Sent, capped
from app.domain.gate import ONE_CHANNEL, Decision, GateFacts, Verdict, decide
from app.domain.schedule import spaced_until
from app.domain.status import CampaignStatus, Channel, MessageStatus, MessageType, RecipientState, StopReason
from app.domain.template import Rendered
from app.domain.tenant_rules import TenantRules
from app.domain.zones import contact_zones
from app.errors import InvalidInput
from app.repositories import outbox
from app.repositories.outbox import Candidate
from app.services.limits import Permit
from app.services.senders import Sender
from app.services.sending.campaign import LaunchedCampaign, Step
from app.services.sending.rendering import (
    Renderer,
    address_of,
    consent_of,
    contact_context,
    frozen_request,
    marketing_only,
    stored_payload,
    unrenderable,
)

ACCEPTED = frozenset({MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ})


@dataclass(slots=True)
class Choice:
    """Where the recipient stands now, why, and the message to claim if one may leave."""

    standing: outbox.Standing
    verdicts: list[outbox.Verdict] = field(default_factory=list)
    withdrawn: dict[UUID, str] = field(default_factory=dict)  # queued messages that the gate refuses now, with why
    waiting: list[Decision] = field(default_factory=list)  # holds of the channels before the one that may send
    put_off: dict[UUID, str] = field(default_factory=dict)  # queued ones that those hold, needless once it is claimed
    claim: outbox.Claim | None = None
    rendered: Rendered | None = None
    stale: UUID | None = None  # a message that another attempt claimed and left
    repeated: UUID | None = None  # a message that may have left, and is to be claimed once more or given up
    channel: str = ""
    probe: bool = False  # finds out whether a refused sender was mended
    permit: Permit | None = None  # where the sender has a limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Chooser:
    """Decides the recipients of one step at one moment."""

    campaign: LaunchedCampaign
    step: Step
    status: CampaignStatus
    senders: Mapping[Channel, Sender]
    renderer: Renderer
    now: datetime
    day: timedelta = timedelta(days=1)
    alone: bool = False  # one recipient, whose message is no part of a batch
    rules: TenantRules = field(default_factory=TenantRules)  # as they are now, whatever they were at the launch
    sent: Mapping[UUID, Sequence[Sent]] = field(default_factory=dict)  # what counts for the frequency caps

    def choose(self, row: Candidate) -> Choice:
        """The first channel of the step's order that the gate lets pass, or why none does."""
        attempts: dict[str, str] = row.attempts or {}
        choice = Choice(standing=outbox.Standing(contact_id=row.contact_id, state=RecipientState.SKIPPED))
        if row.step > self.step.position and not attempts:  # a reset asks for a step that was left behind unsent
            reason = "left_behind"
            choice.standing = outbox.Standing(contact_id=row.contact_id, state=RecipientState.SKIPPED, reason=reason)
            return choice
        first_reason, failed, superseded = "", False, False
        waiting, put_off = choice.waiting, choice.put_off
        for channel in self._channels(attempts):
            message_id = ids.outbox_id(self.campaign.id, row.contact_id, self.step.position, channel.value)
            earlier = attempts.get(channel.value)
            if earlier in {MessageStatus.FAILED, MessageStatus.SKIPPED}:
                failed = failed or earlier == MessageStatus.FAILED
                continue
            if earlier == outbox.SUPERSEDED:
                superseded = True
                choice.verdicts.append(self._verdict(row, channel, self._late(), message_id))
                continue
            if earlier == outbox.REPEATABLE:
                choice.repeated = message_id
            elif earlier is not None and earlier != MessageStatus.QUEUED:
                choice.withdrawn = self._needless(row.contact_id, attempts, MessageStatus(earlier))
                return _already_out(choice, row.contact_id, channel, message_id, MessageStatus(earlier))
            decision, rendered = self._ask(row, channel, message_id)
            choice.channel = channel.value
            choice.verdicts.append(self._verdict(row, channel, decision, message_id if rendered else None))
            if rendered is not None:
                choice.claim, choice.rendered = self._claim(row, channel, message_id, rendered), rendered
                choice.standing = outbox.Standing(contact_id=row.contact_id, state=RecipientState.QUEUED)
                return choice
            if decision.verdict is Verdict.HOLD and decision.reason in ONE_CHANNEL and choice.repeated is None:
                waiting.append(decision)
                if earlier is not None:
                    put_off[message_id] = decision.reason
                continue
            if decision.verdict is Verdict.HOLD:
                choice.standing, choice.repeated = _held(row, _earliest([decision, *waiting])), None
                return choice
            if choice.repeated is not None:  # perhaps it has left: there is no other channel
                return _already_out(choice, row.contact_id, channel, message_id, MessageStatus.SENDING)
            first_reason = first_reason or decision.reason
            if earlier is not None:
                choice.withdrawn[message_id] = decision.reason
            if self._ends_everything(row):
                break
        if waiting and not superseded:
            choice.standing = _held(row, _earliest(waiting))
            return choice
        if superseded:  # it went out, and there is no better way
            choice.withdrawn |= put_off
            choice.standing = outbox.Standing(contact_id=row.contact_id, state=RecipientState.SENT)
            return choice
        state = RecipientState.FAILED if failed else RecipientState.SKIPPED
        choice.standing = outbox.Standing(contact_id=row.contact_id, state=state, reason=first_reason)
        return choice

    def _late(self) -> Decision:
        after = self.campaign.fallback_after or timedelta(0)
        inputs = {"now": self.now.isoformat(), "fallback_after_minutes": after.total_seconds() / 60}
        return Decision(verdict=Verdict.SKIP, reason="not_delivered_in_time", inputs=inputs)

    def _needless(self, contact_id: UUID, attempts: Mapping[str, str], status: MessageStatus) -> dict[UUID, str]:
        """Messages that still wait on another channel, while one was accepted."""
        if status not in ACCEPTED:
            return {}
        return {
            ids.outbox_id(self.campaign.id, contact_id, self.step.position, channel): "sent_on_another_channel"
            for channel, earlier in attempts.items()
            if earlier == MessageStatus.QUEUED
        }

    def _channels(self, attempts: dict[str, str]) -> tuple[Channel, ...]:
        """The step's order; but only the channel on which a message may have left, if there is one."""
        if outbox.REPEATABLE in attempts.values():
            return tuple(channel for channel in self.step.channels if attempts.get(channel) == outbox.REPEATABLE)
        return self.step.channels

    def hold(
        self,
        choice: Choice,
        row: Candidate,
        *,
        quota_until: datetime | None = None,
        pair_free_at: datetime | None = None,
    ) -> None:
        """The message may not leave yet after all: a limit was found that is only known once it is claimed."""
        channel = Channel(choice.channel)
        facts = replace(self._facts(row, channel), quota_until=quota_until, pair_free_at=pair_free_at)
        decision = decide(facts)
        choice.verdicts[-1] = self._verdict(row, channel, decision, None)
        choice.standing = _held(row, _earliest([decision, *choice.waiting]))
        choice.claim = choice.rendered = choice.repeated = None

    def _ask(self, row: Candidate, channel: Channel, message_id: UUID) -> tuple[Decision, Rendered | None]:
        """The gate's word, and the message when it may leave."""
        decision = decide(self._facts(row, channel))
        if decision.verdict is not Verdict.SEND:
            return decision, None
        context = {
            **self.campaign.variables,
            "contact": contact_context(row),
            "tenant": {"name": self.campaign.tenant_name},
        }
        try:
            rendered = self.renderer.render(
                self.step.template,
                channel,
                self._languages(row),
                context,
                tenant_id=self.campaign.tenant_id,
                contact_id=row.contact_id,
                message_id=message_id,
                purpose=self.campaign.purpose,
                media=self.senders[channel].takes_media,
            )
        except InvalidInput as problem:
            return unrenderable(decision, problem), None
        return decision, rendered

    def _languages(self, row: Candidate) -> tuple[str, ...]:
        return row.lang, self.campaign.tenant_lang

    def _facts(self, row: Candidate, channel: Channel) -> GateFacts:
        campaign = self.campaign
        opt_in_at, opt_out_at, suppression = consent_of(row, channel)
        has_template = channel is Channel.WHATSAPP and self.step.template.has_whatsapp_template(self._languages(row))
        zones: tuple[str, ...] = ()
        own = campaign.has_own_quiet_hours
        quiet_hours = campaign.own_quiet_hours if own else self.rules.quiet.of(row.country)
        if quiet_hours:
            zones = contact_zones(row.timezone, row.phone or "", campaign.tenant_timezone)
        return GateFacts(
            now=self.now,
            channel=channel,
            purpose=campaign.purpose,
            campaign_status=self.status,
            stop_reason=StopReason(row.stop_reason) if row.stop_reason else None,
            contact_deleted=row.deleted_at is not None,
            address=address_of(row, channel),
            suppression=suppression,
            opt_in_at=opt_in_at,
            opt_out_at=opt_out_at,
            has_sender=channel in self.senders,
            message_type=MessageType.TEMPLATE if has_template else MessageType.TEXT,
            has_template=has_template,
            whatsapp_inbound_at=row.whatsapp_inbound_at,
            spaced_until=self._spaced_until(row),
            quiet_hours=quiet_hours,
            zones=zones,
            marketing_only=marketing_only(row, channel),
            capped=self._capped(row, channel),
            limited_until=row.whatsapp_limited_until if channel is Channel.WHATSAPP else None,
        )

    def _capped(self, row: Candidate, channel: Channel) -> Capped | None:
        sent = self.sent.get(row.contact_id)
        return capped(self.rules.caps, channel, sent, self.now) if sent else None

    def _spaced_until(self, row: Candidate) -> datetime | None:
        """For a follow-up only; the launch follows nothing."""
        if not self.step.position or row.earlier_sent_at is None:
            return None
        return spaced_until(row.earlier_sent_at, self.step.gap_days * self.day, self.now)

    def _verdict(self, row: Candidate, channel: Channel, decision: Decision, message_id: UUID | None) -> outbox.Verdict:
        return outbox.Verdict(
            contact_id=row.contact_id,
            message_id=message_id,
            step=self.step.position,
            channel=channel.value,
            verdict=decision.verdict.value,
            reason=decision.reason,
            hold_until=decision.hold_until,
            inputs=decision.inputs,
        )

    def _claim(self, row: Candidate, channel: Channel, message_id: UUID, rendered: Rendered) -> outbox.Claim:
        sender = self.senders[channel]
        repeat_for = sender.repeat_for if self.alone or sender.batch == 1 else None  # only the whole batch has a key
        falls_back = channel != self.step.channels[-1] and Feature.DELIVERY_REPORTS in sender.adapter.features
        fallback_after = self.campaign.fallback_after if falls_back else None
        return outbox.Claim(
            id=message_id,
            contact_id=row.contact_id,
            channel=channel.value,
            type=rendered.type.value,
            template_name=rendered.template_name or self.step.template_name,
            lang=rendered.lang,
            address=address_of(row, channel),
            payload=stored_payload(rendered),
            settings_id=sender.settings_id,
            provider=sender.provider,
            frozen=frozen_request(rendered) if repeat_for else None,
            repeat_seconds=repeat_for.total_seconds() if repeat_for else None,
            fallback_seconds=fallback_after.total_seconds() if fallback_after is not None else None,
        )

    def _ends_everything(self, row: Candidate) -> bool:
        """Reasons that hold on every channel, so that the others need not be asked."""
        ended = self.status in {CampaignStatus.CANCELLED, CampaignStatus.FAILED}
        return ended or bool(row.stop_reason or row.deleted_at)


def _held(row: Candidate, decision: Decision) -> outbox.Standing:
    return outbox.Standing(
        contact_id=row.contact_id,
        state=RecipientState.HELD,
        reason=decision.reason,
        hold_until=decision.hold_until,
    )


def _earliest(holds: Sequence[Decision]) -> Decision:
    """The one that ends first; one without an end waits for what will end it."""
    return min(holds, key=lambda hold: hold.hold_until.timestamp() if hold.hold_until else 0.0)


def _already_out(choice: Choice, contact_id: UUID, channel: Channel, message_id: UUID, status: MessageStatus) -> Choice:
    """A message of this step is with a provider, or may be: there is nothing to decide."""
    choice.channel = channel.value
    if status in ACCEPTED:
        choice.standing = outbox.Standing(contact_id=contact_id, state=RecipientState.SENT)
    else:
        choice.standing = outbox.Standing(contact_id=contact_id, state=RecipientState.QUEUED, reason="outcome_unknown")
        choice.stale = message_id if status is MessageStatus.SENDING else None
    return choice
