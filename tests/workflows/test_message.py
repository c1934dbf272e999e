"""Single sends on the real engine."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel, MessageStatus, MessageType, Purpose, SuppressionReason
from app.models import Message
from app.services import consents
from app.settings import Settings
from tests.world import CORE, World, working, world

HELLO: dict[str, Any] = {"type": MessageType.TEXT, "payload_json": {"text": "Hello"}}
DOWN_TO_EMAIL = {
    "core_schema": CORE,
    "template_lang": "en",
    "variables": {"code": "42"},
    "fallback_order": ["sms", "email"],
}


@pytest.fixture
async def impatient(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """Nobody reports, and an unknown outcome is waited for two seconds only."""
    async with world(settings, sessions, client, unknown_deadline_seconds=2) as place:
        await place.at_any_hour()
        await place.add_senders()
        async with working(place):
            yield place


async def stands(relay: World, message: Message) -> list[tuple[str, str, str]]:
    """Channel, status and code of the message and what it fell back to, in order."""
    rows = await relay.rows(
        "SELECT channel, status, error_code FROM messages WHERE id = :id OR fallback_of = :id ORDER BY created_at, id",
        id=message.id,
    )
    return [tuple(row) for row in rows]


class TestSend:
    async def test_a_template_goes_from_queued_through_the_adapter_to_sent(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1, consents=())
        message = await relay.send(contact)
        assert await relay.outcome(message) == "sent"
        assert await stands(relay, message) == [("whatsapp", "sent", "")]
        assert await relay.accepted() == {(contact.phone, str(message.id)): 1}

    async def test_what_is_reported_later_moves_it_on(self, heard: World) -> None:
        await heard.behave(shares={"read": 1})
        (contact,) = await heard.add_contacts(1)
        message = await heard.send(contact)
        await heard.until("SELECT status FROM messages WHERE id = :id", ("read",), id=message.id)

    async def test_a_suppressed_address_is_skipped_and_the_reason_kept(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        async with relay.sessions.begin(relay.tenant.id) as session:
            await consents.record_opt_out(
                session,
                relay.tenant.id,
                contact.id,
                Channel.WHATSAPP,
                at=datetime.now(UTC),
                source="test",
                reason=SuppressionReason.STOP,
                address=contact.phone or "",
            )
        message = await relay.send(contact)
        assert await relay.outcome(message) == "skipped"
        assert await stands(relay, message) == [("whatsapp", "skipped", "suppressed_stop")]
        rows = await relay.rows("SELECT verdict, reason FROM decisions WHERE contact_id = :id", id=contact.id)
        assert rows == [("skip", "suppressed_stop")]

    async def test_marketing_without_consent_is_skipped(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1, consents=())
        message = await relay.send(contact, purpose=Purpose.MARKETING)
        assert await relay.outcome(message) == "skipped"
        assert await stands(relay, message) == [("whatsapp", "skipped", "no_consent")]

    async def test_a_refusal_goes_down_the_fallback_order_at_once(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults({"kind": "error", "provider": "whatsapp_cloud", "next": 1, "status": 400, "code": 131026})
        message = await relay.send(contact, payload_json=DOWN_TO_EMAIL)
        assert await relay.outcome(message) == "sent"
        assert await stands(relay, message) == [("whatsapp", "failed", "131026"), ("sms", "sent", "")]

    async def test_an_outage_is_waited_out(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults({"kind": "error", "provider": "whatsapp_cloud", "next": 2, "status": 503, "code": 131016})
        message = await relay.send(contact)
        assert await relay.outcome(message) == "sent"
        assert set((await relay.accepted()).values()) == {1}

    async def test_refused_on_every_channel_it_has_failed(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1, email=None)
        await relay.faults({"kind": "error", "provider": "whatsapp_cloud", "next": 1, "status": 400, "code": 131026})
        await relay.faults(
            {"kind": "error", "provider": "whatsapp_cloud", "next": 1, "status": 400, "code": 131026},
            {"kind": "error", "provider": "twilio", "next": 1, "status": 400, "code": 21617},
        )
        message = await relay.send(contact, payload_json=DOWN_TO_EMAIL)
        assert await relay.outcome(message) == "failed"
        assert await stands(relay, message) == [
            ("whatsapp", "failed", "131026"),
            ("sms", "failed", "21617"),
            ("email", "skipped", "no_address"),
        ]


class TestWindow:
    async def test_text_outside_of_it_needs_a_template(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        message = await relay.send(contact, **HELLO)
        assert await relay.outcome(message) == "skipped"
        assert await stands(relay, message) == [("whatsapp", "skipped", "outside_24h_window")]
        rows = await relay.rows("SELECT verdict FROM decisions WHERE contact_id = :id", id=contact.id)
        assert rows == [("needs_template",)]

    async def test_text_inside_of_it_is_sent(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        first = await heard.send(contact)
        await heard.outcome(first)
        await heard.write(contact, "Is it open on Sunday?")
        await heard.until("SELECT whatsapp_inbound_at IS NOT NULL FROM contacts WHERE id = :id", (True,), id=contact.id)
        message = await heard.send(contact, **HELLO)
        assert await heard.outcome(message) == "sent"


class TestReportedFailure:
    async def test_it_goes_to_the_next_channel_after_the_workflow_ended(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, "fail")
        message = await heard.send(contact, payload_json=DOWN_TO_EMAIL)
        await heard.until(
            "SELECT count(*) FROM messages WHERE fallback_of = :id AND status = 'delivered'", (1,), id=message.id
        )
        assert [channel for _, channel, count in await heard.sent_to(contact) if count == 1] == ["whatsapp", "sms"]

    async def test_of_the_fallback_too_and_each_channel_is_used_once(self, heard: World) -> None:
        await heard.behave(duplicate_share=1)
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, "fail")
        await heard.script(contact, Channel.SMS, "fail")
        message = await heard.send(contact, payload_json=DOWN_TO_EMAIL)
        await heard.until("SELECT count(*) FROM messages WHERE channel = 'email' AND status = 'delivered'", (1,))
        await heard.settle()
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1), (0, "email", 1)]
        assert [row[0] for row in await stands(heard, message)] == ["whatsapp", "sms", "email"]


class TestUnknownOutcome:
    async def test_transactional_is_sent_again_after_the_deadline(self, impatient: World) -> None:
        (contact,) = await impatient.add_contacts(1)
        await impatient.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        message = await impatient.send(contact)
        assert await impatient.outcome(message) == "sent"
        assert await impatient.accepted() == {(contact.phone, str(message.id)): 2}

    async def test_marketing_never_is(self, impatient: World) -> None:
        (contact,) = await impatient.add_contacts(1)
        await impatient.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        message = await impatient.send(contact, purpose=Purpose.MARKETING)
        await impatient.until(
            "SELECT status, unresolved_since IS NULL FROM messages WHERE id = :id", ("unknown", True), id=message.id
        )
        assert await impatient.accepted() == {(contact.phone, str(message.id)): 1}

    @pytest.mark.parametrize("payload", [HELLO["payload_json"], DOWN_TO_EMAIL], ids=["text", "template"])
    async def test_a_look_up_finds_that_it_was_accepted(self, impatient: World, payload: dict[str, Any]) -> None:
        (contact,) = await impatient.add_contacts(1)
        await impatient.faults({"kind": "reset", "provider": "twilio", "next": 1})
        type = MessageType.TEXT if "text" in payload else MessageType.TEMPLATE
        message = await impatient.send(contact, Channel.SMS, type=type, payload_json=payload)
        assert await impatient.outcome(message) == "sent"
        assert await impatient.accepted() == {(contact.phone, str(message.id)): 1}
        assert (await stands(impatient, message))[0] == ("sms", "sent", "")

    async def test_a_look_up_finds_that_it_was_not_and_it_is_sent_again(self, impatient: World) -> None:
        (contact,) = await impatient.add_contacts(1)
        await impatient.faults({"kind": "error", "provider": "twilio", "next": 1, "status": 503})
        message = await impatient.send(contact, Channel.SMS, **HELLO)
        assert await impatient.outcome(message) == "sent"
        assert await impatient.accepted() == {(contact.phone, str(message.id)): 1}

    async def test_a_look_up_does_not_take_an_equal_message_for_it(self, impatient: World) -> None:
        (contact,) = await impatient.add_contacts(1)
        first = await impatient.send(contact, Channel.SMS, **HELLO)
        assert await impatient.outcome(first) == "sent"
        await impatient.faults({"kind": "error", "provider": "twilio", "next": 1, "status": 503})
        second = await impatient.send(contact, Channel.SMS, **HELLO)
        assert await impatient.outcome(second) == "sent"
        assert await impatient.accepted() == {(contact.phone, str(id)): 1 for id in (first.id, second.id)}

    async def test_a_report_resolves_it(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        await heard.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        message = await heard.send(contact)
        assert await heard.outcome(message) == "sent"
        assert await heard.accepted() == {(contact.phone, str(message.id)): 1}


class TestHold:
    async def test_marketing_waits_for_the_end_of_quiet_hours(
        self, relay: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over_at = datetime.now(UTC) + timedelta(seconds=3)
        monkeypatch.setattr("app.domain.gate.allowed_at", lambda quiet, now, zones: over_at if now < over_at else None)
        (contact,) = await relay.add_contacts(1)
        message = await relay.send(contact, purpose=Purpose.MARKETING)
        assert await relay.outcome(message) == "sent"
        rows = await relay.rows(
            "SELECT verdict, reason FROM decisions WHERE contact_id = :id ORDER BY created_at", id=contact.id
        )
        assert rows == [("hold", "quiet_hours"), ("send", "allowed")]

    async def test_transactional_does_not_wait(self, relay: World, monkeypatch: pytest.MonkeyPatch) -> None:
        over_at = datetime.now(UTC) + timedelta(hours=3)
        monkeypatch.setattr("app.domain.gate.allowed_at", lambda quiet, now, zones: over_at)
        (contact,) = await relay.add_contacts(1)
        assert await relay.outcome(await relay.send(contact)) == "sent"


class TestStart:
    async def test_one_that_the_engine_never_heard_of_is_started(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        message = await relay.write_message(
            contact, workflow_started_at=None, created_at=datetime.now(UTC) - timedelta(minutes=1)
        )
        await relay.until("SELECT status FROM messages WHERE id = :id", (MessageStatus.SENT.value,), id=message.id)
        assert set((await relay.accepted()).values()) == {1}
