"""SendGrid: the shared contract, the wire format, its refusals, signatures and events."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.channels.base import Adapter, EventKind, WebhookEvent, WebhookRequest
from app.channels.email.sendgrid import SendGridEmail
from app.domain.status import Channel, MessageType
from app.errors import (
    InvalidSignature,
    Malformed,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.contract import AdapterContract, offline
from tests.channels.samples import REFERENCE, SETTINGS_ID, TENANT_ID, context, outbound, recorded, webhook
from tests.channels.scripted import Reply, Request, ScriptedProvider

PRIVATE_KEY = ec.derive_private_key(20260302, ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    PRIVATE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
CREDENTIALS = {
    "api_key": "SG.key",
    "from_email": "news@mail.example.org",
    "from_name": "Example Org",
    "webhook_public_key": PUBLIC_KEY,
}
ACCEPTED = Reply(202, b"", {"x-message-id": "Zq1xTn8pQ0"})
SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://u.example.org/o/tok>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
MAIL = outbound(
    Channel.EMAIL,
    {"subject": "March update", "text": "Hello", "html": "<p>Hello</p>", "headers": UNSUBSCRIBE},
    to="ana@example.com",
    to_name="Ana",
    type=MessageType.TEMPLATE,
)


def refusal(status: int, field: str | None = None, message: str = "Bad request") -> Reply:
    return Reply(status, {"errors": [{"message": message, "field": field, "help": None}]})


def receiver() -> SendGridEmail:
    return SendGridEmail(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))


def parse(name: str) -> list[WebhookEvent]:
    return receiver().parse(webhook(recorded("sendgrid", name)))


class TestContract(AdapterContract):
    adapter = SendGridEmail
    credentials = CREDENTIALS
    message = MAIL
    accepted = ACCEPTED
    accepted_id = "Zq1xTn8pQ0"
    refused = refusal(400, "subject", "The subject is required.")
    refused_code = "http_400"
    refused_words = "subject: The subject is required."
    payload_headers = {"content_type": "application/json"}
    signature_header = SIGNATURE

    def reference_in(self, request: Request) -> str:
        return str(request.json()["personalizations"][0]["custom_args"]["message_id"])

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        signature = PRIVATE_KEY.sign(b"1772442905" + request.body, ec.ECDSA(SHA256()))
        added = {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: "1772442905"}
        return replace(request, headers={**request.headers, **added})


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> SendGridEmail:
    return SendGridEmail(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    @pytest.mark.parametrize("key", ["not base64!", "AAAA", "MFkw", base64.b64encode(b"x" * 91).decode()])
    def test_broken_public_key_is_named(self, key: str) -> None:
        problems = SendGridEmail.check_credentials({**CREDENTIALS, "webhook_public_key": key})
        assert "credentials.webhook_public_key" in problems[0]

    def test_key_of_another_curve_is_named(self) -> None:
        other = ec.derive_private_key(1, ec.SECP384R1()).public_key()
        key = base64.b64encode(other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
        assert SendGridEmail.check_credentials({**CREDENTIALS, "webhook_public_key": key})

    def test_sender_has_to_be_an_address(self) -> None:
        problems = SendGridEmail.check_credentials({**CREDENTIALS, "from_email": "news"})
        assert problems == ["credentials.from_email is not an e-mail address"]


class TestSend:
    async def test_mail_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(MAIL)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/v3/mail/send")
        assert request.headers["authorization"] == "Bearer SG.key"
        assert request.json() == {
            "from": {"email": "news@mail.example.org", "name": "Example Org"},
            "personalizations": [
                {
                    "to": [{"email": "ana@example.com", "name": "Ana"}],
                    "subject": "March update",
                    "custom_args": {
                        "message_id": str(REFERENCE),
                        "tenant_id": str(TENANT_ID),
                        "settings_id": str(SETTINGS_ID),
                    },
                    "headers": UNSUBSCRIBE,
                }
            ],
            "content": [
                {"type": "text/plain", "value": "Hello"},
                {"type": "text/html", "value": "<p>Hello</p>"},
            ],
            "tracking_settings": {"subscription_tracking": {"enable": False}},
        }

    async def test_answers_go_where_the_tenant_wants_them(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(ACCEPTED)
        credentials = {**CREDENTIALS, "reply_to": "hello@reply.example.org"}
        await SendGridEmail(credentials, context(http, provider.url)).send(MAIL)
        assert provider.requests[0].json()["reply_to"] == {"email": "hello@reply.example.org"}
        assert SendGridEmail.check_credentials({**CREDENTIALS, "reply_to": "hello"}) == [
            "credentials.reply_to is not an e-mail address"
        ]

    async def test_text_alone_is_enough(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(outbound(Channel.EMAIL, {"subject": "Hi", "text": "Hello"}, to="ana@example.com"))
        assert provider.requests[0].json()["content"] == [{"type": "text/plain", "value": "Hello"}]

    async def test_location_is_not_supported(self, sender: Adapter) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(replace(MAIL, type=MessageType.LOCATION))

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(400, "content"), MessageRejected),
            (refusal(400, "from.email"), ProviderMisconfigured),
            (refusal(401, None, "Maximum credits exceeded"), ProviderMisconfigured),
            (refusal(403, "from", "not a verified Sender Identity"), ProviderMisconfigured),
            (refusal(404), MessageRejected),
            (refusal(406), MessageRejected),
            (refusal(413), MessageRejected),
            (refusal(429, None, "too many requests"), RateLimited),
            (refusal(500), OutcomeUnknown),
            (refusal(503), OutcomeUnknown),
            (Reply(400, {"errors": "odd"}), MessageRejected),
            (Reply(400, [1]), MessageRejected),
        ],
    )
    async def test_status_decides_the_error(
        self, provider: ScriptedProvider, sender: Adapter, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(SendError) as caught:
            await sender.send(MAIL)
        assert type(caught.value) is error

    async def test_bad_recipient_is_suppressed(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(refusal(400, "personalizations.0.to.0.email", "Does not contain a valid address."))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(MAIL)
        assert caught.value.suppress == "invalid"

    async def test_limit_lasts_until_its_reset(self, provider: ScriptedProvider, sender: Adapter) -> None:
        reset = int(datetime.now(UTC).timestamp()) + 3_600
        provider.will(Reply(429, b"", {"x-ratelimit-reset": str(reset)}))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after
        assert timedelta(minutes=50) < caught.value.retry_after <= timedelta(hours=1)


class TestVerify:
    VECTOR_KEY = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+rMGIKCcz9htsmKFDqQe/jRBQtKxc07SIw5vBvtjlV20dXklF8dq1R5AxiU/"
        "c+xmYNSe9W3YHp+sEhlEnvFA0A=="
    )
    VECTOR_BODY = (
        b'[{"email":"ana@example.org","event":"delivered","sg_event_id":"ZXZ0LTE","timestamp":1772442904}]\r\n'
    )
    VECTOR_HEADERS = {
        TIMESTAMP: "1772442905",
        SIGNATURE: ("MEQCIAr1EUp0xZPi9+K7wmgEQc8j4hUMS9F4Zz5W6c7PpheUAiB87m20et+fS8hm25UICGNkuiJDj71frVpYRc88SLOu4w=="),
    }

    def verify(self, body: bytes, headers: dict[str, str], key: str = VECTOR_KEY) -> None:
        credentials = {**CREDENTIALS, "webhook_public_key": key}
        adapter = SendGridEmail(credentials, context(offline(), "http://127.0.0.1:9"))
        adapter.verify(replace(webhook(body), headers=headers))

    def test_published_vector_is_accepted_however_old(self) -> None:
        self.verify(self.VECTOR_BODY, self.VECTOR_HEADERS)

    def test_key_copied_with_line_breaks_works(self) -> None:
        self.verify(self.VECTOR_BODY, self.VECTOR_HEADERS, self.VECTOR_KEY[:64] + "\n" + self.VECTOR_KEY[64:] + "\n")

    @pytest.mark.parametrize("body", [VECTOR_BODY.rstrip(), VECTOR_BODY.replace(b",", b", "), b""])
    def test_body_serialised_again_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(body, self.VECTOR_HEADERS)

    @pytest.mark.parametrize("timestamp", ["1772442906", "", "1772442905\n", "é"])
    def test_other_timestamp_is_refused(self, timestamp: str) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(self.VECTOR_BODY, {**self.VECTOR_HEADERS, TIMESTAMP: timestamp})

    def test_other_key_is_refused(self) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(self.VECTOR_BODY, self.VECTOR_HEADERS, PUBLIC_KEY)

    def test_without_a_key_nothing_is_trusted(self) -> None:
        credentials = {"api_key": "SG.key", "from_email": "news@mail.example.org"}
        adapter = SendGridEmail(credentials, context(offline(), "http://127.0.0.1:9"))
        with pytest.raises(InvalidSignature, match="webhook_public_key"):
            adapter.verify(replace(webhook(self.VECTOR_BODY), headers=self.VECTOR_HEADERS))


class TestParse:
    def test_batch_gives_one_report_per_event(self) -> None:
        delivered, bounced = parse("batch.json")
        assert (delivered.kind, delivered.key) == (EventKind.DELIVERED, "ZGVsaXZlcmVkLTAx")
        assert delivered.occurred_at == datetime.fromtimestamp(1772442904, UTC)
        assert (delivered.reference, delivered.provider_message_id) == (str(REFERENCE), "Zq1xTn8pQ0")
        assert delivered.error_code == ""
        assert (bounced.kind, bounced.address, bounced.suppress) == (EventKind.FAILED, "rui@example.com", "bounce")
        assert (bounced.error_code, bounced.error_detail) == ("5.1.1", "550 5.1.1 no such user")

    def test_delivery_is_followed(self) -> None:
        processed, deferred, delivered = parse("delivery.json")
        assert [processed.kind, deferred.kind, delivered.kind] == [
            EventKind.ACCEPTED,
            EventKind.DEFERRED,
            EventKind.DELIVERED,
        ]
        assert deferred.error_detail == "451 4.7.1 try again later"

    def test_machine_open_is_not_a_read(self) -> None:
        opened, fetched, clicked = parse("engagement.json")
        assert [opened.kind, fetched.kind, clicked.kind] == [EventKind.READ, EventKind.UNKNOWN, EventKind.CLICKED]
        assert clicked.data["url"] == "https://shop.example.org/a"

    def test_wishes_are_opt_outs_and_complaints(self) -> None:
        events = parse("wishes.json")
        assert [(event.kind, event.suppress) for event in events] == [
            (EventKind.OPTED_OUT, "unsubscribe"),
            (EventKind.OPTED_OUT, "unsubscribe"),
            (EventKind.UNKNOWN, ""),  # a yes to one topic
            (EventKind.COMPLAINED, "complaint"),
        ]

    def test_only_failures_of_the_address_suppress_it(self) -> None:
        blocked, full, reputation, *dropped = parse("failures.json")
        assert (blocked.kind, blocked.suppress, blocked.retryable) == (EventKind.FAILED, "", True)
        assert (full.suppress, full.data["bounce"]) == ("", "soft")
        assert reputation.suppress == ""
        assert [event.suppress for event in dropped] == ["unsubscribe", "bounce", "complaint", "invalid", "", ""]
        assert {event.kind for event in dropped} == {EventKind.FAILED}
        assert dropped[0].error_detail == "Unsubscribed Address"

    @pytest.mark.parametrize(
        ("status", "classification", "suppress", "bounce"),
        [
            ("5.1.1", "Invalid Address", "bounce", "hard"),
            ("5.2.1", "Mailbox Unavailable", "bounce", "hard"),
            ("5.0.0", "Mailbox Unavailable", "", "soft"),
            ("5.0.0", "Unclassified", "", "soft"),
            ("5.1.1", "Unclassified", "bounce", "hard"),
            ("5.7.1", "Unclassified", "", "block"),
            ("5.7.26", "", "", "block"),
            ("5.7.1", "Reputation", "", "block"),
            ("5.0.0", "", "bounce", "hard"),
            ("5.2.2", "", "", "soft"),
        ],
    )
    def test_one_bounce_ends_an_address_only_when_nobody_is_there(
        self, status: str, classification: str, suppress: str, bounce: str
    ) -> None:
        item = {"event": "bounce", "type": "bounce", "status": status, "bounce_classification": classification}
        (event,) = receiver().parse(webhook(orjson.dumps([item])))
        assert (event.suppress, event.data["bounce"]) == (suppress, bounce)

    def test_events_without_our_arguments_are_read(self) -> None:
        simulated, account = parse("simulated.json")
        assert (simulated.kind, simulated.reference, simulated.provider_message_id) == (EventKind.DELIVERED, "", "")
        assert simulated.key.startswith("event:")
        assert account.kind is EventKind.UNKNOWN

    def test_accounts_are_the_settings_that_sent(self) -> None:
        assert SendGridEmail.account_hints(webhook(recorded("sendgrid", "batch.json"))) == [str(SETTINGS_ID)]

    @pytest.mark.parametrize(
        ("body", "named"),
        [(b"", "JSON"), (b"{}", "list"), (b'["delivered"]', "events[0]"), (b"[{},1]", "events[1]")],
    )
    def test_malformed_body_is_named(self, body: bytes, named: str) -> None:
        with pytest.raises(Malformed) as caught:
            receiver().parse(webhook(body))
        assert named in caught.value.detail
