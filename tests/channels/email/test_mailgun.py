"""Mailgun: the shared contract, the wire format, batches, its refusals, signatures, events and people's answers."""

import hashlib
import hmac
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import Adapter, EventKind, Feature, OutboundMessage, Receipt, WebhookEvent, WebhookRequest
from app.channels.email.mailgun import MailgunEmail
from app.channels.email.mailgun.adapter import REGIONS
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
from tests.channels.contract import JSON, SHARED, TEXT, AdapterContract, assert_storable, offline
from tests.channels.samples import PAYLOADS, REFERENCE, SETTINGS_ID, TENANT_ID, context, outbound, recorded, webhook
from tests.channels.scripted import Reply, Request, ScriptedProvider

KEY = "signing-key-example-7f2c"
CREDENTIALS = {
    "api_key": "key-1",
    "domain": "mg.example.org",
    "region": "us",
    "from_email": "news@mg.example.org",
    "from_name": "Example Org",
    "webhook_signing_key": KEY,
}
MESSAGE_ID = "20260302091504.1.4F0C2A9D1B7E@mg.example.org"
ACCEPTED = Reply(200, {"id": f"<{MESSAGE_ID}>", "message": "Queued. Thank you."})
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
OWN_ID = f"{REFERENCE}@mg.example.org"
FORM = "application/x-www-form-urlencoded"
TYPES = {"json": "application/json", "txt": FORM, "multipart": "multipart/form-data; boundary=relay-7c1f2e"}
PARTS = ("timestamp", "token", "signature")


def refusal(status: int, message: str) -> Reply:
    return Reply(status, {"message": message})


def payload(name: str) -> WebhookRequest:
    return webhook(recorded("mailgun", name), content_type=TYPES[name.rpartition(".")[2]])


def parse(name: str) -> WebhookEvent:
    (event,) = receiver().parse(payload(name))
    return event


def receiver(**changed: str) -> MailgunEmail:
    return MailgunEmail({**CREDENTIALS, **changed}, context(offline(), "http://127.0.0.1:9"))


def signature(timestamp: str, token: str, key: str = KEY) -> dict[str, str]:
    digest = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


def fresh(age: int = 0, key: str = KEY) -> dict[str, str]:
    return signature(str(int(time.time()) - age), "4e1c7a90b2d84f6fa1c35d0e9b7a2c6813f5de0947ab62c1f8", key)


def with_signature(request: WebhookRequest, values: dict[str, Any]) -> WebhookRequest:
    """Another signature in the place of the recorded one."""
    kind = request.headers["content-type"]
    if kind == TYPES["json"]:
        return replace(request, body=json.dumps({**json.loads(request.body), "signature": values}).encode())
    if kind == FORM:
        others = [(name, value) for name, value in parse_qsl(request.body.decode(), True) if name not in PARTS]
        return replace(request, body=urlencode([*others, *values.items()]).encode())
    head, *rest = request.body.split(b'name="timestamp"')
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    file = rest[0][rest[0].index(b'name="attachment-1"') :]
    parts = [b'name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode()) for name, value in values.items()]
    disposition = boundary + b"\r\nContent-Disposition: form-data; "
    return replace(request, body=head + disposition.join([*parts, file]))


class TestContract(AdapterContract):
    adapter = MailgunEmail
    credentials = CREDENTIALS
    message = MAIL
    accepted = ACCEPTED
    accepted_id = MESSAGE_ID
    refused = refusal(400, "'subject' parameter is too long")
    refused_code = "http_400"
    refused_words = "'subject' parameter is too long"
    payload_headers = {"content_type": "application/json"}
    signature_header = "in the body"

    def reference_in(self, request: Request) -> str:
        return dict(parse_qsl(request.body.decode()))["v:message_id"]

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        return with_signature(request, fresh())

    def payloads(self) -> dict[str, WebhookRequest]:
        return {file.name: payload(file.name) for file in sorted((PAYLOADS / "mailgun").iterdir())}

    @SHARED
    @given(data=st.data())
    def test_one_changed_byte_is_refused(self, data: st.DataObject) -> None:
        """Of what is signed: time and token, not the event."""
        values = fresh()
        name = data.draw(st.sampled_from(PARTS))
        place = data.draw(st.integers(0, len(values[name]) - 1))
        values[name] = values[name][:place] + chr(ord(values[name][place]) ^ 1) + values[name][place + 1 :]
        request = data.draw(st.sampled_from(list(self.payloads().values())))
        with pytest.raises(InvalidSignature):
            receiver().verify(with_signature(request, values))

    @SHARED
    @given(signature=TEXT, part=st.sampled_from(PARTS), other=JSON)
    def test_made_up_signature_is_refused(self, signature: str, part: str, other: Any) -> None:
        for values in ({**fresh(), "signature": signature}, {**fresh(), part: other}, {}):
            with pytest.raises(InvalidSignature):
                receiver().verify(with_signature(payload("delivered.json"), values))

    def test_missing_signature_is_refused(self) -> None:
        for request in self.payloads().values():
            for part in PARTS:
                values = {name: value for name, value in fresh().items() if name != part}
                with pytest.raises(InvalidSignature):
                    receiver().verify(with_signature(request, values))


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> MailgunEmail:
    return MailgunEmail(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("domain", "mg"),
            ("domain", "mg.example.org/v3"),
            ("domain", "../mg.example.org"),
            ("region", "mars"),
            ("from_email", "news"),
        ],
    )
    def test_what_is_wrong_is_named(self, name: str, value: str) -> None:
        (problem,) = MailgunEmail.check_credentials({**CREDENTIALS, name: value})
        assert problem.startswith(f"credentials.{name} ")


