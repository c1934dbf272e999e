import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.frequency import Capped, FrequencyCap
from app.domain.gate import RULES, Decision, GateFacts, Verdict, decide
from app.domain.quiet_hours import DEFAULT
from app.domain.status import CampaignStatus, Channel, MessageType, Purpose, StopReason, SuppressionReason

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NIGHT = datetime(2026, 3, 2, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def facts(**changes: Any) -> GateFacts:
    """A consenting contact in Lisbon, at noon, in a running campaign: nothing is in the way."""
    passing = GateFacts(
        now=NOON,
        channel=Channel.WHATSAPP,
        purpose=Purpose.MARKETING,
        campaign_status=CampaignStatus.RUNNING,
        stop_reason=None,
        contact_deleted=False,
        address="+351912345678",
        suppression=None,
        opt_in_at=NOON - 48 * HOUR,
        opt_out_at=None,
        has_sender=True,
        message_type=MessageType.TEMPLATE,
        has_template=True,
        whatsapp_inbound_at=None,
        quiet_hours=DEFAULT,
        zones=("Europe/Lisbon",),
    )
    return replace(passing, **changes)


def verdict(**changes: Any) -> tuple[Verdict, str]:
    decision = decide(facts(**changes))
    return decision.verdict, decision.reason


class TestCampaignState:
    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (CampaignStatus.DRAFT, "campaign_not_launched"),
            (CampaignStatus.FAILED, "campaign_failed"),
            (CampaignStatus.CANCELLED, "campaign_cancelled"),
        ],
    )
    def test_a_campaign_that_does_not_run_skips(self, status: CampaignStatus, reason: str) -> None:
        assert verdict(campaign_status=status) == (Verdict.SKIP, reason)

    @pytest.mark.parametrize("status", [None, CampaignStatus.PENDING, CampaignStatus.RUNNING, CampaignStatus.DONE])
    def test_a_running_or_done_campaign_and_a_single_send_pass(self, status: CampaignStatus | None) -> None:
        assert verdict(campaign_status=status) == (Verdict.SEND, "allowed")

    def test_a_paused_campaign_holds_until_it_is_resumed(self) -> None:
        decision = decide(facts(campaign_status=CampaignStatus.PAUSED))
        assert (decision.verdict, decision.reason, decision.hold_until) == (Verdict.HOLD, "campaign_paused", None)

    def test_a_refusal_wins_over_the_hold_of_a_pause(self) -> None:
        paused = CampaignStatus.PAUSED
        assert verdict(campaign_status=paused, stop_reason=StopReason.REPLIED) == (Verdict.SKIP, "already_replied")
        assert verdict(campaign_status=paused, opt_in_at=None) == (Verdict.SKIP, "no_consent")


class TestStopped:
    @pytest.mark.parametrize(
        ("stop", "reason"),
        [
            (StopReason.REPLIED, "already_replied"),
            (StopReason.CONVERTED, "already_converted"),
            (StopReason.OPTED_OUT, "opted_out"),
            (StopReason.CANCELLED, "cancelled"),
            (StopReason.UNREACHABLE, "unreachable"),
            (StopReason.DELETED, "contact_deleted"),
        ],
    )
    def test_an_ended_sequence_skips_with_its_reason(self, stop: StopReason, reason: str) -> None:
        assert verdict(stop_reason=stop) == (Verdict.SKIP, reason)

    def test_every_stop_has_a_reason(self) -> None:
        assert all(verdict(stop_reason=stop)[0] is Verdict.SKIP for stop in StopReason)


class TestContact:
    def test_a_deleted_contact_is_left_alone(self) -> None:
        assert verdict(contact_deleted=True) == (Verdict.SKIP, "contact_deleted")


