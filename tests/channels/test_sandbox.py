"""The adapters against the provider sandbox: two independent readings of the same wire formats have to agree."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
from aiohttp import web

from app.channels.base import Adapter, AdapterContext, EventKind, OutboundMessage, Receipt, WebhookEvent, WebhookRequest
from app.channels.email.sendgrid import SendGridEmail
from app.channels.email.smtp import SmtpEmail
from app.channels.email.smtp.opening import tls_context
from app.channels.registry import ADAPTERS
from app.domain.status import Channel, MessageType
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
)
from app.simulator.server import Serving, serving
from tests.channels.samples import REFERENCE, SETTINGS_ID, outbound

TO = "+351910000001"
WELCOME = outbound(
    Channel.WHATSAPP,
    {
        "name": "welcome",
        "language": "en_US",
        "components": [{"type": "body", "parameters": [{"type": "text", "text": word} for word in ("Ana", "A-1")]}],
    },
    type=MessageType.TEMPLATE,
)
SMS = outbound(Channel.SMS, {"body": "Olá, Ana"})
ROW = {"id": "s9", "title": "9:00", "description": "Room 4"}
LINK = {"title": "Shop", "url": "https://shop.example.org"}
MAIL = outbound(Channel.EMAIL, {"subject": "Hello", "text": "Hi", "html": "<p>Hi</p>"}, to="ana@example.com")
MESSAGES = {
    "whatsapp_cloud": WELCOME, "twilio": SMS, "messagebird": SMS, "sendgrid": MAIL, "mailgun": MAIL, "resend": MAIL,
}  # fmt: skip
SECRETS = {
    "whatsapp_cloud": "access_token", "twilio": "auth_token", "messagebird": "access_key", "sendgrid": "api_key",
    "mailgun": "api_key", "resend": "api_key",
}  # fmt: skip


def settings_id(provider: str) -> UUID:
    return uuid5(SETTINGS_ID, provider)


def letters(*to: str) -> list[OutboundMessage]:
    """One template's e-mails: all alike but for a link, and longer than what SendGrid replaces."""
    layout = f"<style>{'p{}' * 4_000}</style>"
    return [
        replace(
            MAIL,
            reference=uuid4(),
            to=address,
            content={
                "subject": f"Hello {place}",
                "text": f"Hi {place}",
                "html": f'{layout}<a href="https://shop.example.org/{place}">{place}</a>',
            },
        )
        for place, address in enumerate(to)
    ]


class Inbox:
    """Where the sandbox posts its webhooks; each is verified and read by the adapter it is for."""

    def __init__(self) -> None:
        self.adapters: dict[str, Adapter] = {}
        self.events: asyncio.Queue[WebhookEvent] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        webhook = WebhookRequest(
            method=request.method,
            url=f"{self.url}{request.raw_path}",
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(request.query),
            body=await request.read(),
        )
        adapter = self.adapters[request.match_info["settings_id"]]
        adapter.verify(webhook)
        for event in adapter.parse(webhook):
            self.events.put_nowait(event)
        return web.Response()

    async def until(self, wanted: Callable[[WebhookEvent], bool]) -> WebhookEvent:
        while True:
            event = await self.events.get()
            if wanted(event):
                return event