class TestRegion:
    @pytest.mark.parametrize(("region", "host"), [("us", "api.mailgun.net"), ("EU", "api.eu.mailgun.net")])
    def test_it_gives_the_address(self, region: str, host: str) -> None:
        adapter = MailgunEmail({**CREDENTIALS, "region": region}, context(offline(), REGIONS["us"]))
        assert (adapter._url.host, adapter._url.scheme) == (host, "https")

    def test_an_address_that_the_operator_moved_holds(self) -> None:
        assert receiver(region="eu")._url == httpx.URL("http://127.0.0.1:9/v3/mg.example.org/messages")


class TestSend:
    async def test_mail_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(MAIL)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/v3/mg.example.org/messages")
        assert request.headers["authorization"] == "Basic YXBpOmtleS0x"
        assert request.headers["content-type"] == FORM
        assert parse_qsl(request.body.decode(), strict_parsing=True) == [
            ("from", "Example Org <news@mg.example.org>"),
            ("to", "ana@example.com"),
            ("subject", "March update"),
            ("text", "Hello"),
            ("html", "<p>Hello</p>"),
            ("h:List-Unsubscribe", "<https://u.example.org/o/tok>"),
            ("h:List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("h:Message-Id", f"<{OWN_ID}>"),
            ("v:message_id", str(REFERENCE)),
            ("v:tenant_id", str(TENANT_ID)),
            ("v:settings_id", str(SETTINGS_ID)),
        ]

    async def test_name_with_a_comma_is_one_recipient(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(replace(MAIL, to_name="Sá, Ana"))
        assert dict(parse_qsl(provider.requests[0].body.decode()))["to"] == '"Sá, Ana" <ana@example.com>'

    async def test_location_is_not_supported(self, sender: Adapter) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(replace(MAIL, type=MessageType.LOCATION))

    @pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": "<>"}, b"OK"])
    async def test_acceptance_without_an_id_is_unknown(
        self, provider: ScriptedProvider, sender: Adapter, body: Any
    ) -> None:
        provider.will(Reply(200, body))
        with pytest.raises(OutcomeUnknown):
            await sender.send(MAIL)

    @pytest.mark.parametrize(
        ("status", "words", "error"),
        [
            (400, "to parameter has too many recipients (max 1000)", MessageRejected),
            (400, "Domain mg.example.org is not allowed to send: verify it first", ProviderMisconfigured),
            (400, "'from' parameter is not a valid address. please check documentation", ProviderMisconfigured),
            (401, "Forbidden", ProviderMisconfigured),
            (402, "Request Failed", MessageRejected),
            (403, "Domain is not allowed to send large batches yet", ProviderMisconfigured),
            (404, "Domain not found: mg.example.org", ProviderMisconfigured),
            (413, "Request Entity Too Large", MessageRejected),
            (429, "Domain mg.example.org is not allowed to send: recipient limit exceeded", RateLimited),
            (500, "Internal Server Error", OutcomeUnknown),
            (502, "Bad Gateway", OutcomeUnknown),
            (503, "Service Unavailable", OutcomeUnknown),
            (504, "Gateway Timeout", OutcomeUnknown),
        ],
    )
    async def test_status_and_words_decide_the_error(
        self, provider: ScriptedProvider, sender: Adapter, status: int, words: str, error: type[SendError]
    ) -> None:
        provider.will(refusal(status, words))
        with pytest.raises(SendError) as caught:
            await sender.send(MAIL)
        assert (type(caught.value), caught.value.provider_code) == (error, f"http_{status}")
        assert words in caught.value.detail

    async def test_refusal_in_plain_text_is_quoted(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(401, b"Forbidden", {"content-type": "text/plain"}))
        with pytest.raises(ProviderMisconfigured, match="HTTP 401: Forbidden"):
            await sender.send(MAIL)

    async def test_bad_recipient_is_not_used_again(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(refusal(400, "'to' parameter is not a valid address. please check documentation"))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(MAIL)
        assert caught.value.suppress == "invalid"

    @pytest.mark.parametrize("limit", ["request", "recipient", "bytes"])
    async def test_limit_lasts_until_the_time_that_it_names(
        self, provider: ScriptedProvider, sender: Adapter, limit: str
    ) -> None:
        until = datetime.now(UTC) + timedelta(minutes=40)
        words = f"Domain mg.example.org is not allowed to send: {limit} limit exceeded, try again after "
        provider.will(refusal(429, words + format_datetime(until)))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.retry_after is not None
        assert timedelta(minutes=38) < caught.value.retry_after <= timedelta(minutes=40)

    @pytest.mark.parametrize(
        "until", ["yesterday or so", "Mon, 02 Mar 2026 09:15:04 GMT", "9" * 40, "Mon, 99 Xxx 2026"]
    )
    async def test_time_that_is_over_or_nonsense_is_a_short_wait(
        self, provider: ScriptedProvider, sender: Adapter, until: str
    ) -> None:
        provider.will(refusal(429, f"limit exceeded, try again after {until}"))
        with pytest.raises(RateLimited) as caught:
            await sender.send(MAIL)
        assert caught.value.pause == timedelta(seconds=1)


def mail(number: int, to: str = "", **content: Any) -> OutboundMessage:
    reference = UUID(int=REFERENCE.int + number)
    own = {"List-Unsubscribe": f"<https://u.example.org/o/{number}>"}
    changed = {
        "text": f"Hello {number}",
        "html": f"<p>Hello {number}</p>",
        "headers": {**UNSUBSCRIBE, **own},
        **content,
    }
    return replace(MAIL, reference=reference, to=to or f"p{number}@example.com", content={**MAIL.content, **changed})


def batch_of(request: Request) -> tuple[list[str], dict[str, str], dict[str, dict[str, str]]]:
    """The recipients, the other parameters and the variables."""
    form = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    fields = dict(form)
    variables = json.loads(fields.pop("recipient-variables", "{}"))
    return [value for name, value in form if name == "to"], fields, variables


class TestSendBatch:
    async def test_what_differs_stands_in_the_variables(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(0), mail(1)])
        (request,) = provider.requests
        to, fields, variables = batch_of(request)
        assert to == ["p0@example.com", "p1@example.com"]
        assert fields["subject"] == "%recipient.subject%"
        assert (fields["text"], fields["html"]) == ("%recipient.text%", "%recipient.html%")
        assert fields["h:List-Unsubscribe"] == "%recipient.h0%"
        assert fields["v:message_id"] == "%recipient.mid%"
        assert fields["v:settings_id"] == str(SETTINGS_ID)
        assert "h:Message-Id" not in fields
        assert variables["p1@example.com"] == {
            "subject": "March update",
            "text": "Hello 1",
            "html": "<p>Hello 1</p>",
            "h0": "<https://u.example.org/o/1>",
            "h1": "List-Unsubscribe=One-Click",
            "mid": str(UUID(int=REFERENCE.int + 1)),
        }
        assert [isinstance(answer, Receipt) and answer.provider_message_id for answer in answers] == [MESSAGE_ID] * 2

    async def test_two_for_one_person_leave_in_two_requests(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send_batch([mail(0), mail(1), mail(2, "p0@example.com")])
        assert sorted(batch_of(request)[0] for request in provider.requests) == [
            ["p0@example.com"],
            ["p0@example.com", "p1@example.com"],
        ]

    @pytest.mark.parametrize(
        "odd",
        [{"text": "100 %recipient.mid% sure"}, {"html": ""}, {"headers": {}}],
        ids=["a reference in the text", "no html", "no headers"],
    )
    async def test_what_is_unlike_the_others_leaves_alone(
        self, provider: ScriptedProvider, sender: Adapter, odd: dict[str, Any]
    ) -> None:
        provider.will(ACCEPTED)
        await sender.send_batch([mail(0), mail(1, **odd), mail(2)])
        assert sorted(len(batch_of(request)[0]) for request in provider.requests) == [1, 2]

    async def test_large_ones_are_shared_out(
        self, provider: ScriptedProvider, sender: Adapter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.channels.email.mailgun.forms.MOST_BYTES", 1_000)
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(number, text="x" * 700) for number in range(3)])
        assert [batch_of(request)[0] for request in provider.requests] == [
            [f"p{number}@example.com"] for number in range(3)
        ]
        assert [type(answer) for answer in answers] == [Receipt] * 3

    async def test_one_bad_message_does_not_stop_the_others(self, provider: ScriptedProvider, sender: Adapter) -> None:
        bad = refusal(400, "'to' parameter is not a valid address. please check documentation")
        # all four, the first two, the last two, the third alone, the fourth alone
        provider.will(bad, ACCEPTED, bad, bad, ACCEPTED)
        answers = await sender.send_batch([mail(number) for number in range(4)])
        assert [type(answer) for answer in answers] == [Receipt, Receipt, MessageRejected, Receipt]
        assert [len(batch_of(request)[0]) for request in provider.requests] == [4, 2, 2, 1, 1]

    @pytest.mark.parametrize(
        ("status", "error"), [(500, OutcomeUnknown), (429, RateLimited), (403, ProviderMisconfigured)]
    )
    async def test_any_other_answer_is_that_of_all(
        self, provider: ScriptedProvider, sender: Adapter, status: int, error: type[SendError]
    ) -> None:
        provider.will(refusal(status, "No."))
        answers = await sender.send_batch([mail(0), mail(1)])
        assert [type(answer) for answer in answers] == [error, error]
        assert len(provider.requests) == 1

    async def test_message_without_content_is_rejected_by_itself(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(ACCEPTED)
        answers = await sender.send_batch([mail(0), mail(1, text="")])
        assert [type(answer) for answer in answers] == [Receipt, MessageRejected]

    def test_it_is_declared_with_its_size(self) -> None:
        assert Feature.BATCH in MailgunEmail.features
        assert MailgunEmail.most_per_request == 1_000


def listed(**changes: Any) -> Reply:
    item = json.loads(recorded("mailgun", "delivered.json"))["event-data"]
    return Reply(200, {"items": [{**item, **changes}], "paging": {}})


NOTHING = Reply(200, {"items": [], "paging": {}})
LONG_AGO = timedelta(hours=1)


class TestLookUp:
    async def test_it_is_asked_for_by_its_message_id(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(listed())
        found = await sender.look_up(MAIL, datetime.now(UTC))
        assert (found.found, found.provider_message_id, found.status) == (True, MESSAGE_ID, EventKind.DELIVERED)
        (request,) = provider.requests
        path, _, query = request.target.partition("?")
        asked = dict(parse_qsl(query))
        assert (request.method, path) == ("GET", "/v3/mg.example.org/events")
        assert (asked["message-id"], asked["ascending"], asked["limit"]) == (OWN_ID, "yes", "300")
        assert abs(float(asked["begin"]) - time.time()) < 300

    async def test_copy_of_a_batch_is_found_among_the_person_s_events(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING, listed())
        found = await sender.look_up(MAIL, datetime.now(UTC))
        assert (found.found, found.provider_message_id) == (True, MESSAGE_ID)
        assert dict(parse_qsl(provider.requests[1].target.partition("?")[2]))["recipient"] == MAIL.to

    async def test_another_message_is_not_taken_for_it(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(NOTHING, listed(**{"user-variables": {"message_id": "another"}}))
        assert not (await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)).found

    async def test_what_is_not_listed_yet_is_looked_for_again(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - timedelta(minutes=20))

    async def test_what_is_old_and_not_listed_was_never_accepted(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        assert not (await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)).found

    async def test_what_may_be_listed_no_longer_cannot_be_told(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(NOTHING)
        with pytest.raises(UnsupportedFeature):
            await sender.look_up(MAIL, datetime.now(UTC) - timedelta(days=2))

    async def test_key_that_may_only_send_cannot_tell(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(401, b"Forbidden"))
        with pytest.raises(UnsupportedFeature):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)

    @pytest.mark.parametrize(
        "reply", [Reply(503), Reply(200, b"?"), Reply(200, {"items": 1}), Reply(200, {"items": [1]})]
    )
    async def test_trouble_is_no_answer(self, provider: ScriptedProvider, sender: Adapter, reply: Reply) -> None:
        provider.will(reply)
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)

    async def test_more_than_a_page_is_no_answer(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(Reply(200, {"items": [{}] * 300}))
        with pytest.raises(ProviderUnavailable):
            await sender.look_up(MAIL, datetime.now(UTC) - LONG_AGO)


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
        assert event.data["attachments"] == [{"name": "order.pdf", "content_type": "application/pdf", "size": 11}]
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
