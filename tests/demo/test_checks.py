"""The demo's own eyes: a campaign whose sides agree, and then one falsehood at a time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from app.demo.checks import Sides, compare
from app.demo.facts import Facts
from app.demo.roster import read_roster
from app.demo.story import Imported
from app.demo.watch import Engine
from app.domain.status import Channel, Direction, MessageStatus, MessageType, RecipientState, StopReason
from app.domain.status import SuppressionReason as Reason
from app.models import CampaignRecipient, Contact, Conversion, Decision, Event, EventSource, Message, Suppression

TENANT, CAMPAIGN, ANA, RUI, OFFER = (UUID(int=number) for number in range(1, 6))
LAUNCHED_AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOON = LAUNCHED_AT + timedelta(seconds=1)
DAY = timedelta(seconds=4)
PHONE, REFUSED = "+351912345678", "+351912345679"
FILE = f"""phone,email,first_name,consent_whatsapp,consent_email,consent_sms
912 345 678,ana@example.com,Ana,yes,,
{REFUSED},,Rui,no,,
12,,Nobody,yes,,
""".encode()
NOTHING_YET = dict.fromkeys(("sent", "delivered", "read", "clicked", "failed"), 0)


def offer(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": OFFER,
        "tenant_id": TENANT,
        "conversation_id": ANA,
        "contact_id": ANA,
        "campaign_id": CAMPAIGN,
        "channel": Channel.WHATSAPP,
        "direction": Direction.OUT,
        "type": MessageType.TEMPLATE,
        "status": MessageStatus.READ,
        "provider": "whatsapp_cloud",
        "provider_message_id": "wamid.1",
        "address": PHONE,
        **dict.fromkeys(("created_at", "sent_at", "delivered_at", "read_at"), SOON),
    }
    return Message(**{**values, **changes})


def decision(contact_id: UUID, channel: Channel, verdict: str, reason: str, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "contact_id": contact_id,
        "campaign_id": CAMPAIGN,
        "created_at": SOON,
    }
    return Decision(**values, channel=channel, verdict=verdict, reason=reason, **changes)


def world() -> Sides:
    """Ana gets the offer over WhatsApp, reads it and buys; Rui said no in the file; the third row has no address."""
    verdicts = {
        1: {"verdict": "created", "contact_id": str(ANA)},
        2: {"verdict": "created", "contact_id": str(RUI)},
        3: {"verdict": "rejected", "contact_id": ""},
    }
    counts = {"rows": 3, "created": 2, "updated": 0, "merged": 0, "rejected": 1}
    imported = Imported(counts=counts, verdicts=verdicts)
    base: dict[str, Any] = {"tenant_id": TENANT, "campaign_id": CAMPAIGN}
    facts = Facts(
        contacts={
            ANA: Contact(id=ANA, tenant_id=TENANT, phone=PHONE, email="ana@example.com"),
            RUI: Contact(id=RUI, tenant_id=TENANT, phone=REFUSED),
        },
        recipients={
            ANA: CampaignRecipient(
                **base,
                contact_id=ANA,
                state=RecipientState.SENT,
                stop_reason=StopReason.CONVERTED,
                converted_at=SOON,
                armed_at=SOON,
                ended_at=SOON,
            ),
            RUI: CampaignRecipient(**base, contact_id=RUI, state=RecipientState.SKIPPED, reason="suppressed_stop"),
        },
        sent=[offer()],
        received=[],
        decisions={
            ANA: [decision(ANA, Channel.WHATSAPP, "send", "allowed", message_id=OFFER)],
            RUI: [
                decision(RUI, Channel.WHATSAPP, "skip", "suppressed_stop"),
                decision(RUI, Channel.SMS, "skip", "no_consent"),
                decision(RUI, Channel.EMAIL, "skip", "no_address"),
            ],
        },
        suppressions={
            (Channel.WHATSAPP, REFUSED): Suppression(
                tenant_id=TENANT, channel=Channel.WHATSAPP, address=REFUSED, reason=Reason.STOP
            )
        },
        conversions=[
            Conversion(
                tenant_id=TENANT,
                contact_id=ANA,
                message_id=OFFER,
                amount=Decimal("19.90"),
                currency="EUR",
                order_id="ord-1",
            )
        ],
        events_of={},
    )
    whatsapp = {"delivered": 1, "read": 1, "bought": 1}
    nothing: dict[str, Any] = {"accepted": 0, "rejected": {}}
    once = {**NOTHING_YET, "sent": 1, "delivered": 1, "read": 1}
    return Sides(
        imported=imported,
        roster=read_roster(FILE, imported),
        facts=facts,
        stats={
            "accepted": [
                {
                    "provider": "whatsapp_cloud",
                    "recipient": PHONE,
                    "reference": str(OFFER),
                    "count": 1,
                    "message_ids": ["wamid.1"],
                }
            ],
            "totals": {
                "whatsapp_cloud": {"accepted": 1, "rejected": {}},
                "twilio": dict(nothing),
                "sendgrid": dict(nothing),
            },
            "people": {"bought": 1},
            "people_by_channel": {"whatsapp": whatsapp},
            "spent": {"EUR": "19.90"},
            "duplicates": 0,
            "webhooks": {"dropped": 0},
        },
        campaign={
            "counts": {
                **once,
                **dict.fromkeys(("replied", "opted_out", "held", "queued", "unknown"), 0),
                **dict.fromkeys(("converted", "skipped", "armed"), 1),
                "recipients": 2,
            },
            "skipped_by_reason": {"suppressed_stop": 1},
            "by_channel": {"whatsapp": once},
            "by_step": {"0": once},
        },
        overview={"total": {**once, "conversions": 1, "revenue": {"EUR": "19.90"}}},
        engine=Engine(running=0, completed=1, other=0),
        launched_at=LAUNCHED_AT,
        day=DAY,
    )


def accepted_twice(sides: Sides) -> None:
    sides.stats["accepted"][0]["count"] = 2


def a_message_nobody_accepted(sides: Sides) -> None:
    sides.stats["accepted"].clear()


def an_acceptance_without_message(sides: Sides) -> None:
    sides.stats["accepted"].append({**sides.stats["accepted"][0], "reference": str(UUID(int=99))})


def the_wrong_recipient(sides: Sides) -> None:
    sides.stats["accepted"][0]["recipient"] = REFUSED


def a_status_that_lags(sides: Sides) -> None:
    sides.facts.sent[0].status = MessageStatus.QUEUED


def a_total_that_is_off(sides: Sides) -> None:
    sides.stats["totals"]["twilio"]["accepted"] = 1


def a_refusal_without_row(sides: Sides) -> None:
    sides.stats["totals"]["twilio"]["rejected"]["21614"] = 1


def a_lost_receipt(sides: Sides) -> None:
    sides.facts.sent[0].read_at = None


def a_lost_reply(sides: Sides) -> None:
    sides.stats["people_by_channel"]["whatsapp"]["replied"] = 1


def a_lost_purchase(sides: Sides) -> None:
    sides.facts.conversions.clear()


def a_wrong_amount(sides: Sides) -> None:
    sides.facts.conversions[0].amount = Decimal("19.80")


def a_lost_stop(sides: Sides) -> None:
    sides.stats["people_by_channel"]["whatsapp"]["stopped"] = 1


def a_message_after_a_stop(sides: Sides) -> None:
    event = Event(tenant_id=TENANT, source=EventSource.WHATSAPP, kind="opted_out", contact_id=ANA, created_at=SOON)
    sides.facts.events_of[ANA] = [event]
    sides.facts.sent[0].created_at = SOON + 2 * DAY


def a_message_to_somebody_who_said_no(sides: Sides) -> None:
    sides.facts.decisions[RUI][0].verdict = "send"


def a_skip_without_cause(sides: Sides) -> None:
    sides.facts.decisions[ANA].append(decision(ANA, Channel.WHATSAPP, "skip", "no_consent", step=1))


def a_message_that_no_verdict_let_pass(sides: Sides) -> None:
    sides.facts.decisions[ANA][0].message_id = None


def a_follow_up_that_nobody_decided(sides: Sides) -> None:
    sides.facts.recipients[ANA].stop_reason = None


def a_channel_that_was_left_out(sides: Sides) -> None:
    del sides.facts.decisions[RUI][2]


def somebody_forgotten(sides: Sides) -> None:
    del sides.facts.recipients[RUI]


def an_address_that_changed(sides: Sides) -> None:
    sides.facts.contacts[ANA].email = "other@example.com"


def a_no_that_was_not_kept(sides: Sides) -> None:
    sides.facts.suppressions.clear()


def a_count_of_the_api(sides: Sides) -> None:
    sides.campaign["counts"]["delivered"] = 2


def a_step_of_the_api(sides: Sides) -> None:
    sides.campaign["by_step"]["0"] = {**NOTHING_YET}


def a_failed_workflow(sides: Sides) -> None:
    object.__setattr__(sides, "engine", Engine(running=0, completed=1, other=1))


class TestCompare:
    def test_nothing_differs_where_all_sides_agree(self) -> None:
        assert compare(world()) == []

    @pytest.mark.parametrize(
        ("falsify", "check"),
        [
            (accepted_twice, "ledger"),
            (a_message_nobody_accepted, "ledger"),
            (an_acceptance_without_message, "ledger"),
            (the_wrong_recipient, "ledger"),
            (a_status_that_lags, "ledger"),
            (a_total_that_is_off, "providers"),
            (a_refusal_without_row, "providers"),
            (a_lost_receipt, "people"),
            (a_lost_reply, "people"),
            (a_lost_purchase, "purchases"),
            (a_wrong_amount, "purchases"),
            (a_lost_stop, "opt-outs"),
            (a_message_after_a_stop, "opt-outs"),
            (a_message_to_somebody_who_said_no, "reasons"),
            (a_skip_without_cause, "reasons"),
            (a_message_that_no_verdict_let_pass, "reasons"),
            (a_follow_up_that_nobody_decided, "reasons"),
            (a_channel_that_was_left_out, "reasons"),
            (somebody_forgotten, "reasons"),
            (an_address_that_changed, "reasons"),
            (a_no_that_was_not_kept, "import"),
            (a_count_of_the_api, "api"),
            (a_step_of_the_api, "api"),
            (a_failed_workflow, "engine"),
        ],
    )
    def test_each_falsehood_is_seen(self, falsify: Callable[[Sides], None], check: str) -> None:
        sides = world()
        falsify(sides)
        assert check in {difference["check"] for difference in compare(sides)}


class TestReadRoster:
    @pytest.mark.parametrize(
        ("row", "verdict", "words"),
        [
            (1, "rejected", "was rejected, though it has +351912345678"),
            (2, "merged", "no earlier row"),
            (2, "updated", "had no contacts"),
            (3, "created", "neither a valid phone number"),
        ],
    )
    def test_a_verdict_that_does_not_fit_its_row_is_told(self, row: int, verdict: str, words: str) -> None:
        imported = world().imported
        imported.verdicts[row] = {"verdict": verdict, "contact_id": str(UUID(int=50 + row))}
        assert [words in told for told in read_roster(FILE, imported).differences] == [True]

    def test_a_no_in_one_row_stands_against_a_yes_in_another(self) -> None:
        file = f"phone,consent_sms\n{PHONE},no\n{PHONE},yes\n".encode()
        verdicts = {
            number: {"verdict": word, "contact_id": str(ANA)} for number, word in ((1, "created"), (2, "merged"))
        }
        roster = read_roster(file, Imported(counts={}, verdicts=verdicts))
        assert roster.people[ANA].consents == {Channel.SMS: "no"}
        assert roster.refused == {(Channel.SMS, PHONE)}
        assert roster.differences == []