class Sandbox:
    def __init__(self, server: Serving, inbox: Inbox, http: httpx.AsyncClient) -> None:
        self.server, self.inbox, self.http = server, inbox, http

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(method, f"{self.server.url}{path}", json=body)
        assert response.is_success, response.text
        return response.json()

    async def adapter(self, provider: str, **changed: str) -> Adapter:
        kind = next(adapter for (_, name), adapter in ADAPTERS.items() if name == provider)
        credentials = (await self.control("GET", "/sandbox/accounts"))[kind.provider]
        assert kind.check_credentials(credentials) == []
        address = self.server.mail.url if provider == "smtp" else self.server.url
        place = AdapterContext(
            base_url=address, public_url=self.inbox.url, settings_id=settings_id(provider), http=self.http
        )
        return kind({**credentials, **changed}, place)

    async def lose_the_next_answer(self, provider: str) -> None:
        await self.control("PUT", "/sandbox/faults", [{"kind": "reset", "provider": provider, "next": 1}])


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_route("*", "/v1/webhooks/{channel}/{settings_id}", inbox.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    inbox.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield inbox
    await runner.cleanup()


@pytest.fixture
async def sandbox(inbox: Inbox, http: httpx.AsyncClient) -> AsyncIterator[Sandbox]:
    async with serving() as server:
        sandbox = Sandbox(server, inbox, http)
        await sandbox.control(
            "PUT", "/sandbox/behaviour", {"latency_ms": 0, "webhook_delay_ms": [0, 10], "sendgrid_batch_ms": 10}
        )
        for channel, provider in ADAPTERS:
            inbox.adapters[str(settings_id(provider))] = await sandbox.adapter(provider)
            address = f"{inbox.url}/v1/webhooks/{channel}/{settings_id(provider)}"
            body = {"provider": provider, "webhook_url": address, "handshake": False}
            await sandbox.control("POST", "/sandbox/accounts", body)
        yield sandbox


@pytest.mark.parametrize(("provider", "message"), MESSAGES.items(), ids=MESSAGES)
class TestEveryProvider:
    async def test_sent_message_comes_back_as_delivered(
        self, sandbox: Sandbox, provider: str, message: OutboundMessage
    ) -> None:
        receipt = await (await sandbox.adapter(provider)).send(message)
        assert receipt.provider_message_id
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED)
        assert event.reference == str(REFERENCE)
        assert event.provider_message_id == receipt.provider_message_id
        assert event.address == message.to

    async def test_lost_answer_is_resolved_by_the_reference(
        self, sandbox: Sandbox, provider: str, message: OutboundMessage
    ) -> None:
        adapter = await sandbox.adapter(provider)
        await sandbox.lose_the_next_answer(adapter.provider)
        with pytest.raises(OutcomeUnknown):
            await adapter.send(message)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED)
        assert event.reference == str(REFERENCE)

    async def test_wrong_secret_is_a_matter_of_the_sender(
        self, sandbox: Sandbox, provider: str, message: OutboundMessage
    ) -> None:
        adapter = await sandbox.adapter(provider, **{SECRETS[provider]: "wrong"})
        with pytest.raises(ProviderMisconfigured):
            await adapter.send(message)

    async def test_throttling_asks_to_wait(self, sandbox: Sandbox, provider: str, message: OutboundMessage) -> None:
        adapter = await sandbox.adapter(provider)
        fault = {"kind": "throttle", "provider": adapter.provider, "next": 1, "retry_after": 3}
        await sandbox.control("PUT", "/sandbox/faults", [fault])
        with pytest.raises(RateLimited):
            await adapter.send(message)


