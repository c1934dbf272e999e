"""MessageBird SMS: the shared contract, the wire format, its errors, both signatures, webhooks and the look-up."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import httpx
import jwt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.base import Adapter, EventKind, LookupResult, WebhookEvent, WebhookRequest
from app.channels.sms.messagebird import MessageBirdSms, signature
from app.channels.sms.messagebird.faults import fault_of_answer, fault_of_report
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

KEY = "messagebird-signing-key-of-the-tests"
CREDENTIALS = {"access_key": "live_0123456789", "originator": "ExampleOrg", "signing_key": KEY}
ID = "b6c8d0e2f4a61728394a5b6c7d8e9f00"
WEBHOOK = f"{PUBLIC_URL}/v1/webhooks/sms/{SETTINGS_ID}"
ACCEPTED = Reply(201, {"id": ID, "reference": str(REFERENCE), "recipients": {"totalCount": 1, "items": []}})
TEXT = outbound(Channel.SMS, {"body": "Olá"})


def refusal(status: int, code: int | None, parameter: str | None = None, description: str = "No.") -> Reply:
    return Reply(status, {"errors": [{"code": code, "description": description, "parameter": parameter}]})


def receiver() -> MessageBirdSms:
    return MessageBirdSms(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))


def request_of(name: str, data: bytes) -> WebhookRequest:
    if name.startswith("report") and name.endswith(".txt"):
        return webhook(b"", f"{WEBHOOK}?{data.decode()}", "GET")
    kind = "json" if name.endswith(".json") else "x-www-form-urlencoded"
    return webhook(data, WEBHOOK, content_type=f"application/{kind}")


def parse(name: str) -> WebhookEvent:
    [event] = receiver().parse(request_of(name, recorded("messagebird", name)))
    return event


def report(**fields: str) -> WebhookEvent:
    [event] = receiver().parse(webhook(b"", f"{WEBHOOK}?{urlencode({'id': ID, **fields})}", "GET"))
    return event


def claims_of(request: WebhookRequest) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {"iss": "MessageBird", "nbf": now, "exp": now + 60, "jti": str(uuid4())}
    claims["url_hash"] = hashlib.sha256(request.url.encode()).hexdigest()
    if request.body:
        claims["payload_hash"] = hashlib.sha256(request.body).hexdigest()
    return claims


def with_token(request: WebhookRequest, token: str) -> WebhookRequest:
    return replace(request, headers={**request.headers, "messagebird-signature-jwt": token})


def signed(request: WebhookRequest, key: str = KEY, algorithm: str = "HS256", **changes: Any) -> WebhookRequest:
    claims = {name: value for name, value in {**claims_of(request), **changes}.items() if value is not None}
    return with_token(request, jwt.encode(claims, key, algorithm=algorithm))


class TestContract(AdapterContract):
    adapter = MessageBirdSms
    credentials = CREDENTIALS
    message = TEXT
    accepted = ACCEPTED
    accepted_id = ID
    refused = refusal(422, 9, "recipients", "no (correct) recipients found")
    refused_code = "9"
    refused_words = "no (correct) recipients found"
    payload_headers = {"content_type": "application/json"}
    signature_header = "messagebird-signature-jwt"

    def reference_in(self, request: Request) -> str:
        return str(request.json()["reference"])

    def recorded(self, name: str, data: bytes) -> WebhookRequest:
        return request_of(name, data)

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        return signed(request)


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> MessageBirdSms:
    return MessageBirdSms(CREDENTIALS, context(http, provider.url))


class TestCheckCredentials:
    @pytest.mark.parametrize("originator", ["+351910000000", "351910000000", "1008", "ExampleShop", "My shop"])
    def test_numbers_and_short_names_are_originators(self, originator: str) -> None:
        assert MessageBirdSms.check_credentials({**CREDENTIALS, "originator": originator}) == []

    @pytest.mark.parametrize(
        "originator", ["ExampleShop1", "Olá", "1234567890123456", "a\nb", "+", "   ", "+Shop", "12!", "0351910"]
    )
    def test_anything_else_is_named(self, originator: str) -> None:
        [problem] = MessageBirdSms.check_credentials({**CREDENTIALS, "originator": originator})
        assert problem.startswith("credentials.originator is neither")

    def test_webhooks_name_a_number_without_its_plus(self) -> None:
        assert MessageBirdSms.account_hint({"originator": "+351910000000"}) == "351910000000"


class TestSend:
    async def test_text_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(TEXT)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/messages")
        assert request.headers["authorization"] == "AccessKey live_0123456789"
        assert request.headers["content-type"] == "application/json"
        assert request.json() == {
            "originator": "ExampleOrg",
            "recipients": ["351910000001"],
            "body": "Olá",
            "datacoding": "auto",
            "reference": str(REFERENCE),
            "reportUrl": WEBHOOK,
        }

    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            (MessageType.LOCATION, {"latitude": 1.0, "longitude": 2.0}),
            (MessageType.MEDIA, {"body": "Look", "media_urls": ["https://cdn.example.org/a.jpg"]}),
            (MessageType.TEXT, {"body": "Look", "media_urls": ["https://cdn.example.org/a.jpg"]}),
        ],
    )
    async def test_what_is_no_text_is_refused_and_not_dropped(
        self, provider: ScriptedProvider, sender: Adapter, kind: MessageType, content: dict[str, Any]
    ) -> None:
        with pytest.raises(UnsupportedFeature):
            await sender.send(outbound(Channel.SMS, content, type=kind))
        assert provider.requests == []

    async def test_success_without_an_id_is_an_unknown_outcome(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        bodies: list[Any] = [b"", b"<html>", {"id": None}, []]
        for body in bodies:
            provider.will(Reply(201, body))
            with pytest.raises(OutcomeUnknown):
                await sender.send(TEXT)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(401, 2, "access_key"), ProviderMisconfigured),
            (refusal(422, 2), ProviderMisconfigured),
            (refusal(422, 9, "body"), MessageRejected),
            (refusal(422, 10, "recipients"), MessageRejected),
            (refusal(422, 10, "originator"), ProviderMisconfigured),
            (refusal(422, 10, "reportUrl"), ProviderMisconfigured),
            (refusal(404, 20), MessageRejected),
            (refusal(400, 21), MessageRejected),
            (refusal(402, 25), ProviderMisconfigured),
            (refusal(422, 25), ProviderMisconfigured),
            (Reply(402), ProviderMisconfigured),
            (refusal(404, 98), MessageRejected),
            (Reply(405), MessageRejected),
            (refusal(429, None), RateLimited),
            (refusal(429, 21), RateLimited),
            (refusal(500, 99), OutcomeUnknown),
            (refusal(503, 9), OutcomeUnknown),
            (refusal(422, 77), MessageRejected),
            (Reply(422, {"errors": [None, 1]}), MessageRejected),
            (Reply(422, {"errors": "no"}), MessageRejected),
        ],
    )
    async def test_code_decides_the_error(
        self, provider: ScriptedProvider, sender: Adapter, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(SendError) as caught:
            await sender.send(TEXT)
        assert type(caught.value) is error

    async def test_every_error_is_told_with_its_parameter(self, provider: ScriptedProvider, sender: Adapter) -> None:
        errors = [{"code": 9, "description": "missing", "parameter": "body"}, {"code": 10, "description": "too long"}]
        provider.will(Reply(422, {"errors": errors}))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(TEXT)
        assert (caught.value.provider_code, caught.value.detail) == ("9", "missing (body); too long")


class TestFaultOf:
    @pytest.mark.parametrize("code", [1, 2, 3, 5, 9, 10, 11, 12])
    def test_unknown_subscribers_are_suppressed(self, code: int) -> None:
        assert fault_of_report(code, "unknown subscriber").suppress == "invalid"
        assert not fault_of_report(code, "").retryable

    @pytest.mark.parametrize("code", [8, 26, 27, 31, 34])
    def test_unavailable_subscribers_may_be_tried_again(self, code: int) -> None:
        fault = fault_of_report(code, "unavailable subscriber")
        assert (fault.retryable, fault.suppress) == (True, None)

    @pytest.mark.parametrize(
        ("reason", "retryable", "suppress"),
        [
            ("unknown subscriber", False, "invalid"),
            ("unavailable subscriber", True, None),
            ("expired", True, None),
            ("DLR not received", True, None),
            ("opted-out", False, "stop"),
            ("carrier rejected", False, None),
            ("content rejected", False, None),
            ("insufficient balance", False, None),
            ("generic delivery failure", True, None),
            ("received network error", True, None),
            ("received_network_error", True, None),
            ("system failure", True, None),
            ("something new", True, None),
            ("", True, None),
        ],
    )
    @pytest.mark.parametrize("code", [0, None, 999])
    def test_reason_counts_where_the_code_says_nothing(
        self, code: int | None, reason: str, retryable: bool, suppress: str | None
    ) -> None:
        fault = fault_of_report(code, reason)
        assert (fault.retryable, fault.suppress) == (retryable, suppress)

    def test_codes_of_answers_are_not_those_of_reports(self) -> None:
        assert fault_of_answer(9, 422).suppress is None
        assert fault_of_report(9, "").suppress == "invalid"


class TestVerifyToken:
    """With a fixed token, which is good from 1772442904 to 1772442964."""

    URL = (
        "https://hooks.example.org/sms/messagebird/status?id=mb-1&reference=msg-42&recipient=31612345678"
        "&status=delivered"
    )
    TOKEN = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTc3MjQ0MjkwNCwiZXhwIjoxNzcyNDQyOTY0"
        "LCJqdGkiOiI1ZjBjMWMyZS0zYzM5LTRiNjItOWIzZS02YjRiN2E0YjlmMDEiLCJ1cmxfaGFzaCI6Ijg0MGYwOTQwZWJjMDA4YjI1NTQ1Njk4"
        "NGQ4YWQ5NjdiOGJjYzAxODZiMmE1ZDNiMzEzZjU3YzU0Y2QwMzhlNjAifQ.QIvjDV4ftzOpkXaF7LrbFyfwmAJiSFY9kecL3F4NP1Q"
    )
    BODY = webhook(b"id=1&body=hi", WEBHOOK)

    def check(self, url: str = URL, token: str = TOKEN, now: float = 1_772_442_930, body: bytes = b"") -> None:
        signature.verify(b"mb-signing-key-example", with_token(webhook(body, url, "GET"), token), now)

    def refused(self, request: WebhookRequest) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(request)

    @pytest.mark.parametrize("now", [1_772_442_900, 1_772_442_904, 1_772_442_964, 1_772_442_968])
    def test_example_is_accepted_for_a_minute_and_a_few_seconds(self, now: int) -> None:
        self.check(now=now)

    @pytest.mark.parametrize("now", [1_772_442_890, 1_772_442_975, 1_790_000_000])
    def test_example_is_stale_or_early_at_other_times(self, now: int) -> None:
        with pytest.raises(InvalidSignature, match="not valid at this time"):
            self.check(now=now)

    @pytest.mark.parametrize(
        "url",
        [
            URL.replace("delivered", "delivery_failed"),
            URL + "&status=delivery_failed",
            URL.replace("status=", "status=sent&status=", 1),
            URL.replace("id=mb-1&reference=msg-42", "reference=msg-42&id=mb-1"),
            URL.replace("https", "http"),
            URL.replace("hooks", "other"),
            URL.replace("mb-1", "mb%2D1"),
            URL.partition("?")[0],
            URL + "&",
        ],
        ids=["value", "repeated", "repeated before", "order", "scheme", "host", "quoting", "no query", "ending"],
    )
    def test_changed_address_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidSignature, match="another address"):
            self.check(url)

    @pytest.mark.parametrize("place", range(0, len(TOKEN), 7))
    def test_changed_token_is_refused(self, place: int) -> None:
        other = "A" if self.TOKEN[place] != "A" else "B"
        with pytest.raises(InvalidSignature):
            self.check(token=self.TOKEN[:place] + other + self.TOKEN[place + 1 :])

    def test_another_spelling_of_the_same_signature_is_refused(self) -> None:
        twin = self.TOKEN[:-1] + "R"  # the last letter carries two bits that decoding drops
        first, second = (base64.urlsafe_b64decode(token.rpartition(".")[2] + "=") for token in (self.TOKEN, twin))
        assert first == second
        with pytest.raises(InvalidSignature):
            self.check(token=twin)

    def test_repeated_parameter_that_was_signed_is_accepted(self) -> None:
        receiver().verify(signed(webhook(b"", f"{WEBHOOK}?status=sent&status=delivered", "GET")))

    def test_body_and_its_claim_come_together(self) -> None:
        receiver().verify(signed(self.BODY))
        self.refused(signed(self.BODY, payload_hash=None))
        self.refused(signed(replace(self.BODY, body=b""), payload_hash=hashlib.sha256(b"").hexdigest()))
        self.refused(replace(signed(self.BODY), body=b"id=1&body=ho"))
        self.refused(replace(signed(replace(self.BODY, body=b"")), body=b"x"))

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
    def test_longer_hashes_are_accepted(self, algorithm: str) -> None:
        key = "k" * 64
        signature.verify(key.encode(), signed(self.BODY, key=key, algorithm=algorithm), time.time())

    @pytest.mark.parametrize("algorithm", ["none", "None", "RS256", "", None, ["HS256"]])
    def test_other_algorithms_are_refused_whatever_signed_them(self, algorithm: Any) -> None:
        parts = [
            base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=")
            for part in ({"alg": algorithm}, claims_of(self.BODY))
        ]
        data = b".".join(parts)
        digest = base64.urlsafe_b64encode(hmac.digest(KEY.encode(), data, "sha256")).rstrip(b"=")
        for end in (digest, b""):
            self.refused(with_token(self.BODY, (data + b"." + end).decode()))

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "SomebodyElse"},
            {"iss": None},
            {"nbf": None},
            {"exp": None},
            {"exp": True},
            {"exp": "2026-01-01"},
            {"nbf": 0, "exp": 1},
            {"nbf": 4_000_000_000, "exp": 4_000_000_060},
            {"url_hash": None},
            {"url_hash": hashlib.sha256(b"https://relay.example.net").hexdigest()},
            {"url_hash": ["x"]},
        ],
    )
    def test_claim_that_is_wrong_or_missing_is_refused(self, changes: Mapping[str, Any]) -> None:
        receiver().verify(signed(self.BODY))
        claims = {name: value for name, value in {**claims_of(self.BODY), **changes}.items() if value is not None}
        parts = [base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
        digest = base64.urlsafe_b64encode(hmac.digest(KEY.encode(), b".".join(parts), "sha256")).rstrip(b"=")
        self.refused(with_token(self.BODY, b".".join([*parts, digest]).decode()))

    def test_another_key_is_refused(self) -> None:
        self.refused(signed(self.BODY, key="f" * 32))

    def test_extensions_that_must_be_understood_are_refused(self) -> None:
        token = jwt.encode(claims_of(self.BODY), KEY, algorithm="HS256", headers={"crit": ["b64"], "b64": False})
        self.refused(with_token(self.BODY, token))

    @SHARED
    @given(token=st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}"))
    def test_nothing_but_a_refusal_is_raised(self, token: str) -> None:
        self.refused(with_token(self.BODY, token))


class TestVerifyOlderScheme:
    QUERY = (
        f"id={ID}&recipient=31612345678&reference=FOO&status=delivered&statusDatetime=2026-03-02T09%3A15%3A04%2B00%3A00"
    )

    def older(self, request: WebhookRequest, address: str, *, age: int = 0, key: str = KEY) -> WebhookRequest:
        """MessageBird's side: the time, the address or what stands for it, and the hash of the body."""
        timestamp = str(int(time.time()) - age)
        data = f"{timestamp}\n{address}\n".encode() + hashlib.sha256(request.body).digest()
        given = base64.b64encode(hmac.new(key.encode(), data, hashlib.sha256).digest()).decode()
        headers = {"messagebird-signature": given, "messagebird-request-timestamp": timestamp}
        return replace(request, headers={**request.headers, **headers})

    def refused(self, request: WebhookRequest) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(request)

    def test_query_is_signed_in_the_order_of_its_names(self) -> None:
        turned = "&".join(reversed(self.QUERY.split("&")))
        receiver().verify(self.older(webhook(b"", f"{WEBHOOK}?{turned}", "GET"), self.QUERY))

    def test_whole_address_may_be_signed(self) -> None:
        request = webhook(b'{"n":1}', f"{WEBHOOK}?a=1")
        receiver().verify(self.older(request, request.url))

    @pytest.mark.parametrize("age", [-90, 90, 5_000])
    def test_stale_or_early_timestamp_is_refused(self, age: int) -> None:
        self.refused(self.older(webhook(b"", f"{WEBHOOK}?{self.QUERY}", "GET"), self.QUERY, age=age))

    def test_changes_are_refused(self) -> None:
        good = self.older(webhook(b"body=hi", f"{WEBHOOK}?{self.QUERY}"), self.QUERY)
        receiver().verify(good)
        self.refused(replace(good, body=b"body=ho"))
        self.refused(replace(good, url=good.url.replace("delivered", "sent")))
        self.refused(replace(good, url=good.url + "&status=sent"))
        for name, value in (
            ("messagebird-request-timestamp", str(int(time.time()) + 1)),
            ("messagebird-signature", ""),
        ):
            self.refused(replace(good, headers={**good.headers, name: value}))
        without = {name: value for name, value in good.headers.items() if name != "messagebird-request-timestamp"}
        self.refused(replace(good, headers=without))
        self.refused(self.older(webhook(b"body=hi", f"{WEBHOOK}?{self.QUERY}"), self.QUERY, key="other"))

    def test_it_does_not_make_up_for_a_bad_token(self) -> None:
        self.refused(with_token(self.older(webhook(b"", WEBHOOK), ""), "a.b.c"))


