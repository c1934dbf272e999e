"""SMS and MMS through Twilio.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import base64
from collections.abc import Container, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

import httpx
import orjson

from app.channels.base import (
    AdapterContext,
    EventKind,
    Feature,
    LookupResult,
    OneByOne,
    OutboundMessage,
    Receipt,
    WebhookEvent,
    WebhookRequest,
)
from app.channels.credentials import problems
from app.channels.http import exchange, retry_after
from app.channels.sms.twilio import events
from app.channels.sms.twilio.faults import fault_of_answer
from app.channels.sms.twilio.signature import is_signed
from app.channels.webhooks import mapping, text
from app.domain.status import Channel, MessageType
from app.errors import (
    InvalidSignature,
    MessageRejected,
    OutcomeUnknown,
    ProviderUnavailable,
    SendError,
    UnsupportedFeature,
)

API = "/2010-04-01"
UNSUPPORTED = frozenset({MessageType.LOCATION, MessageType.AUDIO})
LOOK_UP_PAGES = 10  # of 50: more than anyone is sent in a day
CLOCK_SKEW = timedelta(minutes=1)  # Twilio's clock and ours


class TwilioSms(OneByOne):
    provider: ClassVar[str] = "twilio"
    channel: ClassVar[Channel] = Channel.SMS
    features: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.DELIVERY_REPORTS, Feature.MEDIA, Feature.INBOUND, Feature.LOOKUP}
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset({"account_sid", "auth_token"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset({"from_number", "messaging_service_sid"})
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"auth_token"})
    default_messages_per_second: ClassVar[float | None] = 10.0  # of most senders; long codes do less, short codes more
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._origin = context.base_url
        self._auth_token = credentials["auth_token"]
        account = credentials["account_sid"]
        self._url = httpx.URL(f"{context.base_url}{API}/Accounts/{account}/Messages.json")
        self._callback = f"{context.public_url}/v1/webhooks/sms/{context.settings_id}?ref="
        self._sender = {
            parameter: credentials[name]
            for parameter, name in (("From", "from_number"), ("MessagingServiceSid", "messaging_service_sid"))
            if credentials.get(name)
        }
        basic = base64.b64encode(f"{account}:{self._auth_token}".encode()).decode()
        self._headers = httpx.Headers({"Authorization": f"Basic {basic}", "Accept": "application/json"})
        self._form_headers = httpx.Headers({**self._headers, "Content-Type": "application/x-www-form-urlencoded"})

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(
            credentials,
            required=cls.required_credentials,
            in_path=("account_sid", "messaging_service_sid"),
            in_header=("auth_token",),
        )
        if not credentials.get("from_number") and not credentials.get("messaging_service_sid"):
            found.append("credentials.from_number is missing (or credentials.messaging_service_sid)")
        return found

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        return credentials.get("account_sid", "")

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        return events.accounts(request)

    async def send(self, message: OutboundMessage) -> Receipt:
        body, media = _content(message)
        form: list[tuple[str, str]] = [("To", message.to), *self._sender.items()]
        if body:
            form.append(("Body", body))
        form += [("MediaUrl", address) for address in media]
        form.append(("StatusCallback", f"{self._callback}{message.reference}"))
        request = httpx.Request("POST", self._url, headers=self._form_headers, content=urlencode(form).encode())
        response = await exchange(self._http, request)
        answer = _answer(response)
        if not response.is_success:
            raise _error(response, answer)
        if not isinstance(answer.get("sid"), str):
            raise OutcomeUnknown("Accepted without a message id.", provider_code=f"http_{response.status_code}")
        return Receipt(provider_message_id=answer["sid"], raw=answer)

    def verify(self, request: WebhookRequest) -> None:
        if not is_signed(request, self._auth_token):
            raise InvalidSignature("X-Twilio-Signature does not match the request.")

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return events.parse(request)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        """Find a message to the same person with the same text, made since then. It cannot carry our reference, so
        the one that is meant is told from an equal one shortly before by what is `known`."""
        body, _ = _content(message)
        earliest = since.astimezone(UTC) - CLOCK_SKEW
        url = self._url.copy_merge_params(
            {"To": message.to, "DateSent>": earliest.date().isoformat(), "PageSize": "50"}
        )
        for _ in range(LOOK_UP_PAGES):
            page = await self._page(url)
            for sent in page.get("messages") or ():
                if not isinstance(sent, dict) or text(sent.get("sid")) in known:
                    continue
                if _is_the_same(sent, message.to, body, earliest):
                    return LookupResult(
                        found=True,
                        provider_message_id=text(sent.get("sid")),
                        status=events.STATUS_KINDS.get(text(sent.get("status")), EventKind.ACCEPTED),
                        error_code=text(sent.get("error_code")),
                    )
            following = text(page.get("next_page_uri"))
            if not following:
                return LookupResult(found=False)
            url = httpx.URL(self._origin + following)
        raise ProviderUnavailable(f"More than {LOOK_UP_PAGES} pages of messages to one person.")

    async def _page(self, url: httpx.URL) -> dict[str, Any]:
        response = await exchange(self._http, httpx.Request("GET", url, headers=self._headers))
        answer = _answer(response)
        if response.is_success and "messages" in answer:
            return answer
        if response.is_success or response.status_code >= 500:  # reading again is always safe
            raise ProviderUnavailable(f"The look-up answered HTTP {response.status_code}.")
        raise _error(response, answer)


def _content(message: OutboundMessage) -> tuple[str, list[str]]:
    """The text and the media addresses. Raises when there is neither."""
    if message.type in UNSUPPORTED:
        raise UnsupportedFeature(f"SMS cannot carry {message.type}.")
    body, media = message.content.get("body") or "", list(message.content.get("media_urls") or ())
    if not body and not media:
        raise MessageRejected("content.body is missing.")
    return body, media


def _is_the_same(sent: dict[str, Any], to: str, body: str, earliest: datetime) -> bool:
    if text(sent.get("to")) != to or text(sent.get("body")).strip() != body.strip():
        return False
    if text(sent.get("direction")).startswith("inbound"):
        return False
    try:
        return parsedate_to_datetime(text(sent.get("date_created"))) >= earliest
    except (ValueError, TypeError):
        return True  # the same text on the same day: rather believe it was sent than send it twice


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        return mapping(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        return {}


def _error(response: httpx.Response, answer: dict[str, Any]) -> SendError:
    code = answer.get("code") if isinstance(answer.get("code"), int) else None
    fault = fault_of_answer(code, response.status_code)
    detail = text(answer.get("message")) or f"HTTP {response.status_code}: {response.text[:200]}"
    provider_code = str(code) if code is not None else f"http_{response.status_code}"
    return fault.error(detail, code=provider_code, retry_after=retry_after(response))
