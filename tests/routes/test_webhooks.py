import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlmodel import col

from app.channels.email.sendgrid import SendGridEmail
from app.channels.http import provider_client
from app.db import Sessions
from app.domain.status import Channel
from app.models import ChannelSetting, Tenant, WebhookEvent
from app.routes import webhooks
from app.secrets import Vault
from app.services.senders import Senders
from app.services.webhooks import WebhookIntake
from app.settings import Settings
from tests import factories, providers
from tests.channels.forms import form
from tests.providers import Post
from tests.routes.webhook_server import get_to_know, serving_webhooks, webhook_app


class Endpoint:
    """The webhook routes over HTTP, and the tenant's three senders."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        sessions: Sessions,
        tenant: Tenant,
        settings: Settings,
        intake: WebhookIntake | None = None,
    ) -> None:
        self.http, self.sessions, self.tenant, self.vault = http, sessions, tenant, Vault(settings.keys)
        self.intake = intake  # the short way is for the senders it knows
        self.public_url = settings.public_url

    async def sender(
        self, channel: Channel, provider: str, credentials: dict[str, str], tenant_id: UUID | None = None
    ) -> ChannelSetting:
        owner = tenant_id or self.tenant.id
        async with self.sessions.begin(owner) as session:
            setting = await factories.make_channel_setting(session, owner, self.vault, channel, provider, credentials)
        if self.intake is not None:
            await get_to_know(self.intake, setting)
        return setting

    async def whatsapp(self, **credentials: str) -> ChannelSetting:
        return await self.sender(Channel.WHATSAPP, "whatsapp_cloud", providers.whatsapp_credentials(**credentials))

    async def twilio(self) -> ChannelSetting:
        return await self.sender(Channel.SMS, "twilio", providers.twilio_credentials())

    async def messagebird(self, **credentials: str) -> ChannelSetting:
        return await self.sender(Channel.SMS, "messagebird", providers.messagebird_credentials(**credentials))

    async def sendgrid(self) -> ChannelSetting:
        return await self.sender(Channel.EMAIL, "sendgrid", providers.sendgrid_credentials())

    async def resend(self) -> ChannelSetting:
        return await self.sender(Channel.EMAIL, "resend", providers.resend_credentials())

    async def mailgun(self) -> ChannelSetting:
        return await self.sender(Channel.EMAIL, "mailgun", providers.mailgun_credentials())

    async def post(self, post: Post) -> httpx.Response:
        return await self.http.request(post.method, post.path, content=post.body, headers=post.headers)

    async def stored(self, tenant_id: UUID | None = None) -> list[WebhookEvent]:
        async with self.sessions.begin(tenant_id or self.tenant.id) as session:
            query = select(WebhookEvent).order_by(col(WebhookEvent.created_at))
            return list((await session.execute(query)).scalars())


both_ways = pytest.mark.parametrize("endpoint", ["router", "short way"], indirect=True)


@pytest.fixture
async def endpoint(
    request: pytest.FixtureRequest, sessions: Sessions, tenant: Tenant, settings: Settings
) -> AsyncIterator[Endpoint]:
    client = provider_client(concurrency=1, timeout_seconds=1)
    senders = Senders(settings, client, Vault(settings.keys))
    async with WebhookIntake(sessions, senders) as intake:
        app = webhook_app(intake)
        if getattr(request, "param", "short way") == "router":
            # the Host header is a stranger's: signatures are checked against the configured address
            at = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal.example:81")
            async with at as http:
                yield Endpoint(http, sessions, tenant, settings)
        else:
            async with serving_webhooks(app) as base_url, httpx.AsyncClient(base_url=base_url, timeout=60) as http:
                yield Endpoint(http, sessions, tenant, settings, intake)
    await client.aclose()


class TestReceiveWhatsApp:
    @both_ways
    async def test_a_signed_report_is_stored_with_the_raw_payload(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        reference = uuid4()
        status = providers.whatsapp_status(reference, "delivered", pricing={"type": "regular"})
        value = providers.whatsapp_value(setting.account, statuses=[status])
        answer = await endpoint.post(providers.whatsapp_post(setting.id, value))
        assert (answer.status_code, answer.content) == (200, b"")
        (event,) = await endpoint.stored()
        assert (event.kind, event.provider, event.settings_id) == ("delivered", "whatsapp_cloud", setting.id)
        assert event.event_json["reference"] == str(reference)
        assert event.payload_json == status
        assert event.processed_at is None

    @pytest.mark.parametrize(
        "forge",
        [
            lambda post: Post(post.path, post.body + b" ", post.headers),
            lambda post: Post(post.path, post.body, {}),
            lambda post: Post(post.path, post.body, {"x-hub-signature-256": "sha256=" + "0" * 64}),
            lambda post: Post(
                post.path, orjson.dumps(orjson.loads(post.body), option=orjson.OPT_INDENT_2), post.headers
            ),
            lambda post: Post(post.path, b"no json at all", post.headers),
        ],
        ids=["one byte more", "no signature", "wrong signature", "the same JSON written anew", "malformed"],
    )
    @pytest.mark.parametrize("with_id", [True, False])
    async def test_a_forgery_is_refused_and_nothing_is_stored(
        self, endpoint: Endpoint, forge: Any, with_id: bool
    ) -> None:
        setting = await endpoint.whatsapp()
        value = providers.whatsapp_value(setting.account, messages=[providers.whatsapp_text("+351910000009", "hi")])
        answer = await endpoint.post(forge(providers.whatsapp_post(setting.id if with_id else "", value)))
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_signature"
        assert await endpoint.stored() == []

    async def test_another_tenants_secret_is_a_forgery_too(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        other = await endpoint.whatsapp(app_secret="another secret")
        value = providers.whatsapp_value(setting.account, statuses=[providers.whatsapp_status(uuid4(), "read")])
        assert (await endpoint.post(providers.whatsapp_post(other.id, value))).status_code == 401

    async def test_a_redelivery_is_stored_once(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        post = providers.whatsapp_post(
            setting.id, providers.whatsapp_value(setting.account, statuses=[providers.whatsapp_status("x", "sent")])
        )
        answers = await asyncio.gather(*(endpoint.post(post) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(await endpoint.stored()) == 1

    async def test_the_same_report_twice_in_one_request_is_stored_once(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        value = providers.whatsapp_value(setting.account, statuses=[providers.whatsapp_status("x", "sent")] * 2)
        assert (await endpoint.post(providers.whatsapp_post(setting.id, value))).status_code == 200
        assert len(await endpoint.stored()) == 1

    @both_ways
    async def test_without_an_id_the_account_in_the_body_finds_the_setting(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        value = providers.whatsapp_value(setting.account, statuses=[providers.whatsapp_status("x", "sent")])
        assert (await endpoint.post(providers.whatsapp_post("", value))).status_code == 200
        assert [event.settings_id for event in await endpoint.stored()] == [setting.id]

    async def test_reports_on_another_number_of_the_same_app_go_to_its_setting(
        self, endpoint: Endpoint, sessions: Sessions
    ) -> None:
        async with sessions.system() as session:
            other_tenant = await factories.make_tenant(session)
        first = await endpoint.whatsapp()
        other = await endpoint.sender(
            Channel.WHATSAPP, "whatsapp_cloud", providers.whatsapp_credentials(), other_tenant.id
        )
        post = providers.whatsapp_post(
            first.id,
            providers.whatsapp_value(first.account, statuses=[providers.whatsapp_status("mine", "sent")]),
            providers.whatsapp_value(other.account, statuses=[providers.whatsapp_status("theirs", "sent")]),
        )
        assert (await endpoint.post(post)).status_code == 200
        assert [event.event_json["reference"] for event in await endpoint.stored()] == ["mine"]
        assert [event.event_json["reference"] for event in await endpoint.stored(other_tenant.id)] == ["theirs"]

    async def test_a_number_with_another_secret_gets_nothing_from_this_app(self, endpoint: Endpoint) -> None:
        first = await endpoint.whatsapp()
        other = await endpoint.whatsapp(app_secret="another secret")
        post = providers.whatsapp_post(
            first.id, providers.whatsapp_value(other.account, statuses=[providers.whatsapp_status("x", "sent")])
        )
        assert (await endpoint.post(post)).status_code == 200
        assert [(event.settings_id, event.kind) for event in await endpoint.stored()] == [(first.id, "unknown")]

    async def test_a_number_nobody_has_is_kept_as_unknown(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        message = providers.whatsapp_text("+351910000001", "hello")
        post = providers.whatsapp_post(setting.id, providers.whatsapp_value("999", messages=[message]))
        assert (await endpoint.post(post)).status_code == 200
        (event,) = await endpoint.stored()
        assert (event.kind, event.payload_json) == ("unknown", message)

    async def test_a_template_decision_names_the_business_account_and_stays_with_the_setting(
        self, endpoint: Endpoint
    ) -> None:
        setting = await endpoint.whatsapp()
        change = {"field": "message_template_status_update", "value": {"event": "APPROVED", "message_template_id": 7}}
        body = orjson.dumps({"entry": [{"id": "200300400500600", "time": 1790000100, "changes": [change]}]})
        assert (await endpoint.post(providers.whatsapp_raw(setting.id, body))).status_code == 200
        assert [event.kind for event in await endpoint.stored()] == ["template_status"]

    @pytest.mark.parametrize(
        ("body", "words"),
        [(b"not json", "not valid JSON"), (b"[]", "must be an object"), (b"{}", "entry is missing")],
    )
    async def test_a_signed_body_that_cannot_be_read_is_named(
        self, endpoint: Endpoint, body: bytes, words: str
    ) -> None:
        setting = await endpoint.whatsapp()
        answer = await endpoint.post(providers.whatsapp_raw(setting.id, body))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
        assert words in answer.json()["detail"]

    async def test_no_reports_are_fine(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        assert (await endpoint.post(providers.whatsapp_raw(setting.id, b'{"entry":[]}'))).status_code == 200
        assert await endpoint.stored() == []

    @both_ways
    @pytest.mark.parametrize("settings_id", ["00000000-0000-4000-8000-000000000000", "not-an-id", "%00"])
    async def test_an_unknown_setting_is_not_found(self, endpoint: Endpoint, settings_id: str) -> None:
        answer = await endpoint.post(providers.whatsapp_raw(settings_id, b"{}"))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_a_setting_of_another_channel_is_not_found(self, endpoint: Endpoint) -> None:
        setting = await endpoint.twilio()
        assert (await endpoint.post(providers.whatsapp_raw(setting.id, b"{}"))).status_code == 404

    @both_ways
    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_body_beyond_the_limit_is_refused(self, endpoint: Endpoint, chunked: bool) -> None:
        setting = await endpoint.whatsapp()
        chunk = b"x" * 500_000

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield chunk

        content = chunks() if chunked else chunk * 8
        answer = await endpoint.http.post(f"/v1/webhooks/whatsapp/{setting.id}", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    async def test_characters_that_cannot_be_stored_are_replaced(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        value = providers.whatsapp_value(setting.account, messages=[providers.whatsapp_text("+351910000001", "a\0b")])
        assert (await endpoint.post(providers.whatsapp_post(setting.id, value))).status_code == 200
        assert (await endpoint.stored())[0].event_json["text"] == "a\N{REPLACEMENT CHARACTER}b"


class TestReceiveMail:
    """What people write to SendGrid's Inbound Parse, with their photographs."""

    FIELDS = {"from": "Ana <ana@example.com>", "subject": "Re: March", "text": "Yes, please", "headers": ""}

    def posted(self, setting: ChannelSetting, size: int, token: str = "") -> Post:
        known = providers.sendgrid_credentials()
        url = SendGridEmail.inbound_url(known, setting.id, f"/v1/webhooks/email/{setting.id}")
        request = form(self.FIELDS, ("attachment1", "cat.jpg", b"x" * size, "image/jpeg"), url="http://relay.test")
        return Post(path=f"{url}{token}", body=request.body, headers=dict(request.headers))

    @both_ways
    @pytest.mark.parametrize("size", [10, 5_000_000])
    async def test_it_is_kept_without_its_files(self, endpoint: Endpoint, size: int) -> None:
        setting = await endpoint.sendgrid()
        assert (await endpoint.post(self.posted(setting, size))).status_code == 200
        (event,) = await endpoint.stored()
        assert (event.kind, event.event_json["text"]) == ("inbound", "Yes, please")
        assert event.event_json["data"]["attachments"] == [{"name": "cat.jpg", "type": "image/jpeg", "size": size}]
        assert len(orjson.dumps(event.payload_json)) < 2_000

    @both_ways
    async def test_another_token_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.sendgrid()
        assert (await endpoint.post(self.posted(setting, 10, token="x"))).status_code == 401
        assert await endpoint.stored() == []

    async def test_beyond_the_limit_of_mail_it_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.sendgrid()
        assert (await endpoint.post(self.posted(setting, 31_000_000))).status_code == 413

    async def test_only_a_setting_that_there_is_takes_so_much(self, endpoint: Endpoint) -> None:
        setting = await endpoint.sendgrid()
        post = self.posted(setting, 4_000_000)
        for path, status in ((post.path.replace(str(setting.id), str(uuid4())), 404), ("/v1/webhooks/email", 413)):
            answer = await endpoint.http.post(path, content=post.body, headers=post.headers)
            assert answer.status_code == status