class TestParse:
    @pytest.mark.parametrize(
        ("name", "kind", "code", "suppress", "retryable"),
        [
            ("scheduled", EventKind.ACCEPTED, "", "", False),
            ("buffered", EventKind.DEFERRED, "", "", False),
            ("sent", EventKind.SENT, "", "", False),
            ("delivered", EventKind.DELIVERED, "", "", False),
            ("unknown_subscriber", EventKind.FAILED, "1", "invalid", False),
            ("unavailable", EventKind.FAILED, "27", "", True),
            ("opted_out", EventKind.FAILED, "103", "stop", False),
            ("generic", EventKind.FAILED, "generic delivery failure", "", True),
            ("expired", EventKind.FAILED, "DLR not received", "", True),
        ],
    )
    def test_each_report_has_its_meaning(
        self, name: str, kind: EventKind, code: str, suppress: str, retryable: bool
    ) -> None:
        event = parse(f"report_{name}.txt")
        assert (event.kind, event.error_code, event.suppress, event.retryable) == (kind, code, suppress, retryable)
        assert (event.reference, event.provider_message_id) == (str(REFERENCE), ID)
        assert event.address == "+351910000001"

    def test_report_keeps_its_time_and_facts(self) -> None:
        event = parse("report_delivered.txt")
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 10, tzinfo=UTC)
        assert event.data == {"account": "ExampleOrg", "parts": "1", "operator": "26801"}
        assert event.raw["price[amount]"] == "0.041"

    def test_failure_is_told_in_the_words_of_the_provider(self) -> None:
        assert parse("report_unknown_subscriber.txt").error_detail == "unknown subscriber"

    def test_posted_report_is_the_same_report(self) -> None:
        assert parse("report_posted.json").key == parse("report_delivered.txt").key

    def test_key_tells_recipients_and_statuses_apart(self) -> None:
        keys = {report(recipient=to, status=status).key for to in ("1", "2") for status in ("sent", "delivered")}
        assert len(keys) == 4

    def test_unknown_status_is_let_through(self) -> None:
        event = report(status="teleported", statusReason="odd", statusErrorCode="7")
        assert (event.kind, event.error_code, event.suppress) == (EventKind.UNKNOWN, "", "")

    def test_time_that_cannot_be_read_is_now(self) -> None:
        for moment in ("", "yesterday", "0001-01-01T00:00:00+23:59", "99999999999999"):
            assert report(status="sent", statusDatetime=moment).occurred_at.year > 2025

    @pytest.mark.parametrize("name", ["inbound_form.txt", "inbound_flow.json"])
    def test_inbound_text_is_whole(self, name: str) -> None:
        event = parse(name)
        assert (event.kind, event.message_type) == (EventKind.INBOUND, "text")
        assert event.text in {"Olá, onde está?", "Sim"}
        assert (event.address, event.data["sent_to"]) == ("+351910000001", "+3197010240000")
        assert event.data["account"] == "3197010240000"
        assert event.reference == ""

    def test_keyword_alone_stays_inbound(self) -> None:
        event = parse("inbound_stop.txt")
        assert (event.kind, event.text, event.suppress) == (EventKind.INBOUND, "STOP", "")

    def test_short_code_has_names_of_its_own(self) -> None:
        event = parse("inbound_short_code.txt")
        assert (event.key, event.text, event.address) == ("778899", "KEYWORD hello", "+31612345678")
        assert event.occurred_at == datetime(2026, 3, 2, 9, 22, 5, tzinfo=UTC)
        assert event.data["account"] == "1008"

    def test_picture_keeps_its_address(self) -> None:
        event = parse("inbound_picture.txt")
        assert event.message_type == "media"
        assert event.data["media"] == [{"url": "https://media.example.org/a.jpg", "content_type": ""}]

    def test_several_pictures_are_a_list_in_json(self) -> None:
        body = orjson.dumps({"id": "1", "originator": "31612345678", "mediaUrls": ["https://a.example/1", 2, None]})
        [event] = receiver().parse(webhook(body, content_type="application/json"))
        assert [item["url"] for item in event.data["media"]] == ["https://a.example/1", "2"]

    def test_text_of_our_own_message_is_not_taken_for_an_answer(self) -> None:
        assert report(status="teleported", body="STOP").kind is EventKind.UNKNOWN

    def test_other_fields_are_let_through_as_unknown(self) -> None:
        [event] = receiver().parse(webhook(b"", f"{WEBHOOK}?ping=1", "GET"))
        assert (event.kind, event.raw) == (EventKind.UNKNOWN, {"ping": "1"})

    @pytest.mark.parametrize(
        "request_",
        [
            webhook(b"", WEBHOOK, "GET"),
            webhook(b"", f"{WEBHOOK}?status=sent", "GET"),
            webhook(b"[]", WEBHOOK, content_type="application/json"),
            webhook(b"{}", WEBHOOK, content_type="application/json"),
        ],
        ids=["nothing", "no id", "list", "empty object"],
    )
    def test_what_names_no_message_is_malformed(self, request_: WebhookRequest) -> None:
        with pytest.raises(Malformed):
            receiver().parse(request_)

    @SHARED
    @given(fields=st.dictionaries(st.sampled_from(["id", "status", "body", "recipient", "mediaUrls", "x"]), st.text()))
    def test_any_query_is_read_or_called_malformed(self, fields: dict[str, str]) -> None:
        request = webhook(b"", f"{WEBHOOK}?{urlencode(fields, errors='replace')}", "GET")
        try:
            [event] = receiver().parse(request)
        except Malformed:
            return
        assert event.key
        assert b"\\u0000" not in orjson.dumps([event.key, event.address, event.text, dict(event.data), dict(event.raw)])


