"""The library of Svix, who deliver Resend's webhooks, and Relay: each accepts what the other side signs, and both
refuse the same forgeries."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook, WebhookVerificationError

from app.channels.base import Adapter, WebhookRequest
from app.channels.email.resend import ResendEmail
from tests.channels.contract import SHARED, offline
from tests.channels.samples import PAYLOADS, context, recorded, webhook
from tests.channels.sdk.judging import changed, received, relay, with_headers, without
from tests.simulator.receiver import RE, Client, Receiver, email, until

SECRET, OTHER_SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY", "whsec_GBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIB"
BODY = recorded("resend", "bounced.json")
ID = "msg_3Aq7ZtQk1PpY5wLx"


def adapter(secret: str = SECRET) -> Adapter:
    credentials = {"api_key": "re_key", "from_email": "news@mail.example.org", "webhook_secret": secret}
    return ResendEmail(credentials, context(offline(), "http://127.0.0.1:9"))


def sdk_accepts(request: WebhookRequest, secret: str = SECRET) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except (WebhookVerificationError, ValueError):  # ValueError: not UTF-8, or no list of signatures
        return False
    return True


def signed(body: bytes = BODY, *, age: int = 0, secret: str = SECRET) -> WebhookRequest:
    """Signed by Svix's library, some seconds ago."""
    moment = datetime.fromtimestamp(int(time.time()) - age, UTC)
    headers = {
        "svix-id": ID,
        "svix-timestamp": str(int(moment.timestamp())),
        "svix-signature": Webhook(secret).sign(ID, moment, body.decode()),
    }
    return with_headers(webhook(body), headers)


def assert_both(request: WebhookRequest, expected: bool, secret: str = SECRET) -> None:
    assert (relay(adapter(secret))(request), sdk_accepts(request, secret)) == (expected, expected)


class TestSigned:
    @pytest.mark.parametrize("name", sorted(path.name for path in (PAYLOADS / "resend").iterdir()))
    def test_every_recorded_event_is_accepted(self, name: str) -> None:
        assert_both(signed(recorded("resend", name)), True)

    @SHARED
    @given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
    def test_whatever_the_body_it_is_accepted(self, body: str) -> None:
        assert_both(signed(body.encode()), True)

    def test_one_of_several_signatures_is_enough(self) -> None:
        old, new = signed(secret=OTHER_SECRET), signed()
        both = f"{old.headers['svix-signature']} {new.headers['svix-signature']} v1a,AAAA"
        assert_both(with_headers(new, {"svix-signature": both}), True)

    def test_names_of_standard_webhooks_do_as_well(self) -> None:
        now = datetime.fromtimestamp(int(time.time()), UTC)
        headers = {
            "webhook-id": ID,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": StandardWebhook(SECRET).sign(ID, now, BODY.decode()),
        }
        assert_both(with_headers(webhook(BODY), headers), True)


class TestForged:
    @SHARED
    @given(place=st.integers(0, len(BODY) - 1))
    def test_one_changed_byte_is_refused(self, place: int) -> None:
        assert_both(replace(signed(), body=changed(BODY, place)), False)

    @pytest.mark.parametrize(
        "body", [json.dumps(json.loads(BODY)).encode(), json.dumps(json.loads(BODY), indent=1).encode(), b"", b"{}"]
    )
    def test_body_serialised_again_is_refused(self, body: bytes) -> None:
        assert body != BODY
        assert_both(replace(signed(), body=body), False)

    @pytest.mark.parametrize(("age", "accepted"), [(290, True), (-290, True), (310, False), (-310, False)])
    def test_five_minutes_either_way_are_tolerated(self, age: int, accepted: bool) -> None:
        assert_both(signed(age=age), accepted)

    def test_fresh_timestamp_on_an_old_signature_is_refused(self) -> None:
        assert_both(with_headers(signed(age=400), {"svix-timestamp": str(int(time.time()))}), False)

    @pytest.mark.parametrize("name", ["svix-id", "svix-timestamp", "svix-signature"])
    def test_missing_or_empty_header_is_refused(self, name: str) -> None:
        assert_both(without(signed(), name), False)
        assert_both(with_headers(signed(), {name: ""}), False)

    @pytest.mark.parametrize(
        "changes",
        [
            {"svix-id": "msg_other"},
            {"svix-timestamp": "soon"},
            {"svix-signature": "v1,AAAA"},
            {"svix-signature": "v1"},
            {"svix-signature": "v2,AAAA"},
        ],
    )
    def test_other_header_is_refused(self, changes: dict[str, str]) -> None:
        assert_both(with_headers(signed(), changes), False)

    def test_other_secret_is_refused(self) -> None:
        assert_both(signed(secret=OTHER_SECRET), False)
        assert_both(signed(), False, OTHER_SECRET)

    @SHARED
    @given(signature=st.text(max_size=60))
    def test_nothing_that_the_library_refuses_is_accepted(self, signature: str) -> None:
        request = with_headers(signed(), {"svix-signature": signature})
        assert sdk_accepts(request) or not relay(adapter())(request)


class TestSandbox:
    async def test_what_the_sandbox_signs_the_library_accepts(self, client: Client, listening: Receiver) -> None:
        await client.script("ana@example.com", "read", "click")
        await client.email(email(subject="Olá"))
        await client.control("POST", "/sandbox/inbound", {"provider": "resend", "from": "rui@example.com", "text": "Á"})
        await until(lambda: len(listening.at("/resend")) == 5)
        for posted in listening.at("/resend"):
            request = received(posted)
            assert sdk_accepts(request, RE["webhook_secret"])
            assert not sdk_accepts(replace(request, body=changed(request.body, 0)), RE["webhook_secret"])