class TestAnswerWhatsAppChallenge:
    @pytest.mark.parametrize("with_id", [True, False])
    async def test_the_right_token_gets_the_raw_challenge(self, endpoint: Endpoint, with_id: bool) -> None:
        setting = await endpoint.whatsapp(verify_token=f"token-{uuid4()}")
        token = Vault.open(
            endpoint.vault, setting.settings_json["credentials"], tenant_id=endpoint.tenant.id, row_id=setting.id
        )["verify_token"]
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
        path = f"/v1/webhooks/whatsapp/{setting.id}" if with_id else "/v1/webhooks/whatsapp"
        answer = await endpoint.http.get(path, params=query)
        assert (answer.status_code, answer.text) == (200, "1158201444")
        assert answer.headers["content-type"].startswith("text/plain")

    @pytest.mark.parametrize("changes", [{"hub.verify_token": "wrong"}, {"hub.verify_token": ""}, {"hub.mode": "x"}])
    async def test_anything_else_is_forbidden(self, endpoint: Endpoint, changes: dict[str, str]) -> None:
        setting = await endpoint.whatsapp()
        query = {"hub.mode": "subscribe", "hub.verify_token": providers.VERIFY_TOKEN, "hub.challenge": "1", **changes}
        answer = await endpoint.http.get(f"/v1/webhooks/whatsapp/{setting.id}", params=query)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")

    async def test_an_unknown_setting_is_not_found(self, endpoint: Endpoint) -> None:
        assert (await endpoint.http.get(f"/v1/webhooks/whatsapp/{uuid4()}")).status_code == 404