class TestLookUp:
    SINCE = datetime(2026, 3, 2, 9, 15, 4, tzinfo=UTC)

    def item(self, **changes: Any) -> dict[str, Any]:
        recipients = {"items": [{"recipient": 351910000001, "status": "delivered", "statusErrorCode": None}]}
        return {
            "id": ID,
            "direction": "mt",
            "originator": "ExampleOrg",
            "body": "Olá",
            "reference": str(REFERENCE),
            "createdDatetime": "2026-03-02T09:15:05+00:00",
            "recipients": recipients,
        } | changes

    def page(self, *items: Any, total: int | None = None) -> Reply:
        return Reply(200, {"items": list(items), "totalCount": len(items) if total is None else total})

    async def look(self, sender: MessageBirdSms) -> LookupResult:
        return await sender.look_up(TEXT, self.SINCE)

    async def test_our_reference_is_found(self, provider: ScriptedProvider, sender: MessageBirdSms) -> None:
        provider.will(self.page(self.item(id="other", reference=str(uuid4())), self.item(body="as it was rendered")))
        result = await self.look(sender)
        assert result == LookupResult(found=True, provider_message_id=ID, status=EventKind.DELIVERED)
        target = urlsplit(provider.requests[0].target)
        assert (provider.requests[0].method, target.path) == ("GET", "/messages")
        assert dict(parse_qsl(target.query)) == {
            "recipient": "351910000001",
            "from": "2026-03-02T09:14:04+00:00",
            "limit": "50",
            "offset": "0",
        }

    async def test_failed_message_keeps_its_code(self, provider: ScriptedProvider, sender: MessageBirdSms) -> None:
        state = {"recipient": "351910000001", "status": "delivery_failed", "statusErrorCode": 1}
        others = {"recipient": 351910000002, "status": "delivered"}
        provider.will(self.page(self.item(recipients={"items": [others, state]})))
        result = await self.look(sender)
        assert (result.status, result.error_code) == (EventKind.FAILED, "1")

    @pytest.mark.parametrize("recipients", [None, {}, {"items": 1}, {"items": [None]}])
    async def test_message_without_its_recipients_is_accepted(
        self, provider: ScriptedProvider, sender: MessageBirdSms, recipients: Any
    ) -> None:
        provider.will(self.page(self.item(recipients=recipients)))
        assert (await self.look(sender)).status is EventKind.ACCEPTED

    @pytest.mark.parametrize(
        "changes",
        [
            {"reference": str(uuid4())},
            {"direction": "mo"},
            {"reference": None, "body": "Hi"},
            {"reference": "", "createdDatetime": "2026-03-02T09:10:00+00:00"},
        ],
    )
    async def test_another_message_is_not_it(
        self, provider: ScriptedProvider, sender: MessageBirdSms, changes: dict[str, Any]
    ) -> None:
        provider.will(self.page(self.item(**changes), None, 7))
        assert not (await self.look(sender)).found

    @pytest.mark.parametrize("created", ["2026-03-02T10:15:05+01:00", None, "soon", "2026-03-02T09:15:05"])
    async def test_where_no_reference_is_shown_the_same_text_will_do(
        self, provider: ScriptedProvider, sender: MessageBirdSms, created: str | None
    ) -> None:
        provider.will(self.page(self.item(reference=None, createdDatetime=created)))
        assert (await self.look(sender)).found

    async def test_equal_message_that_is_known_as_another_is_not_it(
        self, provider: ScriptedProvider, sender: MessageBirdSms
    ) -> None:
        known = self.item(reference=None)
        provider.will(self.page(known), self.page(known, self.item(id="2", reference=None)))
        assert not (await sender.look_up(TEXT, self.SINCE, {ID})).found
        assert (await sender.look_up(TEXT, self.SINCE, {ID})).provider_message_id == "2"

    async def test_next_pages_are_read(self, provider: ScriptedProvider, sender: MessageBirdSms) -> None:
        others = [self.item(id=str(number), reference=str(uuid4())) for number in range(20)]
        provider.will(self.page(*others, total=21), self.page(self.item(), total=21))
        assert (await self.look(sender)).found
        assert provider.requests[1].target.endswith("offset=20")

    async def test_endless_pages_are_given_up_without_an_answer(
        self, provider: ScriptedProvider, sender: MessageBirdSms
    ) -> None:
        provider.will(self.page(self.item(reference=str(uuid4())), total=10_000))
        with pytest.raises(ProviderUnavailable):
            await self.look(sender)

    @pytest.mark.parametrize(
        "reply", [Reply(503), Reply(200, b"<html>"), Reply(200, {"items": []}), Reply(200, {}), Hang(), Close()]
    )
    async def test_unanswered_look_up_may_be_repeated(
        self, provider: ScriptedProvider, hasty_http: httpx.AsyncClient, reply: Any
    ) -> None:
        provider.will(reply)
        with pytest.raises(ProviderUnavailable):
            await self.look(MessageBirdSms(CREDENTIALS, context(hasty_http, provider.url)))

    @pytest.mark.parametrize(("reply", "error"), [(refusal(401, 2), ProviderMisconfigured), (Reply(429), RateLimited)])
    async def test_refused_look_up_says_why(
        self, provider: ScriptedProvider, sender: MessageBirdSms, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(error):
            await self.look(sender)