class TestAddress:
    def test_a_contact_without_address_is_skipped(self) -> None:
        assert verdict(address="") == (Verdict.SKIP, "no_address")

    @pytest.mark.parametrize("channel", [Channel.WHATSAPP, Channel.SMS])
    @pytest.mark.parametrize(
        "address", ["912345678", "+0912345678", "+35191234567890123", "ana@example.com", "+351 912", "+351912345678\n"]
    )
    def test_a_phone_channel_needs_e164(self, channel: Channel, address: str) -> None:
        assert verdict(channel=channel, address=address) == (Verdict.SKIP, "invalid_address")

    @pytest.mark.parametrize(
        "address", ["ana", "ana@", "@example.com", "ana@localhost", "a b@example.com", "+351912345678"]
    )
    def test_email_needs_a_mailbox_and_a_domain(self, address: str) -> None:
        assert verdict(channel=Channel.EMAIL, address=address) == (Verdict.SKIP, "invalid_address")

    def test_an_email_address_passes(self) -> None:
        assert verdict(channel=Channel.EMAIL, address="ana@mail.example.com") == (Verdict.SEND, "allowed")


class TestSuppression:
    @pytest.mark.parametrize("purpose", Purpose)
    @pytest.mark.parametrize("reason", SuppressionReason)
    def test_nothing_overrides_a_suppression(self, purpose: Purpose, reason: SuppressionReason) -> None:
        assert verdict(purpose=purpose, suppression=reason) == (Verdict.SKIP, f"suppressed_{reason}")


class TestConsent:
    @pytest.mark.parametrize(
        ("purpose", "opt_in", "opt_out", "expected"),
        [
            (Purpose.MARKETING, None, None, (Verdict.SKIP, "no_consent")),
            (Purpose.MARKETING, None, 1, (Verdict.SKIP, "opted_out")),
            (Purpose.MARKETING, 1, 2, (Verdict.SKIP, "opted_out")),
            (Purpose.MARKETING, 1, 1, (Verdict.SKIP, "opted_out")),
            (Purpose.MARKETING, 2, 1, (Verdict.SEND, "allowed")),
            (Purpose.TRANSACTIONAL, None, None, (Verdict.SEND, "allowed")),
            (Purpose.TRANSACTIONAL, None, 1, (Verdict.SKIP, "opted_out")),
            (Purpose.TRANSACTIONAL, 1, 2, (Verdict.SKIP, "opted_out")),
            (Purpose.TRANSACTIONAL, 2, 1, (Verdict.SEND, "allowed")),
        ],
    )
    def test_the_last_word_counts(
        self, purpose: Purpose, opt_in: int | None, opt_out: int | None, expected: tuple[Verdict, str]
    ) -> None:
        start = NOON - 90 * HOUR
        moments = {
            "opt_in_at": None if opt_in is None else start + opt_in * HOUR,
            "opt_out_at": None if opt_out is None else start + opt_out * HOUR,
        }
        assert verdict(purpose=purpose, **moments) == expected


class TestSender:
    def test_no_sender_skips(self) -> None:
        assert verdict(has_sender=False) == (Verdict.SKIP, "no_sender")


class TestWhatsappWindow:
    @pytest.mark.parametrize("kind", [MessageType.TEXT, MessageType.MEDIA, MessageType.LOCATION, MessageType.AUDIO])
    @pytest.mark.parametrize("inbound", [None, NOON - 24 * HOUR, NOON - 30 * HOUR])
    def test_outside_24_hours_it_needs_a_template(self, kind: MessageType, inbound: datetime | None) -> None:
        changes = {"message_type": kind, "whatsapp_inbound_at": inbound}
        assert verdict(**changes) == (Verdict.NEEDS_TEMPLATE, "outside_24h_window")
        assert verdict(**changes, purpose=Purpose.TRANSACTIONAL) == (Verdict.NEEDS_TEMPLATE, "outside_24h_window")

    def test_inside_24_hours_text_goes(self) -> None:
        inbound = NOON - timedelta(hours=23, minutes=59)
        assert verdict(message_type=MessageType.TEXT, whatsapp_inbound_at=inbound) == (Verdict.SEND, "allowed")

    def test_a_template_always_goes(self) -> None:
        assert verdict(message_type=MessageType.TEMPLATE, whatsapp_inbound_at=None) == (Verdict.SEND, "allowed")

    def test_other_channels_have_no_window(self) -> None:
        assert verdict(channel=Channel.SMS, message_type=MessageType.TEXT) == (Verdict.SEND, "allowed")


