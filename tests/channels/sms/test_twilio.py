"""Twilio SMS: the shared contract, the wire format, the error codes, signatures, webhooks and the look-up."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import Adapter, EventKind, LookupResult, WebhookEvent, WebhookRequest
from app.channels.sms.twilio import TwilioSms
from app.channels.sms.twilio.faults import fault_of_answer, fault_of_report
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
from tests.channels.contract import SHARED, AdapterContract, offline
from tests.channels.samples import PUBLIC_URL, REFERENCE, SETTINGS_ID, context, outbound, recorded, webhook
from tests.channels.scripted import Close, Hang, Reply, Request, ScriptedProvider

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
ACCOUNT = "AC0123456789abcdef0123456789abcdef"
CREDENTIALS = {"account_sid": ACCOUNT, "auth_token": TOKEN, "from_number": "+15005550006"}
SID = "SM00000000000000000000000000000001"
ACCEPTED = Reply(201, {"sid": SID, "account_sid": ACCOUNT, "status": "queued", "error_code": None})
CALLBACK = f"{PUBLIC_URL}/v1/webhooks/sms/{SETTINGS_ID}?ref={REFERENCE}"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
TEXT = outbound(Channel.SMS, {"body": "Olá"})


def refusal(code: int, status: int = 400) -> Reply:
    return Reply(status, {"code": code, "message": f"Error {code}", "more_info": "https://x.example", "status": status})


def receiver() -> TwilioSms:
    return TwilioSms(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))


def parse(name: str, url: str = PUBLIC_URL) -> list[WebhookEvent]:
    return receiver().parse(webhook(recorded("twilio", name), url))


def signed(url: str, fields: str = "") -> str:
    """Twilio's side of the signature, written down independently."""
    parameters = parse_qs(fields, keep_blank_values=True)
    data = url + "".join(name + value for name in sorted(parameters) for value in sorted(set(parameters[name])))
    return base64.b64encode(hmac.new(TOKEN.encode(), data.encode(), hashlib.sha1).digest()).decode()


