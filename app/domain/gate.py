"""The gate: may this message leave now? One pure function over facts, decided by the first rule that objects.

Rules that refuse come before rules that wait, so a message that may never leave is not held first.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.consent import is_opted_in, is_opted_out
from app.domain.frequency import Capped
from app.domain.quiet_hours import QuietHours, allowed_at
from app.domain.replies import OWN_WORD
from app.domain.status import CampaignStatus, Channel, MessageType, Purpose, StopReason, SuppressionReason

E164 = re.compile(r"\+[1-9]\d{6,14}")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
WHATSAPP_WINDOW = timedelta(hours=24)
CAMPAIGN_ENDED = {
    CampaignStatus.DRAFT: "campaign_not_launched",
    CampaignStatus.FAILED: "campaign_failed",
    CampaignStatus.CANCELLED: "campaign_cancelled",
}
STOPPED = {
    StopReason.REPLIED: "already_replied",
    StopReason.CONVERTED: "already_converted",
    StopReason.OPTED_OUT: "opted_out",
    StopReason.CANCELLED: "cancelled",
    StopReason.UNREACHABLE: "unreachable",
    StopReason.DELETED: "contact_deleted",
}
ZONES_SHOWN = 4
# What a frequency cap would keep waiting for longer than a day is old news by then. A minute more, because the message
# that a cap of a day counts may have left while this one was decided.
LONGEST_CAP_HOLD = timedelta(hours=24, minutes=1)
# Holds of one channel: the others are asked first, and only if none of them may send does the message wait.
ONE_CHANNEL = frozenset({"recipient_limited"})


class Verdict(StrEnum):
    SEND = "send"
    HOLD = "hold"
    SKIP = "skip"
    NEEDS_TEMPLATE = "needs_template"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFacts:
    """All that a decision may depend on. Times are aware."""

    now: datetime
    channel: Channel
    purpose: Purpose
    campaign_status: CampaignStatus | None  # None: a single send
    stop_reason: StopReason | None
    contact_deleted: bool
    address: str  # empty when the contact has none for this channel
    suppression: SuppressionReason | None
    opt_in_at: datetime | None
    opt_out_at: datetime | None
    has_sender: bool  # an active channel setting exists
    message_type: MessageType  # what rendering would send on this channel
    has_template: bool  # for WhatsApp: an approved template can be used
    whatsapp_inbound_at: datetime | None
    quiet_hours: QuietHours | None
    zones: tuple[str, ...]  # the zone of the contact, or every zone its number may be in, or the tenant's
    spaced_until: datetime | None = None  # a follow-up that comes too soon after the message before it
    marketing_only: bool = False  # the last no was to marketing alone
    answer: bool = False  # to a keyword that the person has sent just now
    capped: Capped | None = None  # the contact had as many marketing messages as the tenant allows
    limited_until: datetime | None = None  # the provider takes no marketing to this person on the channel before
    # known only once all others let pass, since looking at them also takes what they leave
    quota_until: datetime | None = None  # the end of the day, when its quota is used up
    pair_free_at: datetime | None = None  # when the provider takes the next message from this sender to this recipient


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`inputs` is JSON: what the deciding rule and those before it looked at, without the address."""

    verdict: Verdict
    reason: str
    hold_until: datetime | None = None  # UTC; None with HOLD: until something changes
    inputs: dict[str, Any] = field(default_factory=dict)


def campaign_state(facts: GateFacts) -> Decision | None:
    """A done campaign lets pass: it is done once every follow-up is armed, while its sequences go on."""
    reason = CAMPAIGN_ENDED.get(facts.campaign_status) if facts.campaign_status else None
    return _skip(reason) if reason else None


def stopped(facts: GateFacts) -> Decision | None:
    return _skip(STOPPED[facts.stop_reason]) if facts.stop_reason else None


def contact(facts: GateFacts) -> Decision | None:
    return _skip("contact_deleted") if facts.contact_deleted else None


def address(facts: GateFacts) -> Decision | None:
    if not facts.address:
        return _skip("no_address")
    valid = (EMAIL if facts.channel is Channel.EMAIL else E164).fullmatch(facts.address)
    return None if valid else _skip("invalid_address")


