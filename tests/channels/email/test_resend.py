"""Resend: the shared contract, the wire format, its refusals, signatures and events."""

import base64
import hashlib
import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.channels.base import Adapter, EventKind, Feature, WebhookEvent, WebhookRequest
from app.channels.email.resend import ResendEmail
from app.domain.status import Channel, MessageType
from app.errors import (
    InvalidSignature,
    Malformed,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.contract import AdapterContract, offline
from tests.channels.samples import REFERENCE, SETTINGS_ID, TENANT_ID, context, outbound, recorded, webhook
from tests.channels.scripted import Reply, Request, ScriptedProvider

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY"
CREDENTIALS = {
    "api_key": "re_key",
    "from_email": "news@mail.example.org",
    "from_name": "Example Org",
    "webhook_secret": SECRET,
}
EMAIL_ID = "0b7f3c9e-6c1d-4a52-9f55-2d9f6f1c7a10"
ACCEPTED = Reply(200, {"id": EMAIL_ID})
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://u.example.org/o/tok>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
MAIL = outbound(
    Channel.EMAIL,
    {"subject": "March update", "text": "Hello", "html": "<p>Hello</p>", "headers": UNSUBSCRIBE},
    to="ana@example.com",
    type=MessageType.TEMPLATE,
)


def refusal(status: int, name: str, message: str = "No.", **headers: str) -> Reply:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, {"statusCode": status, "name": name, "message": message}, named)


def receiver(**changed: str) -> ResendEmail:
    return ResendEmail({**CREDENTIALS, **changed}, context(offline(), "http://127.0.0.1:9"))


def parse(name: str) -> WebhookEvent:
    (event,) = receiver().parse(webhook(recorded("resend", f"{name}.json"), svix_id=f"msg_{name}"))
    return event