class TestContract(AdapterContract):
    adapter = TwilioSms
    credentials = CREDENTIALS
    message = TEXT
    accepted = ACCEPTED
    accepted_id = SID
    refused = refusal(21614)
    refused_code = "21614"
    refused_words = "Error 21614"
    payload_headers = {"content_type": "application/x-www-form-urlencoded"}
    signature_header = "x-twilio-signature"

    def reference_in(self, request: Request) -> str:
        [callback] = parse_qs(request.body.decode())["StatusCallback"]
        return parse_qs(urlsplit(callback).query)["ref"][0]

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        signature = signed(request.url, request.body.decode())
        return replace(request, headers={**request.headers, "x-twilio-signature": signature})


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> TwilioSms:
    return TwilioSms(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    def test_a_number_or_a_service_is_needed(self) -> None:
        without = {name: CREDENTIALS[name] for name in ("account_sid", "auth_token")}
        assert "credentials.from_number" in TwilioSms.check_credentials(without)[0]
        assert TwilioSms.check_credentials({**without, "messaging_service_sid": "MG9"}) == []

    def test_account_cannot_lead_to_another_path(self) -> None:
        problems = TwilioSms.check_credentials({**CREDENTIALS, "account_sid": "AC1/../AC2"})
        assert problems == ["credentials.account_sid must consist of letters and digits"]


class TestSend:
    async def test_text_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(TEXT)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", MESSAGES)
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (
            base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == f"{ACCOUNT}:{TOKEN}".encode()
        )
        assert dict(parse_qsl(request.body.decode())) == {
            "To": "+351910000001",
            "From": "+15005550006",
            "Body": "Olá",
            "StatusCallback": CALLBACK,
        }

    async def test_service_chooses_the_sender(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> None:
        provider.will(ACCEPTED)
        credentials = {"account_sid": ACCOUNT, "auth_token": TOKEN, "messaging_service_sid": "MG9"}
        await TwilioSms(credentials, context(http, provider.url)).send(TEXT)
        form = dict(parse_qsl(provider.requests[0].body.decode()))
        assert form["MessagingServiceSid"] == "MG9"
        assert "From" not in form

    async def test_each_media_address_is_sent(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        media = ["https://cdn.example.org/a.jpg", "https://cdn.example.org/b.jpg"]
        await sender.send(outbound(Channel.SMS, {"media_urls": media}, type=MessageType.MEDIA))
        form = parse_qs(provider.requests[0].body.decode())
        assert form["MediaUrl"] == media
        assert "Body" not in form

    async def test_location_is_not_supported(self, sender: Adapter) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(outbound(Channel.SMS, {"latitude": 1.0, "longitude": 2.0}, type=MessageType.LOCATION))

    async def test_success_without_a_sid_is_an_unknown_outcome(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        bodies: list[Any] = [b"", b"<html>", {"sid": None}, []]
        for body in bodies:
            provider.will(Reply(201, body))
            with pytest.raises(OutcomeUnknown):
                await sender.send(TEXT)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(20003, 401), ProviderMisconfigured),
            (refusal(20404, 404), ProviderMisconfigured),
            (refusal(21606), ProviderMisconfigured),
            (refusal(20429, 429), RateLimited),
            (refusal(21611, 429), RateLimited),
            (refusal(21611), RateLimited),
            (refusal(99999, 429), RateLimited),
            (refusal(20409, 409), ProviderUnavailable),
            (refusal(20500, 500), OutcomeUnknown),
            (refusal(20503, 503), OutcomeUnknown),
            (refusal(21408), MessageRejected),
            (refusal(99999), MessageRejected),
            (Reply(400, {"code": "21211"}), MessageRejected),
        ],
    )
    async def test_code_decides_the_error(
        self, provider: ScriptedProvider, sender: Adapter, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(SendError) as caught:
            await sender.send(TEXT)
        assert type(caught.value) is error

    @pytest.mark.parametrize(
        ("code", "reason"), [(21610, "stop"), (21211, "invalid"), (21614, "invalid"), (21612, None)]
    )
    async def test_only_some_refusals_are_about_the_address(
        self, provider: ScriptedProvider, sender: Adapter, code: int, reason: str | None
    ) -> None:
        provider.will(refusal(code))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(TEXT)
        assert caught.value.suppress == reason


class TestFaultOf:
    ACCOUNT_SIDE = (20003, 20005, 20006, 20008, 20403, 10001, 90010, 21608, 30002, 30032, 30033, 30034, 30035)
    CONFIG = (21212, 21603, 21606, 21609, 21616, 21701, 21703, 21704, 21705, 30018, 30024)
    LIMITS = (14107, 20429, 21611, 30001, 30022, 30023, 30027, 35125)
    TRANSIENT = (20409, 21702, 30003, 30008, 30017, 30020, 30036, 30450)
    AMBIGUOUS = (20500, 20503, 30410)
    MESSAGE = (
        (20001, 20422, 30400, 21211, 21214, 21217, 21266, 21602, 21619, 21604, 21610, 21612, 21614, 21617, 21618)
        + (21620, 21623, 21624, 30045, 90007, 21635, 21640, 21654, 21655, 21656, 30004, 30005, 30006, 30007, 30010)
        + (30011, 30019, 30453, 30485, 35111, 35114, 35115, 35117, 35118, 60410)
    )

    @pytest.mark.parametrize(
        ("codes", "error"),
        [
            (ACCOUNT_SIDE, ProviderMisconfigured),
            (CONFIG, ProviderMisconfigured),
            (LIMITS, RateLimited),
            (TRANSIENT, ProviderUnavailable),
            (AMBIGUOUS, OutcomeUnknown),
            (MESSAGE, MessageRejected),
        ],
        ids=["account", "config", "limits", "transient", "ambiguous", "message"],
    )
    def test_documented_code_means_the_same_at_once_and_later(
        self, codes: tuple[int, ...], error: type[SendError]
    ) -> None:
        for code in codes:
            at_once, later = fault_of_answer(code, 400), fault_of_report(code)
            assert at_once == later, code
            assert type(at_once.error("", code=str(code))) is error, code
            assert later.retryable is error.retryable, code

    def test_unknown_failure_reported_later_may_be_tried_again(self) -> None:
        assert fault_of_report(99999).retryable
        assert fault_of_report(None).retryable


class TestVerify:
    STATUS_URL = "https://hooks.example.org/sms/twilio/status?tenant=acme"
    STATUS = recorded("twilio", "status_delivered.txt").replace(b"&RawDlrDoneDate=2603020915", b"")
    STATUS_SIGNATURE = "yXrITJSpotTXCKGZ8x/NpYMWbGs="
    JSON_URL = (
        "https://hooks.example.org/sms/twilio/json"
        "?bodySHA256=9239c422a41b555493841e492401a13c6081045f49bd7223f575c7e1f7d86f7f"
    )
    JSON_SIGNATURE = "/hX9mDkXmn6Ocp7l1REcdI+TTKc="

    def verify(self, body: bytes, url: str, signature: str, method: str = "POST") -> None:
        receiver().verify(webhook(body, url, method, x_twilio_signature=signature))

    def test_published_form_vector_is_accepted(self) -> None:
        self.verify(self.STATUS, self.STATUS_URL, self.STATUS_SIGNATURE)

    def test_published_json_vector_is_accepted(self) -> None:
        self.verify(b'{"event":"ping","n":1}', self.JSON_URL, self.JSON_SIGNATURE)

    @pytest.mark.parametrize("body", [b'{"event":"ping","n":2}', b'{"event": "ping", "n": 1}', b""])
    def test_other_body_than_the_one_hashed_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(body, self.JSON_URL, self.JSON_SIGNATURE)

    @pytest.mark.parametrize(
        "url",
        [
            "https://hooks.example.org/sms/twilio/status?tenant=other",
            "https://hooks.example.org/sms/twilio/status",
            "http://hooks.example.org/sms/twilio/status?tenant=acme",
            "https://hooks.example.net/sms/twilio/status?tenant=acme",
            "https://hooks.example.org:port/sms/twilio/status?tenant=acme",
        ],
    )
    def test_other_address_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(self.STATUS, url, self.STATUS_SIGNATURE)

    @pytest.mark.parametrize(
        ("configured", "signed_as"),
        [
            ("https://hooks.example.org/sms?a=1", "https://hooks.example.org:443/sms?a=1"),
            ("http://hooks.example.org/sms", "http://hooks.example.org:80/sms"),
            ("https://hooks.example.org:443/sms", "https://hooks.example.org/sms"),
            ("https://hooks.example.org:8443/sms", "https://hooks.example.org:8443/sms"),
            ("https://hooks.example.org:8443/sms", "https://hooks.example.org/sms"),
            ("https://user:pa%3Ass@hooks.example.org/sms", "https://user:pa%3Ass@hooks.example.org:443/sms"),
            ("https://hooks.example.org/sms#rc=2&rp=all", "https://hooks.example.org/sms"),
            ("http://[::1]:8000/sms", "http://[::1]/sms"),
            ("https://hooks.example.org/sms?", "https://hooks.example.org/sms?"),
        ],
    )
    def test_port_may_be_there_or_not(self, configured: str, signed_as: str) -> None:
        self.verify(b"MessageSid=SM1", configured, signed(signed_as, "MessageSid=SM1"))

    def test_repeated_field_counts_each_value_once_in_order(self) -> None:
        data = f"{PUBLIC_URL}EmptyMediaUrlaMediaUrlbTo+1"
        signature = base64.b64encode(hmac.new(TOKEN.encode(), data.encode(), hashlib.sha1).digest()).decode()
        self.verify(b"To=%2B1&MediaUrl=b&MediaUrl=a&MediaUrl=b&Empty=", PUBLIC_URL, signature)
        with pytest.raises(InvalidSignature):
            self.verify(b"To=%2B1&MediaUrl=b&MediaUrl=a&MediaUrl=c&Empty=", PUBLIC_URL, signature)

    def test_capital_names_come_before_small_ones(self) -> None:
        data = f"{PUBLIC_URL}Zzaa"
        signature = base64.b64encode(hmac.new(TOKEN.encode(), data.encode(), hashlib.sha1).digest()).decode()
        self.verify(b"a=a&Z=z", PUBLIC_URL, signature)

    def test_get_is_signed_by_its_address_alone(self) -> None:
        url = f"{PUBLIC_URL}/sms?MessageSid=SM1&MessageStatus=sent"
        self.verify(b"", url, signed(url), method="GET")

    @SHARED
    @given(body=st.binary(max_size=100), url=st.text(max_size=50))
    def test_nothing_but_a_refusal_is_raised(self, body: bytes, url: str) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(body, url, "x" * 28)

    def test_too_many_fields_are_refused(self) -> None:
        with pytest.raises(InvalidSignature):
            self.verify(b"a=1&" * 2_000, PUBLIC_URL, self.STATUS_SIGNATURE)


class TestParse:
    def test_status_takes_its_reference_from_the_address(self) -> None:
        [event] = parse("status_delivered.txt", CALLBACK)
        assert event.kind is EventKind.DELIVERED
        assert event.key == f"{SID}:delivered"
        assert (event.reference, event.provider_message_id) == (str(REFERENCE), SID)
        assert event.address == "+351910000001"
        assert event.data == {"account": ACCOUNT, "carrier_time": "2603020915"}

    def test_unknown_handset_is_suppressed(self) -> None:
        [event] = parse("status_undelivered.txt", CALLBACK)
        assert (event.kind, event.error_code) == (EventKind.FAILED, "30005")
        assert (event.suppress, event.retryable) == ("invalid", False)

    def test_opt_out_found_when_sending_is_suppressed(self) -> None:
        [event] = parse("status_stopped.txt", CALLBACK)
        assert (event.kind, event.suppress) == (EventKind.FAILED, "stop")

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            ("queued", EventKind.ACCEPTED),
            ("sending", EventKind.ACCEPTED),
            ("sent", EventKind.SENT),
            ("read", EventKind.READ),
            ("failed", EventKind.FAILED),
            ("canceled", EventKind.FAILED),
            ("teleported", EventKind.UNKNOWN),
        ],
    )
    def test_each_status_has_its_kind(self, status: str, kind: EventKind) -> None:
        [event] = receiver().parse(webhook(f"MessageSid=SM1&MessageStatus={status}".encode()))
        assert (event.kind, event.key) == (kind, f"SM1:{status}")

    def test_canceled_message_is_not_tried_again(self) -> None:
        [event] = receiver().parse(webhook(b"MessageSid=SM1&MessageStatus=canceled"))
        assert (event.error_code, event.retryable) == ("canceled", False)

    def test_inbound_text_is_whole(self) -> None:
        [event] = parse("inbound_text.txt")
        assert (event.kind, event.message_type, event.text) == (EventKind.INBOUND, "text", "Olá, onde está?")
        assert (event.key, event.address) == ("SM00000000000000000000000000000079", "+351910000001")
        assert event.data["sent_to"] == "+15005550006"

    def test_keyword_alone_stays_inbound(self) -> None:
        [event] = parse("inbound_keyword.txt")
        assert (event.kind, event.text, event.suppress) == (EventKind.INBOUND, "stop", "")

    def test_opt_out_that_twilio_handled_is_an_opt_out(self) -> None:
        [event] = parse("inbound_stop.txt")
        assert (event.kind, event.text, event.suppress) == (EventKind.OPTED_OUT, "STOP", "stop")
        assert event.data["opt_out_type"] == "STOP"

    def test_opt_in_that_twilio_handled_is_an_opt_in(self) -> None:
        [event] = parse("inbound_start.txt")
        assert (event.kind, event.text, event.suppress) == (EventKind.OPTED_IN, "Start", "")

    @pytest.mark.parametrize(
        ("fields", "answered"),
        [
            ("Body=HELP&OptOutType=HELP&To=72345", True),
            ("Body=ajuda&OptOutType=HELP&To=%2B15005550006", True),
            ("Body=+help+&To=%2B15005550006", True),
            ("Body=Stop&To=%2B15005550006", True),
            ("Body=help&To=72345", None),
            ("Body=ajuda&To=%2B15005550006", None),
            ("Body=help+me&To=%2B15005550006", None),
        ],
    )
    def test_keyword_that_twilio_answered_is_told_apart(self, fields: str, answered: bool | None) -> None:
        [event] = receiver().parse(webhook(f"MessageSid=SM1&SmsStatus=received&{fields}".encode()))
        assert event.data.get("answered") is answered
        assert event.kind is EventKind.INBOUND

    def test_picture_keeps_its_address(self) -> None:
        [event] = parse("inbound_picture.txt")
        assert event.message_type == "media"
        assert event.data["media"] == [{"url": "https://api.twilio.com/media/ME1", "content_type": "image/jpeg"}]

    def test_webhook_configured_as_get_is_read_from_its_query(self) -> None:
        url = f"{PUBLIC_URL}/sms?MessageSid=SM1&MessageStatus=sent&AccountSid={ACCOUNT}&To=%2B1555"
        request = webhook(b"", url, "GET")
        [event] = receiver().parse(request)
        assert (event.kind, event.address) == (EventKind.SENT, "+1555")
        assert TwilioSms.account_hints(request) == [ACCOUNT]

    def test_json_is_let_through_as_unknown(self) -> None:
        body = b'{"AccountSid":"AC1","n":1}'
        [event] = receiver().parse(webhook(body, content_type="application/json"))
        assert (event.kind, event.data["account"]) == (EventKind.UNKNOWN, "AC1")

    @pytest.mark.parametrize("body", [b"", b"From=%2B1", b'{"a":1}', b"\xff\xfe"])
    def test_form_without_a_message_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed, match="MessageSid"):
            receiver().parse(webhook(body))

    def test_text_that_cannot_be_stored_is_mended(self) -> None:
        [event] = receiver().parse(webhook(b"MessageSid=SM1&SmsStatus=received&Body=a%00b%FFc"))
        assert event.text == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