def suppression(facts: GateFacts) -> Decision | None:
    """Nothing overrides a suppression, whatever the purpose; but who asks for help is answered."""
    if facts.suppression is None or (facts.answer and facts.suppression in OWN_WORD):
        return None
    return _skip(f"suppressed_{facts.suppression.value}")


def consent(facts: GateFacts) -> Decision | None:
    """Marketing needs a yes after the last no; transactional only that there is no no after the last yes. A no to
    marketing alone leaves transactional messages, and an answer is what the person has asked for."""
    if is_opted_out(facts.opt_in_at, facts.opt_out_at) and not facts.answer:
        if facts.purpose is Purpose.MARKETING or not facts.marketing_only:
            return _skip("opted_out")
    if facts.purpose is Purpose.MARKETING and not is_opted_in(facts.opt_in_at, facts.opt_out_at):
        return _skip("no_consent")
    return None


def sender(facts: GateFacts) -> Decision | None:
    return None if facts.has_sender else _skip("no_sender")


def whatsapp_window(facts: GateFacts) -> Decision | None:
    """Free-form WhatsApp messages go only within 24 h of the last message from the contact."""
    if facts.channel is not Channel.WHATSAPP or facts.message_type is MessageType.TEMPLATE:
        return None
    inbound = facts.whatsapp_inbound_at
    if inbound is not None and facts.now - inbound < WHATSAPP_WINDOW:
        return None
    return Decision(verdict=Verdict.NEEDS_TEMPLATE, reason="outside_24h_window")


def campaign_pause(facts: GateFacts) -> Decision | None:
    if facts.campaign_status is CampaignStatus.PAUSED:
        return Decision(verdict=Verdict.HOLD, reason="campaign_paused")
    return None


def spacing(facts: GateFacts) -> Decision | None:
    if facts.spaced_until is None:
        return None
    return Decision(verdict=Verdict.HOLD, reason="spacing", hold_until=facts.spaced_until)


def quiet_hours(facts: GateFacts) -> Decision | None:
    if facts.quiet_hours is None or facts.purpose is not Purpose.MARKETING:
        return None
    until = allowed_at(facts.quiet_hours, facts.now, facts.zones)
    return Decision(verdict=Verdict.HOLD, reason="quiet_hours", hold_until=until) if until else None


def frequency_cap(facts: GateFacts) -> Decision | None:
    """After the quiet hours, since it counts at the moment at which the message could leave."""
    if facts.capped is None or facts.purpose is not Purpose.MARKETING:
        return None
    if facts.capped.until - facts.now > LONGEST_CAP_HOLD:
        return _skip("frequency_cap")
    return Decision(verdict=Verdict.HOLD, reason="frequency_cap", hold_until=facts.capped.until)


def recipient_limited(facts: GateFacts) -> Decision | None:
    """WhatsApp's limit of marketing per person, whichever business sent it: sooner would be refused again."""
    until = facts.limited_until
    if until is None or until <= facts.now or facts.purpose is not Purpose.MARKETING:
        return None
    return Decision(verdict=Verdict.HOLD, reason="recipient_limited", hold_until=until)


def daily_quota(facts: GateFacts) -> Decision | None:
    """Whatever the purpose: a quota that some may exceed is none."""
    if facts.quota_until is None:
        return None
    return Decision(verdict=Verdict.HOLD, reason="daily_quota", hold_until=facts.quota_until)


def pair_limit(facts: GateFacts) -> Decision | None:
    if facts.pair_free_at is None:
        return None
    return Decision(verdict=Verdict.HOLD, reason="pair_limit", hold_until=facts.pair_free_at)


RULES: tuple[Callable[[GateFacts], Decision | None], ...] = (
    campaign_state,
    stopped,
    contact,
    address,
    suppression,
    consent,
    sender,
    whatsapp_window,
    campaign_pause,
    spacing,
    quiet_hours,
    frequency_cap,
    recipient_limited,
    daily_quota,
    pair_limit,
)


