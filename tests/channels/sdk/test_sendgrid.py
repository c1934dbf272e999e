"""SendGrid's own library and Relay: each accepts what the other signs or builds, and both refuse the same forgeries."""

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from sendgrid import SendGridAPIClient  # type: ignore[import-untyped]
from sendgrid.helpers import mail as built  # type: ignore[import-untyped]
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped]

from app.channels.base import Adapter, WebhookRequest
from app.channels.email.sendgrid import SendGridEmail
from app.domain.status import Channel, MessageType
from tests.channels.contract import SHARED, offline
from tests.channels.samples import (
    PAYLOADS,
    REFERENCE,
    SETTINGS_ID,
    TENANT_ID,
    context,
    outbound,
    recorded,
    webhook,
)
from tests.channels.scripted import Reply, ScriptedProvider
from tests.channels.sdk.judging import changed, received, relay, with_headers, without
from tests.simulator.receiver import SG, Client, Receiver, until

KEY, OTHER_KEY = (ec.derive_private_key(number, ec.SECP256R1()) for number in (20260302, 20260303))
SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"
BODY = recorded("sendgrid", "batch.json")
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://u.example.org/o/tok>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}


def shown(key: ec.EllipticCurvePrivateKey) -> str:
    """The public key as the dashboard shows it."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode()


CREDENTIALS = {
    "api_key": "SG.key",
    "from_email": "news@mail.example.org",
    "from_name": "Example Org",
    "webhook_public_key": shown(KEY),
}


def adapter(key: str = shown(KEY)) -> Adapter:
    return SendGridEmail({**CREDENTIALS, "webhook_public_key": key}, context(offline(), "http://127.0.0.1:9"))


def sdk_accepts(request: WebhookRequest, key: str = shown(KEY)) -> bool:
    signature, timestamp = (request.headers.get(name, "") for name in (SIGNATURE, TIMESTAMP))
    try:
        return bool(EventWebhook(key).verify_signature(request.body.decode(), signature, timestamp))
    except ValueError:  # the body is not UTF-8, or the signature is not base64
        return False


def signed(
    body: bytes = BODY, *, key: ec.EllipticCurvePrivateKey = KEY, timestamp: str = "1772442905"
) -> WebhookRequest:
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    return with_headers(webhook(body), {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp})


def assert_both(request: WebhookRequest, expected: bool, key: str = shown(KEY)) -> None:
    assert (relay(adapter(key))(request), sdk_accepts(request, key)) == (expected, expected)


class TestSigned:
    @pytest.mark.parametrize("name", sorted(path.name for path in (PAYLOADS / "sendgrid").glob("*.json")))
    def test_every_recorded_batch_is_accepted(self, name: str) -> None:
        assert_both(signed(recorded("sendgrid", name)), True)

    @SHARED
    @given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
    def test_whatever_the_body_it_is_accepted(self, body: str) -> None:
        assert_both(signed(body.encode() + b"\r\n"), True)

    @pytest.mark.parametrize("timestamp", ["1", "1772442905", "4102444800"])
    def test_no_time_is_too_old_or_too_new(self, timestamp: str) -> None:
        assert_both(signed(timestamp=timestamp), True)


class TestForged:
    @SHARED
    @given(place=st.integers(0, len(BODY) - 1))
    def test_one_changed_byte_is_refused(self, place: int) -> None:
        assert_both(replace(signed(), body=changed(BODY, place)), False)

    @pytest.mark.parametrize(
        "body", [json.dumps(json.loads(BODY)).encode(), json.dumps(json.loads(BODY), indent=1).encode(), b"", b"[]"]
    )
    def test_body_serialised_again_is_refused(self, body: bytes) -> None:
        assert body != BODY
        assert_both(replace(signed(), body=body), False)

    def test_other_timestamp_is_refused(self) -> None:
        assert_both(with_headers(signed(), {TIMESTAMP: "1772442906"}), False)

    @pytest.mark.parametrize("name", [SIGNATURE, TIMESTAMP])
    def test_missing_or_empty_header_is_refused(self, name: str) -> None:
        assert_both(without(signed(), name), False)
        assert_both(with_headers(signed(), {name: ""}), False)

    def test_other_key_is_refused(self) -> None:
        assert_both(signed(key=OTHER_KEY), False)
        assert_both(signed(), False, shown(OTHER_KEY))

    @SHARED
    @given(place=st.integers(0, 59), character=st.characters(codec="ascii"))
    def test_nothing_that_the_library_refuses_is_accepted(self, place: int, character: str) -> None:
        request = signed()
        given = request.headers[SIGNATURE]
        altered = with_headers(request, {SIGNATURE: given[:place] + character + given[place + 1 :]})
        assert sdk_accepts(altered) or not relay(adapter())(altered)


class TestSandbox:
    async def test_what_the_sandbox_signs_the_library_accepts(self, client: Client, listening: Receiver) -> None:
        await client.script("ana@example.com", "read", "click")
        await client.mail(letter().get())
        await until(lambda: len(listening.events()) == 4)
        for posted in listening.at("/email"):
            request = received(posted)
            assert sdk_accepts(request, SG["webhook_public_key"])
            assert not sdk_accepts(replace(request, body=request.body.rstrip()), SG["webhook_public_key"])

    async def test_what_the_library_sends_the_sandbox_accepts(self, client: Client) -> None:
        sdk = SendGridAPIClient(SG["api_key"], host=client.server.url)
        answer = await asyncio.to_thread(sdk.send, letter())
        assert (answer.status_code, answer.body) == (202, b"")
        (entry,) = (await client.stats())["accepted"]
        assert (entry["recipient"], entry["reference"]) == ("ana@example.com", str(REFERENCE))


class TestSend:
    async def test_request_is_the_one_that_the_library_builds(
        self, provider: ScriptedProvider, http: httpx.AsyncClient
    ) -> None:
        provider.will(Reply(202, b"", {"x-message-id": "Zq1xTn8pQ0"}))
        content = {"subject": "Olá", "text": "Hello", "html": "<p>Hello</p>", "headers": UNSUBSCRIBE}
        message = outbound(Channel.EMAIL, content, to="ana@example.com", to_name="Ana Sá", type=MessageType.TEMPLATE)
        await SendGridEmail(CREDENTIALS, context(http, provider.url)).send(message)
        sdk = SendGridAPIClient(CREDENTIALS["api_key"], host=provider.url)
        await asyncio.to_thread(sdk.send, letter("news@mail.example.org", "Example Org"))
        ours, theirs = provider.requests
        assert (ours.method, ours.target) == (theirs.method, theirs.target)
        for name in ("authorization", "content-type"):
            assert ours.headers[name] == theirs.headers[name]
        assert ours.json() == theirs.json()


def letter(sender: str = SG["from_email"], name: str = "Example Org") -> Any:
    """An e-mail as SendGrid's library builds it."""
    letter = built.Mail()
    letter.from_email = built.From(sender, name)
    to = built.Personalization()
    to.add_to(built.To("ana@example.com", "Ana Sá"))
    to.subject = "Olá"
    for header, value in UNSUBSCRIBE.items():
        to.add_header(built.Header(header, value))
    for argument, id in (("message_id", REFERENCE), ("tenant_id", TENANT_ID), ("settings_id", SETTINGS_ID)):
        to.add_custom_arg(built.CustomArg(argument, str(id)))
    letter.add_personalization(to)
    letter.add_content(built.Content("text/plain", "Hello"))
    letter.add_content(built.Content("text/html", "<p>Hello</p>"))
    letter.tracking_settings = built.TrackingSettings(subscription_tracking=built.SubscriptionTracking(enable=False))
    return letter
