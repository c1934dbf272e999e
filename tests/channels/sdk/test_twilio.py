"""Twilio's own library and Relay: each accepts what the other signs or builds, and both refuse the same forgeries."""

import asyncio
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client as TwilioClient  # type: ignore[import-untyped]

from app.channels.base import Adapter, WebhookRequest
from app.channels.sms.twilio import TwilioSms
from app.domain.status import Channel, MessageType
from tests.channels.contract import SHARED, offline
from tests.channels.samples import PUBLIC_URL, REFERENCE, SETTINGS_ID, context, outbound, webhook
from tests.channels.scripted import Reply, ScriptedProvider
from tests.channels.sdk.judging import changed, received, relay, with_headers, without
from tests.simulator.receiver import ASHA, TW, Client, Receiver, until

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CREDENTIALS = {
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "auth_token": TOKEN,
    "from_number": "+15005550006",
}
URL = f"{PUBLIC_URL}/v1/webhooks/sms/{SETTINGS_ID}?ref={REFERENCE}"
SIGNATURE = "x-twilio-signature"
FIELDS = [("MessageSid", "SM1"), ("MessageStatus", "delivered"), ("To", "+351910000001"), ("Body", "Olá & adeus = 1+1")]
VALID_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def adapter(token: str = TOKEN) -> Adapter:
    return TwilioSms({**CREDENTIALS, "auth_token": token}, context(offline(), "http://127.0.0.1:9"))


def sdk_accepts(request: WebhookRequest, token: str = TOKEN) -> bool:
    """As a web framework would call it: forms as a dictionary of several values, JSON as text."""
    validator = RequestValidator(token)
    signature = request.headers.get(SIGNATURE, "")
    if request.headers.get("content-type") == "application/json":
        return bool(validator.validate(request.url, request.body.decode(), signature))
    form = MultiDict(parse_qsl(request.body.decode(), keep_blank_values=True))
    return bool(validator.validate(request.url, form, signature))


def form(fields: list[tuple[str, str]] = FIELDS, url: str = URL, token: str = TOKEN) -> WebhookRequest:
    """A form post, signed by Twilio's library."""
    request = webhook(urlencode(fields).encode(), url, content_type="application/x-www-form-urlencoded")
    return with_headers(request, {SIGNATURE: RequestValidator(token).compute_signature(url, MultiDict(fields))})


def posted_json(value: Any) -> WebhookRequest:
    """A JSON post, signed by Twilio's library."""
    body = json.dumps(value).encode()
    url = f"{URL}&bodySHA256={sha256(body).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    return with_headers(webhook(body, url, content_type="application/json"), {SIGNATURE: signature})


def assert_both(request: WebhookRequest, expected: bool, token: str = TOKEN) -> None:
    assert (relay(adapter(token))(request), sdk_accepts(request, token)) == (expected, expected)


class TestForm:
    @SHARED
    @given(fields=st.lists(st.tuples(VALID_TEXT.filter(bool), VALID_TEXT), max_size=8))
    def test_whatever_the_fields_what_twilio_signs_is_accepted(self, fields: list[tuple[str, str]]) -> None:
        assert_both(form(fields), True)

    @pytest.mark.parametrize("again", [("To", "+351910000002"), ("To", "+351910000001"), ("To", "")])
    def test_repeated_field_is_signed_by_its_distinct_values(self, again: tuple[str, str]) -> None:
        assert_both(form([*FIELDS, again]), True)

    def test_field_added_twice_after_signing_is_refused_unless_it_says_the_same(self) -> None:
        request = form()
        assert_both(replace(request, body=request.body + b"&To=%2B351910000002"), False)
        assert_both(replace(request, body=request.body + b"&To=%2B351910000001"), True)

    @SHARED
    @given(place=st.integers(0, len(urlencode(FIELDS)) - 1))
    def test_one_changed_byte_is_judged_alike(self, place: int) -> None:
        request = form()
        altered = replace(request, body=changed(request.body, place))
        assert relay(adapter())(altered) == sdk_accepts(altered)

    @pytest.mark.parametrize("dropped", range(len(FIELDS)))
    def test_missing_field_is_refused(self, dropped: int) -> None:
        rest = [field for index, field in enumerate(FIELDS) if index != dropped]
        assert_both(replace(form(), body=urlencode(rest).encode()), False)

    def test_order_of_the_fields_does_not_matter(self) -> None:
        assert_both(replace(form(), body=urlencode(FIELDS[::-1]).encode()), True)

    def test_wrong_token_and_missing_signature_are_refused(self) -> None:
        assert_both(form(), False, token="another")
        assert_both(form(token="another"), False)
        assert_both(without(form(), SIGNATURE), False)
        assert_both(with_headers(form(), {SIGNATURE: "b3RoZXI="}), False)