def signed(request: WebhookRequest, *, id: str, timestamp: str, prefix: str = "svix") -> WebhookRequest:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + request.body, hashlib.sha256)
    added = {
        f"{prefix}-id": id,
        f"{prefix}-timestamp": timestamp,
        f"{prefix}-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return replace(request, headers={**request.headers, **added})


class TestContract(AdapterContract):
    adapter = ResendEmail
    credentials = CREDENTIALS
    message = MAIL
    accepted = ACCEPTED
    accepted_id = EMAIL_ID
    refused = refusal(422, "missing_required_field", "The `subject` field is missing.")
    refused_code = "missing_required_field"
    refused_words = "The `subject` field is missing."
    payload_headers = {"content_type": "application/json"}
    signature_header = "svix-signature"

    def reference_in(self, request: Request) -> str:
        return next(str(tag["value"]) for tag in request.json()["tags"] if tag["name"] == "message_id")

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        return signed(request, id="msg_3Aq7ZtQk1PpY5wLx", timestamp=str(int(time.time())))


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> ResendEmail:
    return ResendEmail(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    @pytest.mark.parametrize("secret", ["not base64!", "whsec_", "whsec_a"])
    def test_broken_signing_secret_is_named(self, secret: str) -> None:
        problems = ResendEmail.check_credentials({**CREDENTIALS, "webhook_secret": secret})
        assert "credentials.webhook_secret" in problems[0]

    def test_sender_has_to_be_an_address(self) -> None:
        problems = ResendEmail.check_credentials({**CREDENTIALS, "from_email": "news"})
        assert problems == ["credentials.from_email is not an e-mail address"]


class TestSend:
    async def test_mail_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(MAIL)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/emails")
        assert request.headers["authorization"] == "Bearer re_key"
        assert request.headers["idempotency-key"] == str(REFERENCE)
        assert request.headers["user-agent"]
        assert request.json() == {
            "from": "Example Org <news@mail.example.org>",
            "to": ["ana@example.com"],
            "subject": "March update",
            "html": "<p>Hello</p>",
            "text": "Hello",
            "headers": UNSUBSCRIBE,
            "tags": [
                {"name": "message_id", "value": str(REFERENCE)},
                {"name": "tenant_id", "value": str(TENANT_ID)},
                {"name": "settings_id", "value": str(SETTINGS_ID)},
            ],
        }

    async def test_answers_go_where_the_tenant_wants_them(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(ACCEPTED)
        credentials = {**CREDENTIALS, "reply_to": "hello@reply.example.org"}
        await ResendEmail(credentials, context(http, provider.url)).send(MAIL)
        assert provider.requests[0].json()["reply_to"] == "hello@reply.example.org"
        assert ResendEmail.check_credentials({**CREDENTIALS, "reply_to": "hello"}) == [
            "credentials.reply_to is not an e-mail address"
        ]

    async def test_the_same_message_gives_the_same_bytes(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(MAIL)
        headers = dict(reversed(UNSUBSCRIBE.items()))
        again = dict(reversed({**MAIL.content, "headers": headers}.items()))  # as a database may give it back
        await sender.send(replace(MAIL, content=again))
        first, second = provider.requests
        assert first.body == second.body

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("", "ana@example.com"),
            ("Ana Sá", "Ana Sá <ana@example.com>"),
            ("Sá, Ana", '"Sá, Ana" <ana@example.com>'),
            ('Ana "A" <x@y>\r\n', '"Ana A <x@y>" <ana@example.com>'),
        ],
    )
    async def test_name_stands_before_the_address(
        self, provider: ScriptedProvider, sender: Adapter, name: str, expected: str
    ) -> None:
        provider.will(ACCEPTED)
        await sender.send(replace(MAIL, to_name=name))
        assert provider.requests[0].json()["to"] == [expected]

    async def test_location_is_not_supported(self, sender: Adapter) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(replace(MAIL, type=MessageType.LOCATION))

    async def test_acceptance_without_an_id_is_settled_by_a_repeat(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(Reply(200, {}))
        with pytest.raises(OutcomeUnknown) as caught:
            await sender.send(MAIL)
        assert caught.value.repeat_settles

    def test_key_is_declared_with_its_lifetime(self) -> None:
        assert Feature.IDEMPOTENCY_KEY in ResendEmail.features
        assert ResendEmail.idempotency_key_lifetime == timedelta(hours=24)

    @pytest.mark.parametrize(
        ("status", "name", "error"),
        [
            (400, "validation_error", MessageRejected),
            (400, "invalid_idempotency_key", MessageRejected),
            (401, "missing_api_key", ProviderMisconfigured),
            (401, "restricted_api_key", ProviderMisconfigured),
            (403, "restricted_api_key", ProviderMisconfigured),
            (403, "invalid_api_key", ProviderMisconfigured),
            (403, "suspended_api_key", ProviderMisconfigured),
            (403, "invalid_permission", ProviderMisconfigured),
            (403, "validation_error", ProviderMisconfigured),
            (404, "not_found", MessageRejected),
            (405, "method_not_allowed", MessageRejected),
            (409, "concurrent_idempotent_requests", OutcomeUnknown),
            (409, "invalid_idempotent_request", OutcomeUnknown),
            (409, "resource_locked", ProviderUnavailable),
            (422, "missing_required_field", MessageRejected),
            (422, "missing_required_parameter", MessageRejected),
            (422, "invalid_parameter", MessageRejected),
            (422, "invalid_attachment", MessageRejected),
            (422, "invalid_from_address", ProviderMisconfigured),
            (422, "invalid_access", ProviderMisconfigured),
            (422, "invalid_region", MessageRejected),
            (429, "rate_limit_exceeded", RateLimited),
            (429, "daily_quota_exceeded", RateLimited),
            (429, "monthly_quota_exceeded", ProviderMisconfigured),
            (451, "security_error", MessageRejected),
            (500, "application_error", OutcomeUnknown),
            (500, "internal_server_error", OutcomeUnknown),
            (503, "service_unavailable", OutcomeUnknown),
            (422, "a_new_one", MessageRejected),
            (500, "a_new_one", OutcomeUnknown),
        ],
    )
    async def test_name_decides_the_error(
        self, provider: ScriptedProvider, sender: Adapter, status: int, name: str, error: type[SendError]
    ) -> None:
        provider.will(refusal(status, name))
        with pytest.raises(SendError) as caught:
            await sender.send(MAIL)
        assert (type(caught.value), caught.value.provider_code) == (error, name)

    @pytest.mark.parametrize(
        ("name", "settles"), [("concurrent_idempotent_requests", True), ("invalid_idempotent_request", False)]
    )
    async def test_only_the_same_body_settles_what_became_of_a_key(
        self, provider: ScriptedProvider, sender: Adapter, name: str, settles: bool
    ) -> None:
        provider.will(refusal(409, name))
        with pytest.raises(OutcomeUnknown) as caught:
            await sender.send(MAIL)
        assert caught.value.repeat_settles is settles

    async def test_request_stopped_at_the_edge_is_our_fault(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(403, b"error code: 1010"))
        with pytest.raises(MessageRejected):
            await sender.send(MAIL)

    async def test_limit_lasts_until_its_reset(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(refusal(429, "rate_limit_exceeded", ratelimit_reset="4"))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after == timedelta(seconds=4)

    async def test_daily_quota_lasts_until_midnight_whatever_the_header_says(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(refusal(429, "daily_quota_exceeded", retry_after="1"))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after is not None
        over_at = datetime.now(UTC) + caught.value.retry_after
        midnight = over_at.replace(hour=0, minute=0, second=0, microsecond=0)
        assert min(abs(over_at - midnight), abs(over_at - midnight - timedelta(days=1))) < timedelta(minutes=1)


class TestVerify:
    ID, TIMESTAMP = "msg_3Aq7ZtQk1PpY5wLx", "1772442904"
    BODY = (
        b'{"type":"email.delivered","created_at":"2026-03-02T09:15:04.120Z",'
        b'"data":{"email_id":"0b7f3c9e-6c1d-4a52-9f55-2d9f6f1c7a10"}}'
    )
    VECTOR = "v1,/JpxwQcKUTlDhLAOHZz6xBtDglb8EdtZ7uGmdwA3cYY="

    @pytest.fixture
    def then(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The moment at which the vector was signed."""
        monkeypatch.setattr(time, "time", lambda: float(self.TIMESTAMP))

    def vector(self, **changes: Any) -> WebhookRequest:
        headers = {"svix-id": self.ID, "svix-timestamp": self.TIMESTAMP, "svix-signature": self.VECTOR}
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        return replace(webhook(self.BODY), headers={**headers, **named})

    @pytest.mark.usefixtures("then")
    def test_published_vector_is_accepted(self) -> None:
        receiver().verify(self.vector())

    @pytest.mark.usefixtures("then")
    @pytest.mark.parametrize("others", ["v1,b3RoZXI= {}", "{} v1,b3RoZXI=", "v2,abc v1a,abc {} v1,"])
    def test_any_of_several_signatures_is_enough(self, others: str) -> None:
        receiver().verify(self.vector(svix_signature=others.format(self.VECTOR)))

    @pytest.mark.usefixtures("then")
    @pytest.mark.parametrize(
        "changes",
        [
            {"svix_id": "msg_other"},
            {"svix_timestamp": "1772442905"},
            {"svix_signature": VECTOR.removeprefix("v1,")},
            {"svix_signature": VECTOR.replace("v1", "v2")},
            {"svix_signature": VECTOR.replace(",", ", ")},
        ],
    )
    def test_any_other_header_is_refused(self, changes: dict[str, str]) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(self.vector(**changes))

    def test_names_of_standard_webhooks_do_as_well(self) -> None:
        receiver().verify(signed(webhook(b"{}"), id="msg_1", timestamp=str(int(time.time())), prefix="webhook"))

    def test_event_is_known_by_the_id_that_was_signed(self) -> None:
        request = signed(webhook(b"{}"), id="msg_1", timestamp=str(int(time.time())), prefix="webhook")
        replayed = replace(request, headers={**request.headers, "svix-id": "msg_2"})
        receiver().verify(replayed)
        assert receiver().parse(replayed)[0].key == "msg_1"

    @pytest.mark.parametrize("age", [-290, 0, 290])
    def test_recent_signature_is_accepted(self, age: int) -> None:
        receiver().verify(signed(webhook(b"{}"), id="msg_1", timestamp=str(int(time.time()) - age)))

    @pytest.mark.parametrize("age", [-400, 400, 86_400])
    def test_signature_from_another_time_is_a_replay(self, age: int) -> None:
        with pytest.raises(InvalidSignature, match="timestamp"):
            receiver().verify(signed(webhook(b"{}"), id="msg_1", timestamp=str(int(time.time()) - age)))

    @pytest.mark.parametrize("timestamp", ["soon", "1e9", "²", "", "9" * 400])
    def test_signed_nonsense_is_not_a_time(self, timestamp: str) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(signed(webhook(b"{}"), id="msg_1", timestamp=timestamp))

    def test_without_a_secret_nothing_is_trusted(self) -> None:
        credentials = {"api_key": "re_key", "from_email": "news@mail.example.org"}
        adapter = ResendEmail(credentials, context(offline(), "http://127.0.0.1:9"))
        with pytest.raises(InvalidSignature, match="webhook_secret"):
            adapter.verify(signed(webhook(b"{}"), id="msg_1", timestamp=str(int(time.time()))))


class TestParse:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("scheduled", EventKind.ACCEPTED),
            ("sent", EventKind.SENT),
            ("delivered", EventKind.DELIVERED),
            ("delayed", EventKind.DEFERRED),
            ("opened", EventKind.READ),
            ("clicked", EventKind.CLICKED),
            ("complained", EventKind.COMPLAINED),
            ("domain_updated", EventKind.UNKNOWN),
        ],
    )
    def test_type_gives_the_kind(self, name: str, kind: EventKind) -> None:
        assert parse(name).kind is kind

    def test_delivery_names_message_address_and_time(self) -> None:
        event = parse("delivered")
        assert (event.key, event.reference, event.provider_message_id) == ("msg_delivered", str(REFERENCE), EMAIL_ID)
        assert event.address == "rui@example.com"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 4, 120_000, UTC)
        assert (event.error_code, event.suppress, event.data["account"]) == ("", "", str(SETTINGS_ID))

    @pytest.mark.parametrize(
        ("name", "code", "suppress", "retryable"),
        [
            ("bounced", "Permanent/General", "bounce", False),
            ("bounced_mailbox_full", "Transient/MailboxFull", "", True),
            ("bounced_content", "Permanent/ContentRejected", "", False),
            ("bounced_undetermined", "Undetermined/Undetermined", "", False),
            ("suppressed_bounce", "previous_bounce", "bounce", False),
            ("suppressed_complaint", "previous_complaint", "complaint", False),
            ("suppressed_listed", "OnAccountSuppressionList", "manual", False),
            ("failed", "invalid_attachment", "", False),
            ("failed_quota", "reached_daily_quota", "", True),
        ],
    )
    def test_failure_says_why_and_whether_the_address_is_dead(
        self, name: str, code: str, suppress: str, retryable: bool
    ) -> None:
        event = parse(name)
        assert event.kind is EventKind.FAILED
        assert (event.error_code, event.suppress, event.retryable) == (code, suppress, retryable)
        assert event.error_detail

    def test_bounce_keeps_the_words_of_the_mail_server(self) -> None:
        words = "Recipient server refused the address. smtp; 550 5.1.1 no such user"
        assert parse("bounced").error_detail == words

    def test_complaint_suppresses(self) -> None:
        assert parse("complained").suppress == "complaint"

    def test_click_is_timed_and_names_its_link(self) -> None:
        event = parse("clicked")
        assert event.data["url"] == "https://shop.example.org/a"
        assert event.occurred_at == datetime(2026, 3, 2, 10, 1, 2, 500_000, UTC)

    def test_answer_of_a_person_is_inbound(self) -> None:
        event = parse("received")
        assert (event.kind, event.address, event.profile_name) == (EventKind.INBOUND, "rui@example.com", "Rui Costa")
        assert (event.message_type, event.text) == ("text", "Re: March update")

    @pytest.mark.parametrize(
        "change",
        [
            (b'"Re: March update"', b'"Out of office: back on Monday"'),
            (b'"subject"', b'"headers":[{"name":"Auto-Submitted","value":"auto-replied"},7],"subject"'),
        ],
    )
    def test_answer_of_a_machine_is_kept_but_is_no_reply(self, change: tuple[bytes, bytes]) -> None:
        body = recorded("resend", "received.json").replace(*change)
        (event,) = receiver().parse(webhook(body))
        assert (event.kind, event.message_type, event.data["automatic"]) == (EventKind.UNKNOWN, "", True)

    def test_event_without_our_tags_is_found_by_its_e_mail(self) -> None:
        event = parse("untagged")
        assert (event.reference, event.provider_message_id) == ("", EMAIL_ID)

    def test_of_several_recipients_none_is_named(self) -> None:
        body = recorded("resend", "bounced.json").replace(
            b'["rui@example.com"]', b'["rui@example.com","ana@example.com"]'
        )
        (event,) = receiver().parse(webhook(body))
        assert event.address == ""

    def test_without_the_id_of_the_delivery_the_event_is_its_own_key(self) -> None:
        (event,) = receiver().parse(webhook(recorded("resend", "delivered.json")))
        assert event.key.startswith("event:")

    def test_accounts_are_the_settings_that_sent(self) -> None:
        assert ResendEmail.account_hints(webhook(recorded("resend", "delivered.json"))) == [str(SETTINGS_ID)]

    @pytest.mark.parametrize("body", [b"", b"[]", b'"x"'])
    def test_malformed_body_is_named(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            receiver().parse(webhook(body))