class TestReceiveSms:
    async def test_a_status_callback_carries_its_reference_in_the_address(self, endpoint: Endpoint) -> None:
        setting = await endpoint.twilio()
        fields = providers.twilio_status(setting.account, "SM1", "undelivered", ErrorCode="30005")
        reference = uuid4()
        answer = await endpoint.post(providers.twilio_post(endpoint.public_url, setting.id, fields, ref=reference))
        assert (answer.status_code, answer.content) == (200, b"")
        (event,) = await endpoint.stored()
        assert (event.kind, event.event_json["reference"]) == ("failed", str(reference))

    @both_ways
    async def test_a_changed_reference_breaks_the_signature(self, endpoint: Endpoint) -> None:
        setting = await endpoint.twilio()
        fields = providers.twilio_status(setting.account, "SM1", "delivered")
        post = providers.twilio_post(endpoint.public_url, setting.id, fields, ref=uuid4())
        forged = Post(post.path.partition("?")[0] + f"?ref={uuid4()}", post.body, post.headers)
        assert (await endpoint.post(forged)).status_code == 401
        assert await endpoint.stored() == []

    @pytest.mark.parametrize("with_id", [True, False])
    async def test_a_message_is_answered_with_silence(self, endpoint: Endpoint, with_id: bool) -> None:
        setting = await endpoint.twilio()
        fields = providers.twilio_inbound(setting.account, "+351910000001", "hello")
        answer = await endpoint.post(providers.twilio_post(endpoint.public_url, setting.id if with_id else "", fields))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/xml")
        assert answer.text.endswith("<Response></Response>")
        assert [event.kind for event in await endpoint.stored()] == ["inbound"]

    async def test_two_numbers_of_one_account_store_a_message_once(self, endpoint: Endpoint) -> None:
        account = f"AC{uuid4().hex}"
        for number in ("+15005550006", "+15005550007"):
            credentials = providers.twilio_credentials(account_sid=account, from_number=number)
            await endpoint.sender(Channel.SMS, "twilio", credentials)
        fields = providers.twilio_inbound(account, "+351910000001", "hello")
        assert (await endpoint.post(providers.twilio_post(endpoint.public_url, "", fields))).status_code == 200
        assert len(await endpoint.stored()) == 1

    async def test_a_value_that_cannot_be_stored_fails_alone(self, endpoint: Endpoint) -> None:
        setting = await endpoint.twilio()
        bad = providers.twilio_post(
            endpoint.public_url, setting.id, providers.twilio_status(setting.account, "SMbad", "sent"), ref="%00"
        )
        good = [
            providers.twilio_post(
                endpoint.public_url, setting.id, providers.twilio_status(setting.account, f"SM{number}", "sent")
            )
            for number in range(10)
        ]
        answers = await asyncio.gather(*(endpoint.post(post) for post in [*good, bad]))
        assert [answer.status_code for answer in answers] == [200] * 10 + [400]
        assert len(await endpoint.stored()) == 10