class TestAddress:
    @pytest.mark.parametrize(
        ("signed", "called", "accepted"),
        [
            ("https://a.example.org/x?y=1", "https://a.example.org:443/x?y=1", True),
            ("https://a.example.org:443/x", "https://a.example.org/x", True),
            ("http://a.example.org:80/x", "http://a.example.org/x", True),
            ("https://a.example.org/x", "https://a.example.org:8443/x", True),  # Twilio left the port out
            ("https://a.example.org:8443/x", "https://a.example.org/x", False),
            ("https://a.example.org:8443/x", "https://a.example.org:8444/x", False),
            ("http://a.example.org/x", "https://a.example.org/x", False),
            ("https://a.example.org:80/x", "http://a.example.org/x", False),
            ("https://b.example.org/x", "https://a.example.org/x", False),
            ("https://a.example.org/y", "https://a.example.org/x", False),
            ("https://a.example.org/x/", "https://a.example.org/x", False),
            ("https://a.example.org/x?a=1&b=2", "https://a.example.org/x?b=2&a=1", False),
            ("https://a.example.org/x?a=%20", "https://a.example.org/x?a=+", False),
            ("https://a.example.org/x?a=1", "https://a.example.org/x", False),
        ],
    )
    def test_other_addresses_are_judged_alike(self, signed: str, called: str, accepted: bool) -> None:
        assert_both(replace(form(url=signed), url=called), accepted)


class TestJson:
    BODY = {"event": "ping", "n": 1, "words": "olá"}

    def test_hash_of_the_body_in_the_address_is_accepted(self) -> None:
        assert_both(posted_json(self.BODY), True)

    @pytest.mark.parametrize("body", [b'{"event":"ping","n":1}', b"", b"{}"])
    def test_body_serialised_again_is_refused(self, body: bytes) -> None:
        assert_both(replace(posted_json(self.BODY), body=body), False)

    @SHARED
    @given(place=st.integers(0, len(json.dumps(BODY)) - 1))
    def test_one_changed_byte_is_refused(self, place: int) -> None:
        request = posted_json(self.BODY)
        assert_both(replace(request, body=changed(request.body, place)), False)

    def test_hash_exchanged_for_that_of_another_body_is_refused(self) -> None:
        body = b'{"event":"pong"}'
        url = f"{URL}&bodySHA256={sha256(body).hexdigest()}"
        assert_both(replace(posted_json(self.BODY), body=body, url=url), False)


class TestSandbox:
    async def test_what_the_sandbox_signs_the_library_accepts(self, client: Client, listening: Receiver) -> None:
        await client.sms(StatusCallback=f"{listening.url}/sms?ref={REFERENCE}&note=a%20b")
        await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": "Olá? 1+1"})
        await until(lambda: len(listening.at("/sms")) == 3)
        for posted in listening.at("/sms"):
            request = received(posted)
            assert sdk_accepts(request, TW["auth_token"])
            assert not sdk_accepts(replace(request, body=request.body + b"&x=1"), TW["auth_token"])

    async def test_what_the_library_sends_the_sandbox_accepts(self, client: Client, listening: Receiver) -> None:
        sdk = TwilioClient(TW["account_sid"], TW["auth_token"], http_client=Moved(client.server.url))
        callback = f"{listening.url}/sms?ref=m-7"
        sent = await asyncio.to_thread(
            sdk.messages.create, to=ASHA, from_=TW["from_number"], body="Olá", status_callback=callback
        )
        assert (sent.status, sent.to, sent.body) == ("queued", ASHA, "Olá")
        found = await asyncio.to_thread(sdk.messages.list, to=ASHA, limit=1)
        assert [message.sid for message in found] == [sent.sid]


class TestSend:
    async def test_request_is_the_one_that_the_library_builds(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(Reply(201, {"sid": "SM1", "status": "queued"}))
        pictures = ["https://cdn.example.org/a.jpg", "https://cdn.example.org/b.jpg"]
        content = {"body": "Olá, Ana", "media_urls": pictures}
        message = outbound(Channel.SMS, content, type=MessageType.MEDIA)
        await TwilioSms(CREDENTIALS, context(http, provider.url)).send(message)
        sdk = TwilioClient(CREDENTIALS["account_sid"], TOKEN, http_client=Moved(provider.url))
        await asyncio.to_thread(
            sdk.messages.create,
            to=message.to,
            from_=CREDENTIALS["from_number"],
            body="Olá, Ana",
            media_url=pictures,
            status_callback=URL,
        )
        ours, theirs = provider.requests
        assert (ours.method, ours.target) == (theirs.method, theirs.target)
        assert ours.headers["authorization"] == theirs.headers["authorization"]
        assert sorted(parse_qsl(ours.body.decode())) == sorted(parse_qsl(theirs.body.decode()))


class Moved(TwilioHttpClient):  # type: ignore[misc]
    """The library knows no other address than Twilio's own."""

    def __init__(self, origin: str) -> None:
        super().__init__(pool_connections=False, timeout=20)
        self.origin = origin

    def request(self, method: str, uri: str, *args: Any, **options: Any) -> Any:
        return super().request(method, uri.replace("https://api.twilio.com", self.origin), *args, **options)
