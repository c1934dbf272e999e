"""SMS through MessageBird's classic API, which is now Bird's.

https://developers.messagebird.com/api/sms-messaging/
"""

import re
import time
from collections.abc import Container, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

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
from app.channels.sms.messagebird import events, signature
from app.channels.sms.messagebird.faults import fault_of_answer
from app.channels.webhooks import mapping, text
from app.domain.status import Channel, MessageType
from app.errors import MessageRejected, OutcomeUnknown, ProviderUnavailable, SendError, UnsupportedFeature

UNSUPPORTED = frozenset({MessageType.LOCATION, MessageType.AUDIO, MessageType.MEDIA})
MOST_LETTERS = 11  # of a name as originator
ORIGINATOR = re.compile(rf"\+?[1-9][0-9]{{2,14}}|(?=.*[A-Za-z])[A-Za-z0-9 ]{{1,{MOST_LETTERS}}}")
PAGE_SIZE, LOOK_UP_PAGES = 50, 10  # more than anyone is sent in a day
CLOCK_SKEW = timedelta(minutes=1)  # MessageBird's clock and ours


class MessageBirdSms(OneByOne):
    """One request per message: a request for several recipients has one text and one id."""

    provider: ClassVar[str] = "messagebird"
    channel: ClassVar[Channel] = Channel.SMS
    features: ClassVar[frozenset[Feature]] = frozenset({Feature.DELIVERY_REPORTS, Feature.INBOUND, Feature.LOOKUP})
    required_credentials: ClassVar[frozenset[str]] = frozenset({"access_key", "originator", "signing_key"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset()
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"access_key", "signing_key"})
    default_messages_per_second: ClassVar[float | None] = 500.0  # POST requests of an account: UNCONFIRMED today
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._url = httpx.URL(f"{context.base_url}/messages")
        self._report_url = f"{context.public_url}/v1/webhooks/sms/{context.settings_id}"
        self._originator = _originator(credentials["originator"])
        self._signing_key = credentials["signing_key"].encode()
        self._headers = httpx.Headers(
            {"Authorization": f"AccessKey {credentials['access_key']}", "Accept": "application/json"}
        )
        self._json_headers = httpx.Headers({**self._headers, "Content-Type": "application/json"})

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(credentials, required=cls.required_credentials, in_header=("access_key", "signing_key"))
        if (originator := credentials.get("originator")) and not ORIGINATOR.fullmatch(originator):
            found.append(
                "credentials.originator is neither a number with its country code nor a name of at most "
                f"{MOST_LETTERS} letters and digits"
            )
        return found

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        return _originator(credentials.get("originator", ""))

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        return events.accounts(request)

    async def send(self, message: OutboundMessage) -> Receipt:
        payload = {
            "originator": self._originator,
            "recipients": [_digits(message.to)],
            "body": _body(message),
            "datacoding": "auto",  # the default, `plain`, has the characters of GSM 03.38 only
            "reference": str(message.reference),  # without one there are no delivery reports
            "reportUrl": self._report_url,
        }
        content = orjson.dumps(payload)
        response = await exchange(
            self._http, httpx.Request("POST", self._url, headers=self._json_headers, content=content)
        )
        answer = _answer(response)
        if not response.is_success:
            raise _error(response, answer)
        if not (message_id := text(answer.get("id"))):
            raise OutcomeUnknown("Accepted without a message id.", provider_code=f"http_{response.status_code}")
        return Receipt(provider_message_id=message_id, raw=answer)

    def verify(self, request: WebhookRequest) -> None:
        signature.verify(self._signing_key, request, time.time())

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return events.parse(request)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        """Find the message with our reference among those to the same person since then. Where the list shows no
        reference, the same text has to do, and one that is `known` as another message is not it."""
        earliest = since.astimezone(UTC) - CLOCK_SKEW
        since_then = {"recipient": _digits(message.to), "from": earliest.isoformat(timespec="seconds")}
        offset = 0
        for _ in range(LOOK_UP_PAGES):
            place = {"limit": str(PAGE_SIZE), "offset": str(offset)}
            page = await self._page(self._url.copy_merge_params({**since_then, **place}))
            for sent in page["items"]:
                if text(sent.get("id")) not in known and _is_the_same(sent, message, earliest):
                    return _found(sent, _digits(message.to))
            offset += len(page["items"])
            if not page["items"] or offset >= page["totalCount"]:
                return LookupResult(found=False)
        raise ProviderUnavailable(f"More than {LOOK_UP_PAGES} pages of messages to one person.")

    async def _page(self, url: httpx.URL) -> dict[str, Any]:
        """`items`, a list of objects, and `totalCount`, a number."""
        response = await exchange(self._http, httpx.Request("GET", url, headers=self._headers))
        answer = _answer(response)
        items, total = answer.get("items"), answer.get("totalCount")
        if response.is_success and isinstance(total, int) and isinstance(items, list):
            return {"items": [mapping(item) for item in items], "totalCount": total}
        if response.is_success or response.status_code >= 500:  # reading again is always safe
            raise ProviderUnavailable(f"The look-up answered HTTP {response.status_code}.")
        raise _error(response, answer)


def _originator(given: str) -> str:
    return given.removeprefix("+")


def _digits(number: str) -> str:
    """A number as MessageBird writes it: without the plus."""
    return number.removeprefix("+")


def _body(message: OutboundMessage) -> str:
    if message.type in UNSUPPORTED or message.content.get("media_urls"):
        raise UnsupportedFeature("MessageBird's SMS carries text only.")
    if not (body := message.content.get("body")):
        raise MessageRejected("content.body is missing.")
    return str(body)


def _is_the_same(sent: Mapping[str, Any], message: OutboundMessage, earliest: datetime) -> bool:
    if sent.get("direction") == "mo":
        return False
    if reference := text(sent.get("reference")):
        return reference == str(message.reference)
    if text(sent.get("body")).strip() != _body(message).strip():
        return False
    try:
        return datetime.fromisoformat(text(sent.get("createdDatetime"))) >= earliest
    except (ValueError, TypeError):
        return True  # the same text to the same person: rather believe it was sent than send it twice


def _found(sent: Mapping[str, Any], digits: str) -> LookupResult:
    state: Mapping[str, Any] = next((item for item in _recipients(sent) if text(item.get("recipient")) == digits), {})
    return LookupResult(
        found=True,
        provider_message_id=text(sent.get("id")),
        status=events.STATUS_KINDS.get(text(state.get("status")), EventKind.ACCEPTED),
        error_code=text(state.get("statusErrorCode")),
    )


def _recipients(sent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    items = mapping(sent.get("recipients")).get("items")
    return (mapping(item) for item in items) if isinstance(items, list) else iter(())


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        return mapping(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        return {}


def _error(response: httpx.Response, answer: Mapping[str, Any]) -> SendError:
    """Told by the code of the first error, as the statuses that go with the codes are UNCONFIRMED."""
    listed = answer.get("errors")
    given = [mapping(error) for error in listed] if isinstance(listed, list) else []
    first = given[0] if given else {}
    code = events.error_code(first.get("code"))
    fault = fault_of_answer(code, response.status_code, text(first.get("parameter")))
    detail = "; ".join(_words(error) for error in given) or f"HTTP {response.status_code}: {response.text[:200]}"
    provider_code = str(code) if code is not None else f"http_{response.status_code}"
    return fault.error(detail, code=provider_code, retry_after=retry_after(response))


def _words(error: Mapping[str, Any]) -> str:
    parameter = text(error.get("parameter"))
    return text(error.get("description")) + (f" ({parameter})" if parameter else "")
