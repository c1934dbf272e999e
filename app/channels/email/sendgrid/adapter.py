"""E-mail through SendGrid.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send
"""

import base64
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import httpx
import orjson
from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

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
from app.channels.credentials import problems
from app.channels.email.sendgrid import events, inbound
from app.channels.email.sendgrid.faults import fault_of_answer
from app.channels.http import exchange, retry_after
from app.channels.multipart import is_multipart
from app.channels.webhooks import mapping, text
from app.domain.status import Channel, MessageType
from app.errors import InvalidSignature, MessageRejected, SendError, UnsupportedFeature

SUPPORTED = frozenset({MessageType.TEXT, MessageType.TEMPLATE})
# Ours: a second unsubscribe link in the footer would opt people out where we cannot see it
TRACKING = {"subscription_tracking": {"enable": False}}
PREFIX = "x-twilio-email-event-webhook-"


class SendGridEmail(OneByOne):
    provider: ClassVar[str] = "sendgrid"
    channel: ClassVar[Channel] = Channel.EMAIL
    features: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.DELIVERY_REPORTS, Feature.READ_RECEIPTS, Feature.INBOUND}
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "from_email"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset({"from_name", "webhook_public_key", "inbound_token"})
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "inbound_token"})
    default_messages_per_second: ClassVar[float | None] = None  # SendGrid names no limit, its headers do
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._url = httpx.URL(f"{context.base_url}/v3/mail/send")
        self._from = {"email": credentials["from_email"]}
        if name := credentials.get("from_name"):
            self._from["name"] = name
        key = credentials.get("webhook_public_key")
        self._public_key = _public_key(key) if key else None
        self._inbound_token = inbound.token_of(credentials, context.settings_id)
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {credentials['api_key']}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            }
        )

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(credentials, required=cls.required_credentials, in_header=("api_key",))
        if (address := credentials.get("from_email")) and "@" not in address:
            found.append("credentials.from_email is not an e-mail address")
        if key := credentials.get("webhook_public_key"):
            try:
                _public_key(key)
            except ValueError:
                found.append("credentials.webhook_public_key is not the base64 key that SendGrid shows")
        if (token := credentials.get("inbound_token")) and not inbound.CHOSEN_TOKEN.fullmatch(token):
            found.append("credentials.inbound_token must be 20 to 100 letters, digits, - or _")
        return found

    @classmethod
    def inbound_url(cls, credentials: Mapping[str, str], settings_id: UUID, webhook_url: str) -> str:
        """Where Inbound Parse has to post mail. Whoever knows it can post there."""
        return f"{webhook_url}?{inbound.TOKEN}={inbound.token_of(credentials, settings_id)}"

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        """Nothing: events do not name the account, they carry the setting's id as a custom argument."""
        return ""

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        """The ids of the channel settings that the events were sent through. Mail is posted to a setting's address."""
        return [] if is_multipart(request) else events.accounts(request)

    async def send(self, message: OutboundMessage) -> Receipt:
        request = httpx.Request("POST", self._url, headers=self._headers, content=orjson.dumps(self._payload(message)))
        response = await exchange(self._http, request)
        if not response.is_success:
            raise _error(response)
        return Receipt(
            provider_message_id=response.headers.get("x-message-id", ""), raw={"status": response.status_code}
        )

    def _payload(self, message: OutboundMessage) -> dict[str, Any]:
        if message.type not in SUPPORTED:
            raise UnsupportedFeature(f"E-mail cannot carry {message.type}.")
        content = message.content
        for name in ("subject", "text"):
            if not content.get(name):
                raise MessageRejected(f"content.{name} is missing.")
        recipient = {"email": message.to}
        if message.to_name:
            recipient["name"] = message.to_name
        personalization: dict[str, Any] = {
            "to": [recipient],
            "subject": content["subject"],
            "custom_args": {
                "message_id": str(message.reference),
                "tenant_id": str(message.tenant_id),
                "settings_id": str(message.settings_id),
            },
        }
        if headers := content.get("headers"):
            personalization["headers"] = dict(headers)
        parts = [{"type": "text/plain", "value": content["text"]}]  # plain text has to come first
        if html := content.get("html"):
            parts.append({"type": "text/html", "value": html})
        return {
            "from": self._from,
            "personalizations": [personalization],
            "content": parts,
            "tracking_settings": TRACKING,
        }

    def verify(self, request: WebhookRequest) -> None:
        """No time window: SendGrid repeats for 24 hours, and the event's own id makes a replay harmless."""
        if is_multipart(request):
            inbound.verify(self._inbound_token, request)
            return
        if self._public_key is None:
            raise InvalidSignature("credentials.webhook_public_key is not set, so no event can be trusted.")
        signature = request.headers.get(f"{PREFIX}signature", "")
        timestamp = request.headers.get(f"{PREFIX}timestamp", "")
        if not signature or not timestamp:
            raise InvalidSignature("The signature or timestamp header is missing.")
        try:
            signed = timestamp.encode(errors="replace") + request.body
            self._public_key.verify(base64.b64decode(signature, validate=True), signed, ec.ECDSA(SHA256()))
        except (BadSignature, ValueError):
            raise InvalidSignature("The signature does not match the timestamp and the body.") from None

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return inbound.parse(request) if is_multipart(request) else events.parse(request)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        raise UnsupportedFeature("SendGrid's message search is a paid add-on; its events carry our reference.")


def _public_key(encoded: str) -> ec.EllipticCurvePublicKey:
    """SendGrid's form: base64 of a P-256 key. Raises ValueError for anything else."""
    try:
        key = load_der_public_key(base64.b64decode("".join(encoded.split()), validate=True))
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 public key")
    return key


def _error(response: httpx.Response) -> SendError:
    try:
        errors = mapping(orjson.loads(response.content)).get("errors")
    except orjson.JSONDecodeError:
        errors = None
    first = mapping(errors[0]) if isinstance(errors, list) and errors else {}
    field, words = text(first.get("field")), text(first.get("message"))
    fault = fault_of_answer(response.status_code, field)
    detail = (f"{field}: {words}" if field else words) or f"HTTP {response.status_code}: {response.text[:200]}"
    return fault.error(detail, code=f"http_{response.status_code}", retry_after=retry_after(response))