def decide(facts: GateFacts) -> Decision:
    """The verdict of the first rule that objects, else SEND; with what was looked at."""
    for place, rule in enumerate(RULES, start=1):
        decision = rule(facts)
        if decision is not None:
            return replace(decision, inputs=_inputs(facts, place))
    return Decision(verdict=Verdict.SEND, reason="allowed", inputs=_inputs(facts, len(RULES)))


def _skip(reason: str) -> Decision:
    return Decision(verdict=Verdict.SKIP, reason=reason)


def _utc(moment: datetime) -> str:
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()


def _inputs(facts: GateFacts, rules: int) -> dict[str, Any]:
    """What the first `rules` rules saw, in their order; what is absent is left out.

    Written out by hand: it runs for every message, and a table of readers takes three times as long.
    """
    inputs: dict[str, Any] = {"now": _utc(facts.now), "channel": facts.channel.value}
    if facts.campaign_status is not None:
        inputs["campaign_status"] = facts.campaign_status.value
    if facts.stop_reason is not None and rules >= _STOPPED:
        inputs["stop_reason"] = facts.stop_reason.value
    if facts.contact_deleted and rules >= _CONTACT:
        inputs["contact_deleted"] = True
    if rules >= _ADDRESS:
        inputs["has_address"] = facts.address != ""
    if facts.suppression is not None and rules >= _SUPPRESSION:
        inputs["suppression"] = facts.suppression.value
    if rules >= _CONSENT:
        inputs["purpose"] = facts.purpose.value
        if facts.opt_in_at is not None:
            inputs["opt_in_at"] = _utc(facts.opt_in_at)
        if facts.opt_out_at is not None:
            inputs["opt_out_at"] = _utc(facts.opt_out_at)
        if facts.marketing_only:
            inputs["marketing_only"] = True
        if facts.answer:
            inputs["answer"] = True
    if rules >= _SENDER:
        inputs["has_sender"] = facts.has_sender
    if rules >= _WINDOW and facts.channel is Channel.WHATSAPP:
        inputs["message_type"] = facts.message_type.value
        inputs["has_template"] = facts.has_template
        if facts.whatsapp_inbound_at is not None:
            inputs["whatsapp_inbound_at"] = _utc(facts.whatsapp_inbound_at)
    if facts.spaced_until is not None and rules >= _SPACING:
        inputs["spaced_until"] = _utc(facts.spaced_until)
    if rules >= _QUIET and facts.quiet_hours is not None and facts.purpose is Purpose.MARKETING:
        inputs["quiet_hours"] = str(facts.quiet_hours)
        inputs["zones"] = _shown(facts.zones)
    if facts.capped is not None and rules >= _CAP:
        inputs["cap"] = str(facts.capped.cap)
        inputs["capped_until"] = _utc(facts.capped.until)
    if facts.limited_until is not None and rules >= _LIMITED:
        inputs["limited_until"] = _utc(facts.limited_until)
    if facts.quota_until is not None:
        inputs["quota_until"] = _utc(facts.quota_until)
    if facts.pair_free_at is not None:
        inputs["pair_free_at"] = _utc(facts.pair_free_at)
    return inputs


def _shown(zones: tuple[str, ...]) -> list[str]:
    """A number without area code may be in thirty zones: the first few and how many more."""
    if len(zones) <= ZONES_SHOWN:
        return list(zones)
    return [*zones[:ZONES_SHOWN], f"and {len(zones) - ZONES_SHOWN} more"]


_PLACES = {rule: place for place, rule in enumerate(RULES, start=1)}
_STOPPED, _CONTACT, _ADDRESS = _PLACES[stopped], _PLACES[contact], _PLACES[address]
_SUPPRESSION, _CONSENT, _SENDER = _PLACES[suppression], _PLACES[consent], _PLACES[sender]
_WINDOW, _SPACING, _QUIET = _PLACES[whatsapp_window], _PLACES[spacing], _PLACES[quiet_hours]
_CAP, _LIMITED = _PLACES[frequency_cap], _PLACES[recipient_limited]