class TestWhatsApp:
    async def test_text_outside_the_window_is_rejected_and_inside_it_is_sent(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("whatsapp_cloud")
        text = outbound(Channel.WHATSAPP, {"body": "Hello"})
        with pytest.raises(MessageRejected) as caught:
            await adapter.send(text)
        assert caught.value.provider_code == "131047"
        said = {"provider": "whatsapp_cloud", "from": TO, "text": "Hi, is it open?"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (TO, "Hi, is it open?")
        assert (await adapter.send(text)).provider_message_id

    async def test_every_content_is_accepted_inside_the_window(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("whatsapp_cloud")
        await sandbox.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": TO, "text": "Hi"})
        contents: list[tuple[MessageType, dict[str, Any]]] = [
            (MessageType.MEDIA, {"kind": "image", "link": "https://cdn.example.org/a.jpg", "caption": "New"}),
            (MessageType.MEDIA, {"kind": "document", "link": "https://cdn.example.org/a.pdf", "filename": "a.pdf"}),
            (MessageType.AUDIO, {"link": "https://cdn.example.org/a.ogg"}),
            (MessageType.LOCATION, {"latitude": 38.7, "longitude": -9.1, "name": "Depot"}),
            (MessageType.TEXT, {"body": "Sure?", "buttons": [{"id": "y", "title": "Yes"}, {"id": "n", "title": "No"}]}),
            (MessageType.TEXT, {"body": "When?", "list": {"button": "Choose", "sections": [{"rows": [ROW]}]}}),
            (MessageType.TEXT, {"body": "Look", "header": "New", "footer": "Shop", "cta_url": LINK}),
        ]
        for kind, content in contents:
            receipt = await adapter.send(outbound(Channel.WHATSAPP, content, type=kind))
            assert receipt.provider_message_id

    async def test_wrong_number_of_parameters_is_rejected(self, sandbox: Sandbox) -> None:
        content = {"name": "welcome", "language": "en_US", "components": []}
        with pytest.raises(MessageRejected) as caught:
            await (await sandbox.adapter("whatsapp_cloud")).send(
                outbound(Channel.WHATSAPP, content, type=MessageType.TEMPLATE)
            )
        assert caught.value.provider_code == "132000"


class TestTwilio:
    async def test_lost_answer_is_found_by_looking_it_up(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("twilio")
        since = datetime.now(UTC)
        assert not (await adapter.look_up(SMS, since)).found
        await sandbox.lose_the_next_answer("twilio")
        with pytest.raises(OutcomeUnknown):
            await adapter.send(SMS)
        delivered = await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED)
        found = await adapter.look_up(SMS, since)
        assert found.found
        assert found.provider_message_id == delivered.provider_message_id

    async def test_pictures_are_accepted_and_a_bad_address_is_not(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("twilio")
        good, bad = ["https://cdn.example.org/a.jpg"] * 2, ["cdn.example.org/a.jpg"]
        receipt = await adapter.send(outbound(Channel.SMS, {"media_urls": good}, type=MessageType.MEDIA))
        assert receipt.raw["num_media"] == "2"
        with pytest.raises(MessageRejected) as caught:
            await adapter.send(outbound(Channel.SMS, {"body": "Look", "media_urls": bad}, type=MessageType.MEDIA))
        assert caught.value.provider_code == "21620"

    async def test_stop_blocks_the_next_message(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("twilio")
        await sandbox.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": TO, "text": "STOP"})
        event = await sandbox.inbox.until(lambda event: event.text == "STOP")
        assert event.address == TO
        with pytest.raises(SendError) as caught:
            await adapter.send(SMS)
        assert (caught.value.provider_code, getattr(caught.value, "suppress", None)) == ("21610", "stop")


class TestMessageBird:
    async def test_lost_answer_is_found_by_its_reference(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("messagebird")
        since = datetime.now(UTC)
        equal = replace(SMS, reference=uuid4())
        known = {(await adapter.send(equal)).provider_message_id}
        assert not (await adapter.look_up(SMS, since, known)).found
        assert not (await adapter.look_up(SMS, since)).found  # the same text, but another message's reference
        await sandbox.lose_the_next_answer("messagebird")
        with pytest.raises(OutcomeUnknown):
            await adapter.send(SMS)
        found = await adapter.look_up(SMS, since, known)
        assert found.found
        event = await sandbox.inbox.until(
            lambda event: event.kind is EventKind.DELIVERED and event.reference == str(REFERENCE)
        )
        assert event.provider_message_id == found.provider_message_id

    @pytest.mark.parametrize(("code", "suppress"), [(1, "invalid"), (27, "")])
    async def test_failure_is_suppressed_or_tried_again(self, sandbox: Sandbox, code: int, suppress: str) -> None:
        script = [{"do": "fail", "code": code}]
        await sandbox.control("PUT", "/sandbox/people", [{"address": TO, "script": script}])
        await (await sandbox.adapter("messagebird")).send(SMS)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
        assert (event.error_code, event.suppress, event.retryable) == (str(code), suppress, not suppress)

    async def test_what_follows_a_stop_fails_as_opted_out(self, sandbox: Sandbox) -> None:
        await sandbox.control("POST", "/sandbox/inbound", {"provider": "messagebird", "from": TO, "text": "STOP"})
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (TO, "STOP")
        await (await sandbox.adapter("messagebird")).send(SMS)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
        assert (event.error_code, event.suppress) == ("103", "stop")


class TestSendGrid:
    async def test_bounce_suppresses_the_address(self, sandbox: Sandbox) -> None:
        await sandbox.control("PUT", "/sandbox/people", [{"address": MAIL.to, "script": ["bounce"]}])
        await (await sandbox.adapter("sendgrid")).send(MAIL)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
        assert (event.suppress, event.reference) == ("bounce", str(REFERENCE))

    async def test_batch_gives_each_person_their_own_words_and_leaves_out_who_cannot_be_reached(
        self, sandbox: Sandbox
    ) -> None:
        people = [{"address": f"p{place}@example.com", "script": ["click"]} for place in range(4)]
        await sandbox.control("PUT", "/sandbox/people", people)
        mails = letters("p0@example.com", "p1@", "p2@example.com", "p0@example.com", "p3@example.com")
        answers = await (await sandbox.adapter("sendgrid")).send_batch(mails)
        assert [isinstance(answer, Receipt) for answer in answers] == [True, False, True, True, True]
        assert getattr(answers[1], "suppress", "") == "invalid"
        clicks = [await sandbox.inbox.until(lambda event: event.kind is EventKind.CLICKED) for _ in range(4)]
        assert {event.reference: event.data["url"] for event in clicks} == {
            str(mails[place].reference): f"https://shop.example.org/{place}" for place in (0, 2, 3, 4)
        }

    async def test_a_thousand_share_a_request(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("sendgrid")
        mails = letters(*(f"p{place}@example.com" for place in range(adapter.most_per_request)))
        receipts = await adapter.send_batch(mails)
        assert len({receipt.provider_message_id for receipt in receipts if isinstance(receipt, Receipt)}) == 1
        assert len((await sandbox.control("GET", "/stats"))["accepted"]) == len(receipts) == 1_000

    async def test_answer_of_a_person_names_the_mail_that_it_answers(self, sandbox: Sandbox) -> None:
        credentials = (await sandbox.control("GET", "/sandbox/accounts"))["sendgrid"]
        id = settings_id("sendgrid")
        where = SendGridEmail.inbound_url(credentials, id, f"{sandbox.inbox.url}/v1/webhooks/email/{id}")
        await sandbox.control("POST", "/sandbox/accounts", {"provider": "sendgrid", "inbound_url": where})
        receipt = await (await sandbox.adapter("sendgrid")).send(MAIL)
        said = {"provider": "sendgrid", "from": MAIL.to, "text": "Olá, I'll take two"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (MAIL.to, "Olá, I'll take two")
        assert event.context_id == receipt.provider_message_id


class TestMailgun:
    async def test_lost_answer_is_found_by_looking_it_up(self, sandbox: Sandbox) -> None:
        adapter, since = await sandbox.adapter("mailgun"), datetime.now(UTC)
        with pytest.raises(ProviderUnavailable):  # it may not be listed yet
            await adapter.look_up(MAIL, since)
        assert not (await adapter.look_up(MAIL, since - timedelta(hours=1))).found
        await sandbox.lose_the_next_answer("mailgun")
        with pytest.raises(OutcomeUnknown):
            await adapter.send(MAIL)
        delivered = await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED)
        found = await adapter.look_up(MAIL, since)
        assert (found.found, found.provider_message_id) == (True, delivered.provider_message_id)

    async def test_batch_gives_each_person_a_copy_of_their_own(self, sandbox: Sandbox) -> None:
        adapter, since = await sandbox.adapter("mailgun"), datetime.now(UTC)
        ids = [uuid4() for _ in range(3)]
        mails = [
            replace(MAIL, reference=id, to=f"p{place}@example.com", content={**MAIL.content, "text": f"Hi {place}"})
            for place, id in enumerate(ids)
        ]
        receipts = await adapter.send_batch(mails)
        told = [await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED) for _ in ids]
        assert {(event.reference, event.address) for event in told} == {(str(m.reference), m.to) for m in mails}
        shared = {event.provider_message_id for event in told}
        assert {isinstance(one, Receipt) and one.provider_message_id for one in receipts} == shared
        assert (await adapter.look_up(mails[1], since)).provider_message_id == shared.pop()

    async def test_a_thousand_share_a_request(self, sandbox: Sandbox) -> None:
        mails = [replace(MAIL, reference=uuid4(), to=f"p{place}@example.com") for place in range(1_000)]
        receipts = await (await sandbox.adapter("mailgun")).send_batch(mails)
        assert len({isinstance(one, Receipt) and one.provider_message_id for one in receipts}) == 1
        accepted = (await sandbox.control("GET", "/stats"))["accepted"]
        assert {entry["reference"] for entry in accepted} == {str(mail.reference) for mail in mails}

    async def test_bounce_suppresses_the_address_and_a_refusal_for_now_does_not(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("mailgun")
        for fate, suppress, retryable in (("blocked", "", True), ("bounce", "bounce", False)):
            await sandbox.control("PUT", "/sandbox/people", [{"address": MAIL.to, "script": [fate]}])
            await adapter.send(MAIL)
            event = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
            assert (event.suppress, event.retryable) == (suppress, retryable)
        await adapter.send(MAIL)
        again = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
        assert (again.error_code, again.suppress) == ("605", "bounce")

    async def test_answer_of_a_person_names_the_mail_that_it_answers(self, sandbox: Sandbox) -> None:
        receipt = await (await sandbox.adapter("mailgun")).send(MAIL)
        said = {"provider": "mailgun", "from": MAIL.to, "text": "Yes, please"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (MAIL.to, "Yes, please")
        assert event.context_id == receipt.provider_message_id


class TestResend:
    async def test_lost_answer_is_settled_by_the_same_request(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("resend")
        await sandbox.lose_the_next_answer("resend")
        with pytest.raises(OutcomeUnknown):
            await adapter.send(MAIL)
        receipt = await adapter.send(MAIL)
        (entry,) = (await sandbox.control("GET", "/stats"))["accepted"]
        assert (entry["reference"], entry["count"]) == (str(REFERENCE), 1)
        assert entry["message_ids"] == [receipt.provider_message_id]

    async def test_other_content_under_the_same_key_is_not_sent(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("resend")
        await adapter.send(MAIL)
        with pytest.raises(OutcomeUnknown) as caught:
            await adapter.send(replace(MAIL, content={**MAIL.content, "text": "Hi!"}))
        assert (caught.value.provider_code, caught.value.repeat_settles) == ("invalid_idempotent_request", False)

    async def test_batch_is_told_of_each_even_when_its_answer_got_lost(self, sandbox: Sandbox) -> None:
        mails = letters("p0@example.com", "p1@", "p2@example.com")
        await sandbox.lose_the_next_answer("resend")
        first, wrong, last = await (await sandbox.adapter("resend")).send_batch(mails)
        assert isinstance(wrong, MessageRejected)
        told = [await sandbox.inbox.until(lambda event: event.kind is EventKind.DELIVERED) for _ in range(2)]
        assert {(event.reference, event.provider_message_id) for event in told} == {
            (str(mail.reference), receipt.provider_message_id)
            for mail, receipt in ((mails[0], first), (mails[2], last))
            if isinstance(receipt, Receipt)
        }
        accepted = (await sandbox.control("GET", "/stats"))["accepted"]
        assert [entry["count"] for entry in accepted] == [1, 1]

    async def test_answer_of_a_person_is_inbound(self, sandbox: Sandbox) -> None:
        said = {"provider": "resend", "from": MAIL.to, "text": "Re: Hello"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (MAIL.to, "Re: Hello")


class TestSmtp:
    async def test_report_of_a_full_mailbox_is_soft_and_of_a_dead_one_suppresses(self, sandbox: Sandbox) -> None:
        adapter = await sandbox.adapter("smtp")
        for fate, code, suppress, bounce in (("fail", "4.2.2", "", "soft"), ("bounce", "5.1.1", "bounce", "hard")):
            await sandbox.control("PUT", "/sandbox/people", [{"address": MAIL.to, "script": [fate]}])
            receipt = await adapter.send(MAIL)
            event = await sandbox.inbox.until(lambda event: event.kind is EventKind.FAILED)
            assert (event.error_code, event.suppress, event.data["bounce"]) == (code, suppress, bounce)
            assert (event.reference, event.provider_message_id) == (str(REFERENCE), receipt.provider_message_id)

    async def test_complaint_finds_the_message_though_the_address_is_taken_out(self, sandbox: Sandbox) -> None:
        await (await sandbox.adapter("smtp")).send(MAIL)
        said = {"provider": "smtp", "from": MAIL.to, "event": "spamreport"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.COMPLAINED)
        assert (event.reference, event.suppress) == (str(REFERENCE), "complaint")

    async def test_answer_of_a_person_names_the_mail_that_it_answers(self, sandbox: Sandbox) -> None:
        receipt = await (await sandbox.adapter("smtp")).send(MAIL)
        said = {"provider": "smtp", "from": MAIL.to, "text": "Sim, às três"}
        await sandbox.control("POST", "/sandbox/inbound", said)
        event = await sandbox.inbox.until(lambda event: event.kind is EventKind.INBOUND)
        assert (event.address, event.text) == (MAIL.to, "Sim, às três")
        assert event.context_id == receipt.provider_message_id

    async def test_reply_that_got_lost_leaves_it_unknown(self, sandbox: Sandbox) -> None:
        await sandbox.lose_the_next_answer("smtp")
        with pytest.raises(OutcomeUnknown):
            await (await sandbox.adapter("smtp")).send(MAIL)
        assert (await sandbox.control("GET", "/stats"))["totals"]["smtp"]["accepted"] == 1

    async def test_refusals_mean_what_they_say(self, sandbox: Sandbox) -> None:
        with pytest.raises(ProviderMisconfigured):
            await (await sandbox.adapter("smtp", password="wrong")).send(MAIL)
        adapter = await sandbox.adapter("smtp")
        await sandbox.control("PUT", "/sandbox/faults", [{"kind": "throttle", "provider": "smtp", "next": 1}])
        with pytest.raises(RateLimited):
            await adapter.send(MAIL)
        refused = {"do": "fail", "text": "550 5.1.1 Nobody of that name"}
        await sandbox.control("PUT", "/sandbox/people", [{"address": MAIL.to, "script": [refused]}])
        with pytest.raises(MessageRejected) as caught:
            await adapter.send(MAIL)
        assert (caught.value.provider_code, caught.value.suppress) == ("5.1.1", "invalid")

    async def test_starttls_with_the_certificate_of_the_server(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "ca.pem").write_bytes(sandbox.server.mail.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        tls_context.cache_clear()
        credentials = (await sandbox.control("GET", "/sandbox/accounts"))["smtp"]
        place = AdapterContext(
            base_url="", public_url=sandbox.inbox.url, settings_id=settings_id("smtp"), http=sandbox.http
        )
        adapter = SmtpEmail({**credentials, "security": "starttls"}, place)
        try:
            assert (await adapter.send(MAIL)).provider_message_id
        finally:
            adapter.close()
            tls_context.cache_clear()