class TestSpacing:
    def test_a_follow_up_that_comes_too_soon_is_held_before_quiet_hours_are_asked(self) -> None:
        decision = decide(facts(now=NIGHT, spaced_until=NIGHT + 24 * HOUR))
        assert (decision.verdict, decision.reason) == (Verdict.HOLD, "spacing")
        assert decision.hold_until == NIGHT + 24 * HOUR
        assert decision.inputs["spaced_until"] == (NIGHT + 24 * HOUR).isoformat()


class TestLimits:
    def test_a_quota_that_is_used_up_holds_until_the_next_day_whatever_the_purpose(self) -> None:
        for purpose in Purpose:
            decision = decide(facts(quota_until=NIGHT, purpose=purpose))
            assert (decision.verdict, decision.reason) == (Verdict.HOLD, "daily_quota")
            assert decision.hold_until == NIGHT
            assert decision.inputs["quota_until"] == NIGHT.isoformat()

    def test_a_pair_that_is_taken_holds_until_it_is_free(self) -> None:
        decision = decide(facts(pair_free_at=NIGHT))
        assert (decision.verdict, decision.reason, decision.hold_until) == (Verdict.HOLD, "pair_limit", NIGHT)

    def test_what_may_never_leave_is_not_held(self) -> None:
        assert decide(facts(address="", quota_until=NIGHT, pair_free_at=NIGHT)).reason == "no_address"


class TestQuietHours:
    def test_marketing_waits_for_the_morning(self) -> None:
        decision = decide(facts(now=NIGHT))
        assert (decision.verdict, decision.reason) == (Verdict.HOLD, "quiet_hours")
        assert decision.hold_until == datetime(2026, 3, 3, 8, tzinfo=UTC)

    def test_transactional_does_not_wait(self) -> None:
        assert verdict(now=NIGHT, purpose=Purpose.TRANSACTIONAL) == (Verdict.SEND, "allowed")

    def test_without_quiet_hours_nothing_waits(self) -> None:
        assert verdict(now=NIGHT, quiet_hours=None) == (Verdict.SEND, "allowed")

    def test_the_contacts_zone_decides(self) -> None:
        assert verdict(now=NIGHT, zones=("America/New_York",)) == (Verdict.SEND, "allowed")

    def test_a_refusal_wins_over_the_hold(self) -> None:
        assert verdict(now=NIGHT, suppression=SuppressionReason.BOUNCE) == (Verdict.SKIP, "suppressed_bounce")


class TestFrequencyCap:
    CAP = FrequencyCap(channel=None, messages=3, period=168 * HOUR)

    def test_holds_until_the_earliest_leaves_the_period_but_no_longer_than_a_day(self) -> None:
        soon = Capped(until=NOON + 24 * HOUR, cap=self.CAP)
        decision = decide(facts(capped=soon))
        assert (decision.verdict, decision.reason, decision.hold_until) == (Verdict.HOLD, "frequency_cap", soon.until)
        assert (decision.inputs["cap"], decision.inputs["capped_until"]) == ("3 in 168 h", soon.until.isoformat())
        later = Capped(until=NOON + 25 * HOUR, cap=self.CAP)
        assert verdict(capped=later) == (Verdict.SKIP, "frequency_cap")

    def test_is_for_marketing_only(self) -> None:
        capped = Capped(until=NOON + HOUR, cap=self.CAP)
        assert verdict(capped=capped, purpose=Purpose.TRANSACTIONAL) == (Verdict.SEND, "allowed")

    def test_is_asked_at_the_moment_at_which_the_message_could_leave(self) -> None:
        later = Capped(until=NIGHT + 30 * HOUR, cap=self.CAP)
        assert verdict(now=NIGHT, capped=later) == (Verdict.HOLD, "quiet_hours")


