"""Mailgun's webhooks and routes: signatures, events, and what people answer."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.mailgun import events as mailgun
from app.errors import InvalidSignature, Malformed
from tests.channels.contract import JSON, SHARED, TEXT, assert_storable
from tests.channels.email.mailgun_samples import (
    FORM,
    MESSAGE_ID,
    OWN_ID,
    TYPES,
    fresh,
    parse,
    payload,
    receiver,
    signature,
    with_signature,
)
from tests.channels.samples import REFERENCE, SETTINGS_ID, recorded, webhook


class TestVerify:
    @pytest.mark.parametrize("name", ["bounced.json", "reply.txt", "reply_with_a_file.multipart"])
    def test_published_vector_is_accepted(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setattr(time, "time", lambda: 1772442904.0)
        receiver().verify(payload(name))

    def test_event_of_a_subaccount_is_signed_by_its_parent_as_well(self) -> None:
        theirs = fresh(key="another")
        values = {**theirs, "parent-signature": fresh()["signature"]}
        receiver().verify(with_signature(payload("bounced.json"), values))
        with pytest.raises(InvalidSignature):
            receiver().verify(with_signature(payload("bounced.json"), {**theirs, "parent-signature": "0" * 64}))

    @pytest.mark.parametrize("age", [-240, 0, 8 * 3600, 23 * 3600])
    def test_repeat_of_some_hours_is_accepted(self, age: int) -> None:
        receiver().verify(with_signature(payload("bounced.json"), fresh(age)))

    @pytest.mark.parametrize("age", [-400, 25 * 3600])
    def test_signature_from_another_time_is_refused(self, age: int) -> None:
        with pytest.raises(InvalidSignature, match="timestamp"):
            receiver().verify(with_signature(payload("bounced.json"), fresh(age)))

    @pytest.mark.parametrize("timestamp", ["soon", "1e9", "²", "-1", "9" * 400, " 1790000000"])
    def test_signed_nonsense_is_not_a_time(self, timestamp: str) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(with_signature(payload("bounced.json"), signature(timestamp, "token")))

    def test_number_for_a_time_is_read(self) -> None:
        values: dict[str, Any] = fresh()
        receiver().verify(with_signature(payload("bounced.json"), {**values, "timestamp": int(values["timestamp"])}))

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"signature": 1, "event-data": {}}', b'{"event-data": {}}'])
    def test_what_has_no_signature_is_refused(self, body: bytes) -> None:
        for content_type in TYPES.values():
            with pytest.raises(InvalidSignature):
                receiver().verify(webhook(body, content_type=content_type))


class TestParse:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("accepted", EventKind.ACCEPTED),
            ("delivered", EventKind.DELIVERED),
            ("deferred", EventKind.DEFERRED),
            ("bounced", EventKind.FAILED),
            ("rejected", EventKind.FAILED),
            ("opened", EventKind.READ),
            ("opened_by_a_program", EventKind.UNKNOWN),
            ("clicked", EventKind.CLICKED),
            ("clicked_by_a_program", EventKind.UNKNOWN),
            ("unsubscribed", EventKind.OPTED_OUT),
            ("complained", EventKind.COMPLAINED),
            ("stored", EventKind.INBOUND),
            ("list_uploaded", EventKind.UNKNOWN),
            ("routed", EventKind.UNKNOWN),
        ],
    )
    def test_event_gives_the_kind(self, name: str, kind: EventKind) -> None:
        assert parse(f"{name}.json").kind is kind

    def test_delivery_names_message_address_and_time(self) -> None:
        event = parse("delivered.json")
        assert (event.reference, event.provider_message_id) == (str(REFERENCE), MESSAGE_ID)
        assert event.address == "rui@example.com"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 4, 120_731, UTC)
        assert (event.error_code, event.suppress, event.data["account"]) == ("", "", str(SETTINGS_ID))

    def test_key_is_the_id_and_its_day(self) -> None:
        item = json.loads(recorded("mailgun", "delivered.json"))
        keys = set()
        for moment in (1772442904.1, 1772442904.9, 1772529304.1):
            item["event-data"]["timestamp"] = moment
            (event,) = receiver().parse(webhook(json.dumps(item).encode(), content_type=TYPES["json"]))
            keys.add(event.key)
        assert keys == {"k7Qd1mRzT3u0aX9fLw2c02/2026-03-02", "k7Qd1mRzT3u0aX9fLw2c02/2026-03-03"}

    def test_the_same_token_again_is_the_same_report(self) -> None:
        (first,) = receiver().parse(with_signature(payload("delivered.json"), fresh()))
        (again,) = receiver().parse(with_signature(payload("delivered.json"), fresh(age=600)))
        assert first.key == again.key

    @pytest.mark.parametrize(
        ("name", "code", "suppress", "retryable"),
        [
            ("bounced", "5.1.1", "bounce", False),
            ("suppressed_bounce", "605", "bounce", False),
            ("suppressed_unsubscribe", "606", "unsubscribe", False),
            ("suppressed_complaint", "607", "complaint", False),
            ("refused_policy", "5.7.1", "", False),
            ("refused_address", "5.1.2", "bounce", False),
            ("gave_up", "498", "", True),
            ("mailbox_full", "5.2.2", "", True),
            ("rejected", "Sandbox subdomains are for test purposes only", "", False),
        ],
    )
    def test_failure_says_what_it_means_for_the_address(
        self, name: str, code: str, suppress: str, retryable: bool
    ) -> None:
        event = parse(f"{name}.json")
        assert (event.kind, event.error_code) == (EventKind.FAILED, code)
        assert (event.suppress, event.retryable) == (suppress, retryable)
        assert event.data.get("bounce") == ("soft" if retryable else None)
        assert event.error_detail
        assert event.address == "rui@example.com"

    def test_refusal_by_policy_is_no_fault_of_the_address(self) -> None:
        event = parse("refused_for_now.json")
        assert (event.retryable, event.suppress, event.data["bounce"]) == (True, "", "block")

    @pytest.mark.parametrize("code", ["5.7.1", "5.7.26"])
    def test_bounce_by_policy_does_not_end_the_address(self, code: str) -> None:
        item = json.loads(recorded("mailgun", "bounced.json"))["event-data"]
        item["delivery-status"] |= {"enhanced-code": code, "message": f"{code} not authenticated"}
        assert mailgun.parse(item).suppress == ""

    def test_deferral_says_why(self) -> None:
        event = parse("deferred.json")
        assert (event.error_code, event.error_detail) == ("4.7.1", "4.7.1 try again later")
        assert event.data["retry_seconds"] == 600

    @pytest.mark.parametrize(("name", "suppress"), [("unsubscribed", "unsubscribe"), ("complained", "complaint")])
    def test_wish_suppresses_the_address(self, name: str, suppress: str) -> None:
        assert parse(f"{name}.json").suppress == suppress

    def test_what_a_program_did_is_kept_with_its_facts(self) -> None:
        event = parse("clicked_by_a_program.json")
        assert (event.data["event"], event.data["bot"]) == ("clicked", "generic")
        assert event.data["url"] == "https://shop.example.org/a"

    def test_event_of_another_sender_has_no_reference(self) -> None:
        event = parse("untagged.json")
        assert (event.kind, event.reference, event.provider_message_id) == (EventKind.DELIVERED, "", MESSAGE_ID)

    @pytest.mark.parametrize("body", [b"[]", b"1", b"{}", b'{"event-data": []}', b"", b"a=b"])
    def test_body_that_is_no_event_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            receiver().parse(webhook(body, content_type="application/json"))


class TestReplies:
    @pytest.mark.parametrize("name", ["reply.txt", "reply_with_a_file.multipart"])
    def test_what_a_person_wrote_comes_in(self, name: str) -> None:
        event = parse(name)
        assert (event.kind, event.address, event.profile_name) == (EventKind.INBOUND, "rui@example.com", "Rui Sá")
        assert (event.text, event.message_type) == ("Sim, quero!", "text")
        assert event.context_id == MESSAGE_ID
        assert event.provider_message_id == "CAF1x9@mail.example.com"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 4, tzinfo=UTC)

    def test_file_is_named_and_not_kept(self) -> None:
        event = parse("reply_with_a_file.multipart")
        assert event.data["attachments"] == [{"name": "order.pdf", "type": "application/pdf", "size": 11}]
        assert "attachment-1" not in event.raw

    def test_answer_names_the_id_that_we_gave(self) -> None:
        event = self.answered(f"<{OWN_ID}>")
        assert event.context_id == OWN_ID

    @pytest.mark.parametrize("id", ["<x@mail.example.com>", "<x@evil-mg.example.org>", "nonsense", "<@>"])
    def test_answer_to_another_s_mail_names_none(self, id: str) -> None:
        assert self.answered(id).context_id == ""

    def answered(self, id: str) -> WebhookEvent:
        (event,) = receiver().parse(form(**{"message-headers": json.dumps([["In-Reply-To", id]])}))
        return event

    def test_text_is_taken_from_what_there_is(self) -> None:
        plain = {"stripped-text": "", "body-plain": "Yes\n\n> Hello"}
        html = {"stripped-text": "", "body-plain": "", "stripped-html": "<p>Yes</p>"}
        for fields in (plain, html):
            (event,) = receiver().parse(form(**fields))
            assert event.text == "Yes"
        (event,) = receiver().parse(form(**{"stripped-text": "", "subject": "STOP"}))
        assert event.text == "STOP"

    def test_machine_s_answer_is_no_reply(self) -> None:
        event = parse("out_of_office.txt")
        assert (event.kind, event.address) == (EventKind.UNKNOWN, "rui@example.com")
        assert (event.text, event.message_type, event.data["automatic"]) == ("", "", True)
        assert event.raw["stripped-text"] == "I am away."

    def test_stored_and_forwarded_mail_is_one(self) -> None:
        assert parse("stored.json").key == parse("reply.txt").key
        assert (parse("stored.json").text, parse("stored.json").address) == ("Re: March update", "rui@example.com")

    def test_sender_stands_in_for_a_from_that_cannot_be_read(self) -> None:
        (event,) = receiver().parse(form(**{"from": "(" * 5_000}))
        assert event.address == "rui@example.com"

    def test_form_without_a_sender_is_malformed(self) -> None:
        with pytest.raises(Malformed, match="sender"):
            receiver().parse(form(**{"from": "", "sender": " "}))

    @SHARED
    @given(
        fields=st.dictionaries(
            st.sampled_from(
                ["from", "sender", "subject", "stripped-text", "body-html", "message-headers", "timestamp", "token"]
            ),
            TEXT | JSON.map(json.dumps),
        )
    )
    def test_any_form_is_read_or_called_malformed(self, fields: dict[str, str]) -> None:
        encoded = urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in fields.items()}).encode()
        try:
            (event,) = receiver().parse(webhook(encoded, content_type=FORM))
        except Malformed:
            return
        assert_storable(event)


def form(**changed: str) -> WebhookRequest:
    fields = {
        "recipient": "news@mg.example.org",
        "sender": "rui@example.com",
        "from": "rui@example.com",
        "timestamp": "1772442904",
        "token": "t",
    }
    return webhook(urlencode({**fields, **changed}).encode(), content_type=FORM)
