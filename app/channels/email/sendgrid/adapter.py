"""E-mail through SendGrid.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send
"""

import base64
from collections.abc import Container, Mapping, Sequence
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
    OutboundMessage,
    Receipt,
    WebhookEvent,
    WebhookRequest,
)
from app.channels.credentials import problems
from app.channels.email.sendgrid import batch, events, inbound, mail
from app.channels.email.sendgrid.faults import Complaint, complaints_of, fault_of_answer
from app.channels.http import exchange, retry_after
from app.channels.multipart import is_multipart
from app.domain.status import Channel
from app.errors import (
    InvalidSignature,
    MessageRejected,
    ProviderMisconfigured,
    RateLimited,
    SendError,
    UnsupportedFeature,
)

PREFIX = "x-twilio-email-event-webhook-"


class SendGridEmail:
    provider: ClassVar[str] = "sendgrid"
    channel: ClassVar[Channel] = Channel.EMAIL
    features: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.DELIVERY_REPORTS, Feature.READ_RECEIPTS, Feature.INBOUND, Feature.BATCH}
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "from_email"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset(
        {"from_name", "reply_to", "webhook_public_key", "inbound_token"}
    )
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "inbound_token"})
    default_messages_per_second: ClassVar[float | None] = None  # SendGrid names no limit, its headers do
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None
    most_per_request: ClassVar[int] = batch.MOST

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._url = httpx.URL(f"{context.base_url}/v3/mail/send")
        sender = {"email": credentials["from_email"]}
        if name := credentials.get("from_name"):
            sender["name"] = name
        self._common: dict[str, Any] = {"from": sender, "tracking_settings": mail.TRACKING}
        if reply_to := credentials.get("reply_to"):
            self._common["reply_to"] = {"email": reply_to}
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
        for name in ("from_email", "reply_to"):
            if (address := credentials.get(name)) and "@" not in address:
                found.append(f"credentials.{name} is not an e-mail address")
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
        mail.check(message)
        return await self._post([mail.personalization(message)], mail.content(message))

    async def send_batch(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        """Messages that are alike share requests; one that has little in common with the others leaves alone."""
        found: dict[int, Receipt | SendError] = {}
        fit: list[tuple[int, str, Mapping[str, Any]]] = []
        for index, message in enumerate(messages):
            try:
                mail.check(message)
                fit.append((index, message.to, message.content))
            except SendError as error:
                found[index] = error
        for group in batch.groups(fit):
            found |= await self._send_group(group, messages)
        return [found[index] for index in range(len(messages))]

    async def _send_group(
        self, group: batch.Group, messages: Sequence[OutboundMessage]
    ) -> dict[int, Receipt | SendError]:
        """SendGrid takes all or none, and names those at fault: the others are sent again without them."""
        found: dict[int, Receipt | SendError] = {}
        left = list(group.contents)
        while len(left) > 1:
            personal = [
                {**mail.personalization(messages[index]), "substitutions": group.substitutions(index)} for index in left
            ]
            try:
                receipt = await self._post(personal, group.content())
                return found | dict.fromkeys(left, receipt)
            except InvalidPersonalizations as error:
                found |= {left[position]: refused for position, refused in error.refused.items()}
                left = [index for index in left if index not in found]
            except MessageRejected:  # nobody in particular: each alone tells
                break
            except SendError as error:
                return found | dict.fromkeys(left, error)
        for index in left:
            try:
                found[index] = await self.send(messages[index])
            except (RateLimited, ProviderMisconfigured) as error:  # it would be the same for the others
                return dict.fromkeys(left, error) | found
            except SendError as error:
                found[index] = error
        return found

    async def _post(self, personalizations: list[dict[str, Any]], content: list[dict[str, str]]) -> Receipt:
        body = {**self._common, "personalizations": personalizations, "content": content}
        request = httpx.Request("POST", self._url, headers=self._headers, content=orjson.dumps(body))
        response = await exchange(self._http, request)
        if not response.is_success:
            raise _error(response, len(personalizations))
        return Receipt(
            provider_message_id=response.headers.get("x-message-id", ""), raw={"status": response.status_code}
        )

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


class InvalidPersonalizations(MessageRejected):
    """Of a request with several: the errors of those that SendGrid names, by their position. None was accepted."""

    def __init__(self, refused: Mapping[int, SendError]) -> None:
        super().__init__("Some personalizations were refused.", provider_code="http_400")
        self.refused = refused


def _error(response: httpx.Response, number: int) -> SendError:
    try:
        complaints = complaints_of(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        complaints = []
    if number > 1 and response.status_code == 400 and complaints:
        refused = {found.index: _refused(response, found) for found in complaints if found.index is not None}
        if all(found.index in refused and found.index < number for found in complaints):
            return InvalidPersonalizations(refused)
    return _refused(response, complaints[0] if complaints else None)


def _refused(response: httpx.Response, complaint: Complaint | None) -> SendError:
    field, words = (complaint.field, complaint.words) if complaint else ("", "")
    fault = fault_of_answer(response.status_code, field)
    detail = (f"{field}: {words}" if field else words) or f"HTTP {response.status_code}: {response.text[:200]}"
    return fault.error(detail, code=f"http_{response.status_code}", retry_after=retry_after(response))