class TestReceiveSmsByGet:
    @both_ways
    async def test_a_report_is_stored_and_answered_with_ok(self, endpoint: Endpoint) -> None:
        setting, reference = await endpoint.messagebird(), str(uuid4())
        failure = {"statusReason": "unknown subscriber", "statusErrorCode": "1", "reference": reference}
        report = providers.messagebird_report(endpoint.public_url, setting.id, "delivery_failed", failure)
        for _ in range(2):  # a repeat changes nothing
            answer = await endpoint.post(report)
            assert (answer.status_code, answer.text) == (200, "OK")
        (event,) = await endpoint.stored()
        assert (event.kind, event.provider, event.settings_id) == ("failed", "messagebird", setting.id)
        assert (event.event_json["reference"], event.event_json["suppress"]) == (reference, "invalid")
        assert event.payload_json["statusReason"] == "unknown subscriber"

    async def test_without_an_id_the_originator_and_the_signature_find_the_setting(
        self, endpoint: Endpoint, sessions: Sessions
    ) -> None:
        async with sessions.system() as session:
            other_tenant = await factories.make_tenant(session)
        other = providers.messagebird_credentials(signing_key="the signing key of somebody else, of the same name")
        await endpoint.sender(Channel.SMS, "messagebird", other, other_tenant.id)
        await endpoint.twilio()
        setting = await endpoint.messagebird()
        report = providers.messagebird_report(endpoint.public_url, "", "delivered", {"originator": "3197010240000"})
        assert (await endpoint.post(report)).status_code == 200
        assert [event.settings_id for event in await endpoint.stored()] == [setting.id]
        assert await endpoint.stored(other_tenant.id) == []

    @pytest.mark.parametrize("fields", [{}, {"originator": "Nobody"}])
    async def test_without_an_id_and_a_known_originator_it_is_refused(
        self, endpoint: Endpoint, fields: dict[str, str]
    ) -> None:
        await endpoint.messagebird()
        answer = await endpoint.post(providers.messagebird_report(endpoint.public_url, "", "delivered", fields))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
        assert "No channel setting" in answer.json()["detail"]

    @both_ways
    @pytest.mark.parametrize(
        "forge",
        [
            lambda post: Post(post.path.replace("sent", "read"), post.body, post.headers, "GET"),
            lambda post: Post(post.path + "&status=delivered", post.body, post.headers, "GET"),
            lambda post: Post(post.path, post.body, {}, "GET"),
            lambda post: Post(post.path, b"status=delivered", post.headers),
        ],
        ids=["another status", "a status more", "no token", "a body"],
    )
    async def test_a_forgery_is_refused_and_nothing_is_stored(self, endpoint: Endpoint, forge: Any) -> None:
        setting = await endpoint.messagebird()
        report = providers.messagebird_report(endpoint.public_url, setting.id, "sent")
        answer = await endpoint.post(forge(report))
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
        assert await endpoint.stored() == []

    async def test_a_replay_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.messagebird()
        late = providers.messagebird_report(endpoint.public_url, setting.id, "sent", age_seconds=120)
        assert (await endpoint.post(late)).status_code == 401

    async def test_a_value_that_cannot_be_stored_is_mended(self, endpoint: Endpoint) -> None:
        setting = await endpoint.messagebird()
        report = providers.messagebird_report(
            endpoint.public_url, setting.id, "delivery_failed", {"statusReason": "a\0b"}
        )
        assert (await endpoint.post(report)).status_code == 200
        assert [event.event_json["error_code"] for event in await endpoint.stored()] == ["a\N{REPLACEMENT CHARACTER}b"]

    @both_ways
    @pytest.mark.parametrize("with_id", [True, False])
    async def test_a_message_is_posted_and_answered_with_ok(self, endpoint: Endpoint, with_id: bool) -> None:
        setting = await endpoint.messagebird()
        named = setting.id if with_id else ""
        post = providers.messagebird_inbound(endpoint.public_url, named, "+351910000001", "hello")
        answer = await endpoint.post(post)
        assert (answer.status_code, answer.text) == (200, "OK")
        assert [(event.kind, event.settings_id) for event in await endpoint.stored()] == [("inbound", setting.id)]

    async def test_an_unknown_setting_is_not_found(self, endpoint: Endpoint) -> None:
        report = providers.messagebird_report(endpoint.public_url, uuid4(), "sent")
        assert (await endpoint.post(report)).status_code == 404

    async def test_twilio_may_be_configured_as_get(self, endpoint: Endpoint) -> None:
        setting = await endpoint.twilio()
        query = urlencode(providers.twilio_status(setting.account, "SM1", "delivered"))
        signed = providers.twilio_post(endpoint.public_url, f"{setting.id}?{query}", {})
        answer = await endpoint.post(Post(signed.path, b"", signed.headers, "GET"))
        assert (answer.status_code, answer.content) == (200, b"")
        assert [event.kind for event in await endpoint.stored()] == ["delivered"]


