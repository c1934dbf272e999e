"""E-mail through Resend.

https://resend.com/docs/api-reference/emails/send-email
"""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx
import orjson

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
from app.channels.email.mailboxes import written
from app.channels.email.resend import batch, events, signature
from app.channels.email.resend.faults import fault_of_answer
from app.channels.http import exchange, retry_after
from app.channels.webhooks import mapping, text
from app.domain.status import Channel, MessageType
from app.errors import (
    InvalidSignature,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    RateLimited,
    SendError,
    UnsupportedFeature,
)

SUPPORTED = frozenset({MessageType.TEXT, MessageType.TEMPLATE})
USER_AGENT = "relay/1"  # a request without one is refused with 403


class ResendEmail:
    provider: ClassVar[str] = "resend"
    channel: ClassVar[Channel] = Channel.EMAIL
    features: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.DELIVERY_REPORTS, Feature.READ_RECEIPTS, Feature.INBOUND, Feature.IDEMPOTENCY_KEY, Feature.BATCH}
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "from_email"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset({"from_name", "reply_to", "webhook_secret"})
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "webhook_secret"})
    # requests per second of a team, across all of its keys; older teams may have less
    default_messages_per_second: ClassVar[float | None] = 10.0
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = timedelta(hours=24)
    most_per_request: ClassVar[int] = batch.MOST

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._url = httpx.URL(f"{context.base_url}/emails")
        self._batch_url = httpx.URL(f"{context.base_url}/emails/batch")
        self._from = written(credentials.get("from_name", ""), credentials["from_email"])
        self._reply_to = credentials.get("reply_to")
        secret = credentials.get("webhook_secret")
        self._webhook_key = signature.key_of(secret) if secret else None
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {credentials['api_key']}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": USER_AGENT,
            }
        )

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(credentials, required=cls.required_credentials, in_header=("api_key",))
        for name in ("from_email", "reply_to"):
            if (address := credentials.get(name)) and "@" not in address:
                found.append(f"credentials.{name} is not an e-mail address")
        if secret := credentials.get("webhook_secret"):
            try:
                signature.key_of(secret)
            except ValueError:
                found.append("credentials.webhook_secret is not the signing secret that Resend shows (whsec_…)")
        return found

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        """Nothing: events do not name the account, they carry the setting's id as a tag."""
        return ""

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        """The id of the channel setting that the e-mail was sent through."""
        return events.accounts(request)

    async def send(self, message: OutboundMessage) -> Receipt:
        """The same message gives the same bytes: with the same key Resend then knows the request again."""
        answer = await self._post(self._url, self._payload(message), {"Idempotency-Key": str(message.reference)})
        if not (id := text(answer.get("id"))):
            raise OutcomeUnknown("Accepted without an id.", provider_code="http_200")
        return Receipt(provider_message_id=id, raw=answer)

    async def send_batch(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        """One key for all of them. A lost answer is settled here, by repeating the request at once. After a crash it
        can't be: the key belongs to exactly these messages together, and each alone would be a second e-mail. So one
        message a request is the rule, and a batch is the tenant's choice (`limits.messages_per_request`).
        """
        found: dict[int, Receipt | SendError] = {}
        payloads: dict[int, dict[str, Any]] = {}
        for index, message in enumerate(messages):
            try:
                payloads[index] = self._payload(message)
            except SendError as error:
                found[index] = error
        if payloads:
            together = [messages[index] for index in payloads]
            found |= zip(payloads, await self._send_together(together, list(payloads.values())), strict=True)
        return [found[index] for index in range(len(messages))]

    async def _send_together(
        self, messages: Sequence[OutboundMessage], payloads: list[dict[str, Any]]
    ) -> Sequence[Receipt | SendError]:
        headers = {"Idempotency-Key": batch.key_of(messages), **batch.PERMISSIVE}

        async def post() -> list[Receipt | SendError]:
            return batch.answers(await self._post(self._batch_url, payloads, headers), len(payloads))

        try:
            found = await batch.settled(post)
        except MessageRejected:
            found = []
        if any(isinstance(answer, Receipt) for answer in found):
            return found
        # None was accepted. What is wrong with an e-mail of a batch is told in words only; alone it has a name, which
        # tells the fault of a message from that of the account, such as a domain that is not verified.
        return await self._send_one_by_one(messages)

    async def _send_one_by_one(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        found: list[Receipt | SendError] = []
        for message in messages:
            try:
                found.append(await self.send(message))
            except (RateLimited, ProviderMisconfigured) as error:  # it would be the same for the others
                return found + [error] * (len(messages) - len(found))
            except SendError as error:
                found.append(error)
        return found

    async def _post(self, url: httpx.URL, payload: Any, headers: Mapping[str, str]) -> dict[str, Any]:
        content = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
        request = httpx.Request("POST", url, headers={**self._headers, **headers}, content=content)
        response = await exchange(self._http, request)
        answer = _read(response)
        if not response.is_success:
            raise _error(response, answer)
        return answer

    def _payload(self, message: OutboundMessage) -> dict[str, Any]:
        if message.type not in SUPPORTED:
            raise UnsupportedFeature(f"E-mail cannot carry {message.type}.")
        content = message.content
        for name in ("subject", "text"):
            if not content.get(name):
                raise MessageRejected(f"content.{name} is missing.")
        payload: dict[str, Any] = {
            "from": self._from,
            # one address only: with several, events do not say which of them they are about
            "to": [written(message.to_name, message.to)],
            "subject": content["subject"],
            "text": content["text"],
            "tags": [
                {"name": "message_id", "value": str(message.reference)},
                {"name": "tenant_id", "value": str(message.tenant_id)},
                {"name": "settings_id", "value": str(message.settings_id)},
            ],
        }
        if html := content.get("html"):
            payload["html"] = html
        if self._reply_to:
            payload["reply_to"] = self._reply_to
        if headers := content.get("headers"):
            payload["headers"] = dict(headers)
        return payload

    def verify(self, request: WebhookRequest) -> None:
        """Every attempt of a delivery is signed anew, so a signature older than a few minutes is a replay."""
        if self._webhook_key is None:
            raise InvalidSignature("credentials.webhook_secret is not set, so no event can be trusted.")
        signature.verify(self._webhook_key, request)

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return events.parse(request)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        raise UnsupportedFeature("Resend's list of e-mails has no reference; the same key settles an unknown send.")


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        return mapping(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        return {}


def _error(response: httpx.Response, answer: Mapping[str, Any]) -> SendError:
    """Told by the error's name: its words change, and one status stands for different things."""
    name = text(answer.get("name"))
    detail = text(answer.get("message")) or f"HTTP {response.status_code}: {response.text[:200]}"
    fault = fault_of_answer(response.status_code, name, detail)
    # a quota outlasts the seconds that every 429 names
    wait = None if fault.retry_after is not None else _wait(response)
    return fault.error(detail, code=name or f"http_{response.status_code}", retry_after=wait)


def _wait(response: httpx.Response) -> timedelta | None:
    """What a 429 asks for: `retry-after`, else `ratelimit-reset`, both in seconds."""
    if (asked := retry_after(response)) is not None:
        return asked
    reset = response.headers.get("ratelimit-reset", "")
    return timedelta(seconds=int(reset)) if reset.isascii() and reset.isdigit() and len(reset) < 7 else None
