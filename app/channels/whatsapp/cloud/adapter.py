"""WhatsApp through Meta's Cloud API.

https://developers.facebook.com/documentation/business-messaging/whatsapp
"""

import hashlib
import hmac
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

import httpx
import orjson

from app.channels.base import (
    AdapterContext,
    Feature,
    LookupResult,
    OneByOne,
    OutboundMessage,
    Receipt,
    WebhookEvent,
    WebhookRequest,
)
from app.channels.credentials import not_plain, problems
from app.channels.http import exchange
from app.channels.media import MediaFile
from app.channels.provider_templates import ProviderTemplate
from app.channels.webhooks import mapping, same
from app.channels.whatsapp.cloud import events, management
from app.channels.whatsapp.cloud.answers import answer_of, error_of
from app.channels.whatsapp.cloud.bodies import BODIES
from app.domain.status import Channel
from app.errors import (
    InvalidSignature,
    MessageRejected,
    OutcomeUnknown,
    PermissionDenied,
    UnsupportedFeature,
)

DEFAULT_VERSION = "v23.0"


class WhatsAppCloud(OneByOne):
    provider: ClassVar[str] = "whatsapp_cloud"
    channel: ClassVar[Channel] = Channel.WHATSAPP
    features: ClassVar[frozenset[Feature]] = frozenset(
        {
            Feature.TEMPLATE,
            Feature.MEDIA,
            Feature.LOCATION,
            Feature.AUDIO,
            Feature.BUTTONS,
            Feature.INBOUND,
            Feature.DELIVERY_REPORTS,
            Feature.READ_RECEIPTS,
        }
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset(
        {"phone_number_id", "waba_id", "access_token", "app_secret", "verify_token"}
    )
    optional_credentials: ClassVar[frozenset[str]] = frozenset()
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"access_token", "app_secret", "verify_token"})
    default_messages_per_second: ClassVar[float | None] = 80.0  # per phone number, before an upgrade
    recipient_interval: ClassVar[timedelta | None] = timedelta(seconds=6)  # faster bursts borrow from what is to come
    idempotency_key_lifetime: ClassVar[timedelta | None] = None

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._app_secret = credentials["app_secret"].encode()
        self._verify_token = credentials["verify_token"]
        version = context.api_version or DEFAULT_VERSION
        self.business_account = credentials["waba_id"]
        self._url = httpx.URL(f"{context.base_url}/{version}/{credentials['phone_number_id']}/messages")
        self._media_url = httpx.URL(f"{context.base_url}/{version}/{credentials['phone_number_id']}/media")
        self._templates_url = httpx.URL(f"{context.base_url}/{version}/{credentials['waba_id']}/message_templates")
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {credentials['access_token']}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            }
        )

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        return problems(
            credentials,
            required=cls.required_credentials,
            in_path=("phone_number_id", "waba_id"),
            in_header=("access_token",),
        )

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        return credentials.get("phone_number_id", "")

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        return events.accounts(request)

    async def send(self, message: OutboundMessage) -> Receipt:
        if not_plain(message.to):
            raise MessageRejected("The recipient is not a telephone number.")
        kind, body = BODIES[message.type](message.content)
        payload = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to.removeprefix("+"),
            "type": kind,
            kind: body,
            "biz_opaque_callback_data": str(message.reference),
        }
        request = httpx.Request("POST", self._url, headers=self._headers, content=orjson.dumps(payload))
        response = await exchange(self._http, request)
        answer = answer_of(response)
        if not response.is_success:
            raise error_of(response, mapping(answer.get("error")))
        for accepted in answer.get("messages") or ():
            if isinstance(accepted, dict) and isinstance(accepted.get("id"), str):
                return Receipt(provider_message_id=accepted["id"], raw=answer)
        raise OutcomeUnknown("Accepted without a message id.", provider_code=f"http_{response.status_code}")

    async def upload_media(self, media: MediaFile) -> str:
        return await management.upload_media(self._http, self._media_url, self._headers["Authorization"], media)

    async def list_templates(self, name: str = "") -> list[ProviderTemplate]:
        return await management.list_templates(self._http, self._templates_url, self._headers, name)

    def verify(self, request: WebhookRequest) -> None:
        expected = "sha256=" + hmac.new(self._app_secret, request.body, hashlib.sha256).hexdigest()
        given = request.headers.get("x-hub-signature-256", "")
        if not same(given, expected):
            raise InvalidSignature("X-Hub-Signature-256 does not match the body.")

    def answer_challenge(self, query: Mapping[str, str]) -> str:
        """What to answer Meta's subscription handshake (a GET). Raises PermissionDenied for another token."""
        token = query.get("hub.verify_token", "")
        if query.get("hub.mode") != "subscribe" or not same(token, self._verify_token):
            raise PermissionDenied("hub.verify_token is not the one of this channel.")
        return query.get("hub.challenge", "")

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return events.parse(request)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        raise UnsupportedFeature("The Cloud API cannot look up a message; its status webhooks carry our reference.")