class TestLookUp:
    SINCE = datetime(2026, 3, 2, 9, 15, 4, tzinfo=UTC)

    def row(self, **changes: Any) -> dict[str, Any]:
        return {
            "sid": SID,
            "to": "+351910000001",
            "body": "Olá",
            "direction": "outbound-api",
            "status": "delivered",
            "error_code": None,
            "date_created": "Mon, 02 Mar 2026 09:15:05 +0000",
        } | changes

    async def look(self, sender: TwilioSms) -> LookupResult:
        return await sender.look_up(TEXT, self.SINCE)

    async def test_same_person_text_and_time_is_found(self, provider: ScriptedProvider, sender: TwilioSms) -> None:
        provider.will(Reply(200, {"messages": [self.row(body="Other", sid="SM9"), self.row()], "next_page_uri": None}))
        result = await self.look(sender)
        assert result == LookupResult(found=True, provider_message_id=SID, status=EventKind.DELIVERED)
        target = urlsplit(provider.requests[0].target)
        assert (provider.requests[0].method, target.path) == ("GET", MESSAGES)
        assert dict(parse_qsl(target.query)) == {"To": "+351910000001", "DateSent>": "2026-03-02", "PageSize": "50"}

    async def test_failed_message_keeps_its_code(self, provider: ScriptedProvider, sender: TwilioSms) -> None:
        provider.will(Reply(200, {"messages": [self.row(status="undelivered", error_code=30005)]}))
        result = await self.look(sender)
        assert (result.status, result.error_code) == (EventKind.FAILED, "30005")

    @pytest.mark.parametrize(
        "changes",
        [
            {"body": "Hi"},
            {"to": "+351910000002"},
            {"direction": "inbound"},
            {"date_created": "Mon, 02 Mar 2026 09:10:00 +0000"},
        ],
    )
    async def test_another_message_is_not_it(
        self, provider: ScriptedProvider, sender: TwilioSms, changes: dict[str, str]
    ) -> None:
        provider.will(Reply(200, {"messages": [self.row(**changes)]}))
        assert not (await self.look(sender)).found

    async def test_equal_message_that_is_known_as_another_is_not_it(
        self, provider: ScriptedProvider, sender: TwilioSms
    ) -> None:
        provider.will(
            Reply(200, {"messages": [self.row()]}), Reply(200, {"messages": [self.row(), self.row(sid="SM2")]})
        )
        assert not (await sender.look_up(TEXT, self.SINCE, {SID})).found
        assert (await sender.look_up(TEXT, self.SINCE, {SID})).provider_message_id == "SM2"

    async def test_next_pages_are_read(self, provider: ScriptedProvider, sender: TwilioSms) -> None:
        provider.will(
            Reply(200, {"messages": [], "next_page_uri": f"{MESSAGES}?To=%2B351910000001&Page=1&PageToken=PASM1"}),
            Reply(200, {"messages": [self.row()], "next_page_uri": None}),
        )
        assert (await self.look(sender)).found
        assert provider.requests[1].target.endswith("Page=1&PageToken=PASM1")

    async def test_day_before_is_asked_for_just_after_midnight(
        self, provider: ScriptedProvider, sender: TwilioSms
    ) -> None:
        provider.will(Reply(200, {"messages": []}))
        await sender.look_up(TEXT, datetime(2026, 3, 3, 0, 0, 10, tzinfo=UTC))
        assert "2026-03-02" in provider.requests[0].target

    @pytest.mark.parametrize("reply", [Reply(503), Reply(200, b"<html>"), Hang(), Close()])
    async def test_unanswered_look_up_may_be_repeated(
        self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient, reply: Any
    ) -> None:
        provider.will(reply)
        with pytest.raises(ProviderUnavailable):
            await self.look(TwilioSms(CREDENTIALS, context(hasty_http, provider.url)))

    async def test_refused_look_up_says_why(self, provider: ScriptedProvider, sender: TwilioSms) -> None:
        provider.will(refusal(20003, 401))
        with pytest.raises(ProviderMisconfigured):
            await self.look(sender)
