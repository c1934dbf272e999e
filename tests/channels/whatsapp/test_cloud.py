"""WhatsApp Cloud API: the shared contract, the wire format, the error codes and the webhooks."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.channels.base import Adapter, EventKind, WebhookEvent, WebhookRequest
from app.channels.whatsapp.cloud import WhatsAppCloud
from app.channels.whatsapp.cloud.faults import FAULTS, fault_of
from app.domain.status import Channel, MessageType
from app.errors import (
    InvalidSignature,
    Malformed,
    MessageRejected,
    OutcomeUnknown,
    PermissionDenied,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)
from tests.channels.contract import AdapterContract, offline
from tests.channels.samples import REFERENCE, context, outbound, recorded, webhook
from tests.channels.scripted import Reply, Request, ScriptedProvider

SECRET = "meta-app-secret-demo"
CREDENTIALS = {
    "phone_number_id": "300400500600700",
    "waba_id": "200300400500600",
    "access_token": "EAAB-token",
    "app_secret": SECRET,
    "verify_token": "hub-token",
}
ACCEPTED = Reply(
    200,
    {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "351910000001", "wa_id": "351910000001"}],
        "messages": [{"id": "wamid.HBgL", "message_status": "accepted"}],
    },
)
TEXT = outbound(Channel.WHATSAPP, {"body": "Your parcel leaves today"})
SLOTS = {"button": "Choose", "sections": [{"title": "Today", "rows": [{"id": "s9", "title": "9:00"}]}]}


def refusal(code: int, status: int = 400, **extra: Any) -> Reply:
    error = {"message": f"(#{code}) No", "type": "OAuthException", "code": code, "error_data": {"details": "why"}}
    return Reply(status, {"error": {**error, **extra}})


def receiver() -> WhatsAppCloud:
    return WhatsAppCloud(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))


def parse(name: str) -> list[WebhookEvent]:
    return receiver().parse(webhook(recorded("whatsapp_cloud", name)))


class TestContract(AdapterContract):
    adapter = WhatsAppCloud
    credentials = CREDENTIALS
    message = TEXT
    accepted = ACCEPTED
    accepted_id = "wamid.HBgL"
    refused = refusal(131026)
    refused_code = "131026"
    refused_words = "(#131026) No: why"
    payload_headers = {"content_type": "application/json"}
    signature_header = "x-hub-signature-256"

    def reference_in(self, request: Request) -> str:
        return str(request.json()["biz_opaque_callback_data"])

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        signature = "sha256=" + hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
        return replace(request, headers={**request.headers, "x-hub-signature-256": signature})


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> WhatsAppCloud:
    return WhatsAppCloud(CREDENTIALS, context(http, provider.url))


class TestSend:
    async def test_text_has_the_wire_format(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(ACCEPTED)
        await sender.send(TEXT)
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/v23.0/300400500600700/messages")
        assert request.headers["authorization"] == "Bearer EAAB-token"
        assert request.headers["content-type"] == "application/json"
        assert request.json() == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "351910000001",
            "type": "text",
            "text": {"body": "Your parcel leaves today", "preview_url": False},
            "biz_opaque_callback_data": str(REFERENCE),
        }

    async def test_operator_chooses_the_version(self, provider: ScriptedProvider, http: httpx.AsyncClient) -> None:
        provider.will(ACCEPTED)
        sender = WhatsAppCloud(CREDENTIALS, replace(context(http, provider.url), api_version="v25.0"))
        await sender.send(TEXT)
        assert provider.requests[0].target == "/v25.0/300400500600700/messages"

    @pytest.mark.parametrize(
        ("kind", "content", "name", "body"),
        [
            (
                MessageType.TEMPLATE,
                {"name": "welcome", "language": "en_US", "components": [{"type": "body", "parameters": []}]},
                "template",
                {
                    "name": "welcome",
                    "language": {"code": "en_US"},
                    "components": [{"type": "body", "parameters": []}],
                },
            ),
            (
                MessageType.TEMPLATE,
                {"name": "hello", "language": "pt", "components": []},
                "template",
                {"name": "hello", "language": {"code": "pt"}},
            ),
            (
                MessageType.MEDIA,
                {"kind": "image", "link": "https://cdn.example.org/a.jpg", "caption": "New"},
                "image",
                {"link": "https://cdn.example.org/a.jpg", "caption": "New"},
            ),
            (
                MessageType.MEDIA,
                {"kind": "document", "id": "900100", "filename": "bill.pdf"},
                "document",
                {"id": "900100", "filename": "bill.pdf"},
            ),
            (MessageType.MEDIA, {"kind": "sticker", "id": "900101"}, "sticker", {"id": "900101"}),
            (
                MessageType.AUDIO,
                {"link": "https://cdn.example.org/a.ogg"},
                "audio",
                {"link": "https://cdn.example.org/a.ogg"},
            ),
            (
                MessageType.LOCATION,
                {"latitude": 0, "longitude": -9.1, "name": "Depot 4"},
                "location",
                {"latitude": 0, "longitude": -9.1, "name": "Depot 4"},
            ),
            (
                MessageType.TEXT,
                {"body": "Confirm?", "buttons": [{"id": "slot:yes", "title": "Yes"}], "footer": "Clinic"},
                "interactive",
                {
                    "type": "button",
                    "body": {"text": "Confirm?"},
                    "footer": {"text": "Clinic"},
                    "action": {"buttons": [{"type": "reply", "reply": {"id": "slot:yes", "title": "Yes"}}]},
                },
            ),
            (
                MessageType.TEXT,
                {"body": "When?", "list": SLOTS, "header": "Times"},
                "interactive",
                {
                    "type": "list",
                    "body": {"text": "When?"},
                    "header": {"type": "text", "text": "Times"},
                    "action": SLOTS,
                },
            ),
            (
                MessageType.TEXT,
                {"body": "Spring is here", "cta_url": {"title": "Shop", "url": "https://shop.example.org"}},
                "interactive",
                {
                    "type": "cta_url",
                    "body": {"text": "Spring is here"},
                    "action": {
                        "name": "cta_url",
                        "parameters": {"display_text": "Shop", "url": "https://shop.example.org"},
                    },
                },
            ),
        ],
    )
    async def test_each_type_has_its_own_object(
        self,
        provider: ScriptedProvider,
        sender: Adapter,
        kind: MessageType,
        content: dict[str, Any],
        name: str,
        body: dict[str, Any],
    ) -> None:
        provider.will(ACCEPTED)
        await sender.send(outbound(Channel.WHATSAPP, content, type=kind))
        sent = provider.requests[0].json()
        assert (sent["type"], sent[name]) == (name, body)

    @pytest.mark.parametrize(
        ("kind", "content", "error"),
        [
            (MessageType.MEDIA, {"kind": "gif", "id": "1"}, UnsupportedFeature),
            (MessageType.MEDIA, {"kind": "sticker", "id": "1", "caption": "Ha"}, UnsupportedFeature),
            (MessageType.MEDIA, {"kind": "image", "id": "1", "filename": "a.jpg"}, UnsupportedFeature),
            (MessageType.MEDIA, {"kind": "image", "id": "1", "link": "https://x.example"}, MessageRejected),
            (MessageType.MEDIA, {"kind": "image"}, MessageRejected),
            (MessageType.TEMPLATE, {"name": "welcome"}, MessageRejected),
            (MessageType.LOCATION, {"latitude": 1.0}, MessageRejected),
            (MessageType.TEXT, {"body": "Hi", "footer": "Clinic"}, UnsupportedFeature),
        ],
    )
    async def test_what_cannot_be_expressed_never_leaves(
        self,
        provider: ScriptedProvider,
        sender: Adapter,
        kind: MessageType,
        content: dict[str, Any],
        error: type[SendError],
    ) -> None:
        with pytest.raises(error):
            await sender.send(outbound(Channel.WHATSAPP, content, type=kind))
        assert provider.requests == []

    async def test_success_without_an_id_is_an_unknown_outcome(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        bodies: list[Any] = [b"", b"<html>Log in</html>", {"messages": []}, {"messages": "none"}, []]
        for body in bodies:
            provider.will(Reply(200, body))
            with pytest.raises(OutcomeUnknown):
                await sender.send(TEXT)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(190, 401), ProviderMisconfigured),
            (refusal(0, 401), ProviderMisconfigured),
            (refusal(200), ProviderMisconfigured),
            (refusal(131042), ProviderMisconfigured),
            (refusal(130429, 429), RateLimited),
            (refusal(131048), RateLimited),
            (refusal(2, 503), ProviderUnavailable),
            (refusal(131000, 500), ProviderUnavailable),
            (refusal(1), ProviderUnavailable),
            (refusal(1, 500), OutcomeUnknown),
            (refusal(132000), MessageRejected),
            (refusal(131047), MessageRejected),
            (refusal(999999), MessageRejected),
            (refusal(999999, is_transient=True), ProviderUnavailable),
            (refusal(999999, 500), ProviderUnavailable),
            (refusal(999999, 429), RateLimited),
            (Reply(500, {"error": {"message": "no code"}}), OutcomeUnknown),
            (Reply(400, {"error": "odd"}), MessageRejected),
        ],
    )
    async def test_code_decides_the_error(
        self, provider: ScriptedProvider, sender: Adapter, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(SendError) as caught:
            await sender.send(TEXT)
        assert type(caught.value) is error

    async def test_pair_limit_leaves_the_other_recipients_alone(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(refusal(131056))
        with pytest.raises(RateLimited) as caught:
            await sender.send(TEXT)
        assert caught.value.recipient_only
        assert caught.value.retry_after == timedelta(seconds=6)

    async def test_person_who_stopped_marketing_is_suppressed(
        self, provider: ScriptedProvider, sender: Adapter
    ) -> None:
        provider.will(refusal(131050))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(TEXT)
        assert caught.value.suppress == "stop"

    async def test_withheld_marketing_is_no_opt_out(self, provider: ScriptedProvider, sender: Adapter) -> None:
        provider.will(refusal(131049))
        with pytest.raises(MessageRejected) as caught:
            await sender.send(TEXT)
        assert caught.value.suppress is None


class TestFaultOf:
    AUTH = (0, 3, 10, 190, 200, 250, 299, 131005)
    LIMITS = (4, 80007, 130429, 131056, 131048, 131064, 133016, 132069)
    TRANSIENT = (2, 131000, 131016, 131057, 133004, 134101)
    SENDER = (33, 368, 131031, 131037, 131042, 131045, 133010, 134011)
    MESSAGE = (
        (100, 130497, 130403, 130472, 131008, 131009, 131021, 131026, 131030, 131047, 131049, 131050, 131051, 131053)
        + (131055, 134100, 131062, 131063, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018)
        + (132068, 135000, 137000)
    )

    @pytest.mark.parametrize(
        ("codes", "error"),
        [
            (AUTH, ProviderMisconfigured),
            (LIMITS, RateLimited),
            (TRANSIENT, ProviderUnavailable),
            (SENDER, ProviderMisconfigured),
            (MESSAGE, MessageRejected),
        ],
        ids=["auth", "limits", "transient", "sender", "message"],
    )
    def test_documented_code_means_the_same_at_once_and_later(
        self, codes: tuple[int, ...], error: type[SendError]
    ) -> None:
        for code in codes:
            at_once, later = fault_of({"code": code}, 400), fault_of({"code": code})
            assert at_once == later, code
            assert type(at_once.error("", code=str(code))) is error, code
            assert later.retryable is error.retryable, code

    def test_every_limit_says_how_long(self) -> None:
        assert all(FAULTS[code].retry_after for code in self.LIMITS)


class TestVerify:
    @pytest.mark.parametrize(
        ("body", "signature"),
        [
            (
                rb'{"object":"whatsapp_business_account","entry":[{"id":"200300400500600","changes":[]}]}',
                "sha256=8714cfbd0d9ce643e8d2c91bae8eec50e90138f9a0aa11edd5d4d17cc1fc9ebb",
            ),
            (rb'{"note":"caf\u00e9"}', "sha256=3c67436c6949d3fbb6944db93434aee62010317c641265d03890bf5970f86997"),
        ],
    )
    def test_published_vectors_are_accepted(self, body: bytes, signature: str) -> None:
        receiver().verify(webhook(body, x_hub_signature_256=signature))

    def test_body_serialised_again_is_refused(self) -> None:
        signature = "sha256=3c67436c6949d3fbb6944db93434aee62010317c641265d03890bf5970f86997"
        with pytest.raises(InvalidSignature):
            receiver().verify(webhook('{"note":"café"}'.encode(), x_hub_signature_256=signature))

    def test_signature_without_its_prefix_is_refused(self) -> None:
        signature = "3c67436c6949d3fbb6944db93434aee62010317c641265d03890bf5970f86997"
        with pytest.raises(InvalidSignature):
            receiver().verify(webhook(rb'{"note":"caf\u00e9"}', x_hub_signature_256=signature))


class TestAnswerChallenge:
    def test_right_token_is_answered_with_the_challenge(self) -> None:
        query = {"hub.mode": "subscribe", "hub.verify_token": "hub-token", "hub.challenge": "1158201444"}
        assert receiver().answer_challenge(query) == "1158201444"

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"hub.mode": "subscribe", "hub.verify_token": "é", "hub.challenge": "1"},
            {"hub.mode": "unsubscribe", "hub.verify_token": "hub-token", "hub.challenge": "1"},
        ],
    )
    def test_anything_else_is_denied(self, query: dict[str, str]) -> None:
        with pytest.raises(PermissionDenied):
            receiver().answer_challenge(query)


class TestParse:
    def test_inbound_text_names_the_person_and_the_account(self) -> None:
        [event] = parse("inbound_text.json")
        assert event.kind is EventKind.INBOUND
        assert (event.key, event.provider_message_id) == ("wamid.IN001", "wamid.IN001")
        assert (event.address, event.profile_name) == ("+15005550111", "Asha R")
        assert (event.message_type, event.text) == ("text", "Where is my order?")
        assert event.occurred_at == datetime.fromtimestamp(1790000000, UTC)
        assert event.data["account"] == "300400500600700"
        assert event.data["user_id"] == "US.90000000000000000001"

    def test_media_keep_their_ids_and_captions(self) -> None:
        image, document, audio = parse("inbound_media.json")
        assert (image.message_type, image.text) == ("media", "Is it this one?")
        assert (image.data["media"]["kind"], image.data["media"]["id"]) == ("image", "900100")
        assert document.data["media"]["filename"] == "bill.pdf"
        assert (audio.message_type, audio.data["media"]["voice"]) == ("audio", True)

    def test_location_keeps_its_coordinates(self) -> None:
        [event] = parse("inbound_location.json")
        assert (event.message_type, event.text) == ("location", "Depot")
        assert event.data["location"]["latitude"] == 12.9

    def test_presses_give_their_label_payload_and_context(self) -> None:
        button, reply, row, reaction = parse("inbound_presses.json")
        assert (button.message_type, button.text, button.data["payload"]) == ("button", "Track", "TRACK:A-1042")
        assert button.context_id == "wamid.OUT9"
        assert (reply.message_type, reply.text, reply.data["payload"]) == ("interactive", "Yes", "slot:yes")
        assert (row.text, row.data["reply"]["description"]) == ("Morning", "8 to 12")
        assert (reaction.message_type, reaction.text, reaction.context_id) == ("reaction", "👍", "wamid.OUT9")

    def test_kinds_we_do_not_read_are_let_through(self) -> None:
        unsupported, system, contacts = parse("inbound_others.json")
        assert (unsupported.kind, unsupported.message_type) == (EventKind.INBOUND, "unknown")
        assert (system.kind, system.message_type) == (EventKind.UNKNOWN, "system")  # nobody replied
        assert system.data["system"]["wa_id"] == "15005550333"
        assert (contacts.kind, contacts.message_type) == (EventKind.INBOUND, "contacts")

    def test_person_without_a_number_is_known_by_the_user_id(self) -> None:
        [event] = parse("inbound_without_number.json")
        assert (event.address, event.profile_name) == ("", "Noa")
        assert event.data["user_id"] == "PT.90000000000000000002"
        assert event.data["username"] == "noa.b"
        [status] = parse("status_without_number.json")
        assert (status.address, status.data["user_id"]) == ("", "PT.90000000000000000002")

    def test_progress_of_one_message_gives_one_report_per_status(self) -> None:
        events = parse("status_progress.json")
        assert [event.kind for event in events] == [
            EventKind.SENT,
            EventKind.DELIVERED,
            EventKind.READ,
            EventKind.READ,
        ]
        assert [event.key for event in events] == [
            f"wamid.OUT9:{word}" for word in ("sent", "delivered", "read", "played")
        ]
        assert {event.reference for event in events} == {str(REFERENCE)}
        assert {event.address for event in events} == {"+15005550111"}
        assert events[0].data["pricing"]["category"] == "utility"

    def test_failure_carries_code_and_words(self) -> None:
        [event] = parse("status_failed.json")
        assert (event.kind, event.error_code) == (EventKind.FAILED, "131026")
        assert event.error_detail == "Message undeliverable: Message Undeliverable."
        assert (event.retryable, event.suppress) == (False, "")

    def test_stopped_marketing_suppresses(self) -> None:
        [event] = parse("status_stopped.json")
        assert (event.kind, event.suppress) == (EventKind.FAILED, "stop")

    def test_group_receipt_belongs_to_the_participant(self) -> None:
        [event] = parse("status_group.json")
        assert (event.key, event.address) == ("wamid.OUT9:delivered:15005550112", "+15005550112")

    def test_preferences_are_opt_outs_and_opt_ins(self) -> None:
        stop, resume = parse("user_preferences.json")
        assert (stop.kind, stop.suppress, stop.address) == (EventKind.OPTED_OUT, "stop", "+15005550111")
        assert (resume.kind, resume.suppress) == (EventKind.OPTED_IN, "")
        assert stop.key != resume.key

    def test_template_decision_is_reported(self) -> None:
        [event] = parse("template_rejected.json")
        assert event.kind is EventKind.TEMPLATE_STATUS
        assert (event.data["name"], event.data["event"]) == ("order_update_v2", "REJECTED")
        assert event.data["account"] == "200300400500600"  # such changes name no phone number

    def test_account_error_is_unknown_with_its_code(self) -> None:
        [event] = parse("account_error.json")
        assert (event.kind, event.error_code) == (EventKind.UNKNOWN, "131031")

    def test_one_request_may_carry_several_numbers(self) -> None:
        request = webhook(recorded("whatsapp_cloud", "two_numbers.json"))
        assert WhatsAppCloud.account_hints(request) == ["300400500600700", "300400500600701"]
        assert [event.data["account"] for event in receiver().parse(request)] == [
            "300400500600700",
            "300400500600701",
            "300400500600700",
        ]

    @pytest.mark.parametrize(
        ("body", "named"),
        [
            (b"", "JSON"),
            (b"{", "JSON"),
            (b"[]", "object"),
            (b"{}", "entry"),
            (b'{"entry":{}}', "entry"),
            (b'{"entry":[1]}', "entry[0]"),
            (b'{"entry":[{"changes":[{"field":"messages"}]}]}', "entry[0].changes[0].value"),
            (b'{"entry":[{"changes":[{"field":"messages","value":{"statuses":{}}}]}]}', "statuses"),
        ],
    )
    def test_malformed_body_is_named(self, body: bytes, named: str) -> None:
        with pytest.raises(Malformed) as caught:
            receiver().parse(webhook(body))
        assert named in caught.value.detail

    def test_text_that_cannot_be_stored_is_mended(self) -> None:
        body = recorded("whatsapp_cloud", "inbound_text.json").replace(b"Where", rb"\u0000\ud83dW\u00e9")
        [event] = receiver().parse(webhook(body))
        assert event.text == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}Wé is my order?"