class TestReceiveEmail:
    async def test_a_batch_is_stored_event_by_event(self, endpoint: Endpoint) -> None:
        setting = await endpoint.sendgrid()
        kinds = ["processed", "delivered", "open", "something new"]
        batch = [
            providers.sendgrid_event(kind, "ana@example.com", message_id=uuid4(), settings_id=setting.id)
            for kind in kinds
        ]
        assert (await endpoint.post(providers.sendgrid_post(setting.id, *batch))).status_code == 200
        assert [event.kind for event in await endpoint.stored()] == ["accepted", "delivered", "read", "unknown"]

    async def test_without_an_id_each_event_names_its_setting(self, endpoint: Endpoint) -> None:
        first, second = await endpoint.sendgrid(), await endpoint.sendgrid()
        batch = [
            providers.sendgrid_event("open", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
            for setting in (first, second)
        ]
        assert (await endpoint.post(providers.sendgrid_post("", *batch))).status_code == 200
        assert {event.settings_id for event in await endpoint.stored()} == {first.id, second.id}

    async def test_a_forgery_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.sendgrid()
        event = providers.sendgrid_event("open", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        post = providers.sendgrid_post(setting.id, event)
        answer = await endpoint.post(Post(post.path, post.body.strip(), post.headers))
        assert answer.status_code == 401
        assert await endpoint.stored() == []


class TestReceiveEmailFromResend:
    async def test_a_delivery_tried_again_is_stored_once(self, endpoint: Endpoint) -> None:
        setting = await endpoint.resend()
        event = providers.resend_event("email.delivered", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        for age_seconds in (5, 0):
            post = providers.resend_post(setting.id, event, id="msg_1", age_seconds=age_seconds)
            assert (await endpoint.post(post)).status_code == 200
        assert [event.kind for event in await endpoint.stored()] == ["delivered"]

    async def test_without_an_id_its_tags_name_the_setting(self, endpoint: Endpoint) -> None:
        await endpoint.sendgrid()
        setting = await endpoint.resend()
        event = providers.resend_event("email.opened", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        assert (await endpoint.post(providers.resend_post("", event))).status_code == 200
        assert [event.settings_id for event in await endpoint.stored()] == [setting.id]

    async def test_a_replay_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.resend()
        event = providers.resend_event("email.opened", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        assert (await endpoint.post(providers.resend_post(setting.id, event, age_seconds=600))).status_code == 401
        assert await endpoint.stored() == []


class TestReceiveEmailFromMailgun:
    @both_ways
    async def test_a_delivery_tried_again_is_stored_once(self, endpoint: Endpoint) -> None:
        setting = await endpoint.mailgun()
        event = providers.mailgun_event("opened", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        for age_seconds in (600, 0):
            post = providers.mailgun_post(setting.id, event, age_seconds=age_seconds)
            assert (await endpoint.post(post)).status_code == 200
        assert [event.kind for event in await endpoint.stored()] == ["read"]

    async def test_without_an_id_its_variables_name_the_setting(self, endpoint: Endpoint) -> None:
        await endpoint.resend()
        setting = await endpoint.mailgun()
        event = providers.mailgun_event("opened", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        assert (await endpoint.post(providers.mailgun_post("", event))).status_code == 200
        assert [event.settings_id for event in await endpoint.stored()] == [setting.id]

    @both_ways
    async def test_an_answer_is_posted_to_the_same_address(self, endpoint: Endpoint) -> None:
        setting = await endpoint.mailgun()
        post = providers.mailgun_reply(setting.id, "ana@example.com", "Yes, please")
        assert (await endpoint.post(post)).status_code == 200
        (event,) = await endpoint.stored()
        assert (event.kind, event.event_json["text"]) == ("inbound", "Yes, please")

    async def test_a_forgery_is_refused(self, endpoint: Endpoint) -> None:
        setting = await endpoint.mailgun()
        event = providers.mailgun_event("opened", "ana@example.com", message_id=uuid4(), settings_id=setting.id)
        for signature in ({"key": "another"}, {"age_seconds": 90_000}):
            assert (await endpoint.post(providers.mailgun_post(setting.id, event, **signature))).status_code == 401
        assert await endpoint.stored() == []


class TestGroupCommit:
    async def test_many_requests_at_once_are_each_stored_exactly_once(self, endpoint: Endpoint) -> None:
        setting = await endpoint.whatsapp()
        posts = [
            providers.whatsapp_post(
                setting.id,
                providers.whatsapp_value(
                    setting.account, statuses=[providers.whatsapp_status(f"{number}-{part}", "sent") for part in (1, 2)]
                ),
            )
            for number in range(300)
        ]
        answers = await asyncio.gather(*(endpoint.post(post) for post in posts))
        assert {answer.status_code for answer in answers} == {200}
        stored = await endpoint.stored()
        assert {event.event_json["reference"] for event in stored} == {
            f"{number}-{part}" for number in range(300) for part in (1, 2)
        }
        assert len(stored) == 600


class TestOpenApi:
    def test_every_route_is_described(self) -> None:
        app = FastAPI()
        app.include_router(webhooks.router)
        paths = app.openapi()["paths"]
        for channel in ("whatsapp", "email", "sms"):
            for path in (f"/v1/webhooks/{channel}", f"/v1/webhooks/{channel}/{{settings_id}}"):
                assert paths[path]["post"]["requestBody"]["content"]
        assert "get" in paths["/v1/webhooks/whatsapp/{settings_id}"]
        for path in ("/v1/webhooks/sms", "/v1/webhooks/sms/{settings_id}"):
            named = {parameter["name"] for parameter in paths[path]["get"]["parameters"]}
            assert {"id", "status", "statusErrorCode"} <= named