class TestRecipientLimited:
    def test_holds_marketing_until_the_limit_is_over(self) -> None:
        decision = decide(facts(limited_until=NOON + HOUR))
        assert (decision.verdict, decision.reason) == (Verdict.HOLD, "recipient_limited")
        assert decision.hold_until == NOON + HOUR
        assert verdict(limited_until=NOON) == (Verdict.SEND, "allowed")

    def test_lets_transactional_messages_pass(self) -> None:
        assert verdict(limited_until=NOON + HOUR, purpose=Purpose.TRANSACTIONAL) == (Verdict.SEND, "allowed")


class TestMarketingOnly:
    OUT = {"opt_out_at": NOON - HOUR, "marketing_only": True}

    def test_a_no_to_marketing_alone_leaves_transactional_messages(self) -> None:
        assert verdict(**self.OUT) == (Verdict.SKIP, "opted_out")
        assert verdict(**self.OUT, purpose=Purpose.TRANSACTIONAL) == (Verdict.SEND, "allowed")


class TestAnswer:
    ASKED = {"answer": True, "purpose": Purpose.TRANSACTIONAL}

    @pytest.mark.parametrize("reason", [SuppressionReason.STOP, SuppressionReason.COMPLAINT])
    def test_goes_also_to_who_has_opted_out(self, reason: SuppressionReason) -> None:
        assert verdict(**self.ASKED, suppression=reason, opt_out_at=NOON - HOUR) == (Verdict.SEND, "allowed")

    @pytest.mark.parametrize("reason", [SuppressionReason.BOUNCE, SuppressionReason.INVALID, SuppressionReason.MANUAL])
    def test_never_goes_where_the_address_is_the_reason(self, reason: SuppressionReason) -> None:
        assert verdict(**self.ASKED, suppression=reason) == (Verdict.SKIP, f"suppressed_{reason}")


class TestDecide:
    def test_inputs_are_json_without_the_address(self) -> None:
        inputs = decide(facts()).inputs
        assert "912345678" not in json.dumps(inputs)
        assert inputs == {
            "now": "2026-03-02T12:00:00+00:00",
            "channel": "whatsapp",
            "campaign_status": "running",
            "has_address": True,
            "purpose": "marketing",
            "opt_in_at": "2026-02-28T12:00:00+00:00",
            "has_sender": True,
            "message_type": "template",
            "has_template": True,
            "quiet_hours": "21:00-08:00",
            "zones": ["Europe/Lisbon"],
        }

    def test_inputs_end_with_the_deciding_rule(self) -> None:
        assert decide(facts(stop_reason=StopReason.REPLIED)).inputs == {
            "now": "2026-03-02T12:00:00+00:00",
            "channel": "whatsapp",
            "campaign_status": "running",
            "stop_reason": "replied",
        }

    def test_many_zones_are_shortened(self) -> None:
        zones = ("Europe/Lisbon", "Europe/Madrid", "Europe/Paris", "Europe/Rome", "Europe/Berlin", "Europe/Vienna")
        assert decide(facts(zones=zones)).inputs["zones"] == [*zones[:4], "and 2 more"]

    def test_each_rule_alone_lets_the_passing_facts_pass(self) -> None:
        assert [rule(facts()) for rule in RULES] == [None] * len(RULES)

    def test_the_first_rule_that_objects_decides(self) -> None:
        objections: list[dict[str, Any]] = [
            {"campaign_status": CampaignStatus.CANCELLED},
            {"stop_reason": StopReason.CONVERTED},
            {"contact_deleted": True},
            {"address": ""},
            {"suppression": SuppressionReason.STOP},
            {"opt_in_at": None},
            {"has_sender": False},
            {"message_type": MessageType.TEXT},
            {"now": NIGHT},
        ]
        decisions: list[Decision] = []
        for place in range(len(objections)):
            merged: dict[str, Any] = {}
            for objection in objections[place:]:
                merged |= objection
            decisions.append(decide(facts(**merged)))
        assert [decision.reason for decision in decisions] == [
            "campaign_cancelled",
            "already_converted",
            "contact_deleted",
            "no_address",
            "suppressed_stop",
            "no_consent",
            "no_sender",
            "outside_24h_window",
            "quiet_hours",
        ]
