"""E-mail through Mailgun.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
"""

import base64
import re
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
from app.channels.email.mailgun import events, forms, inbound, signature
from app.channels.email.mailgun.faults import fault_of_answer, wait_of
from app.channels.http import exchange, retry_after
from app.channels.webhooks import mapping, objects, text
from app.domain.status import Channel
from app.errors import (
    InvalidSignature,
    Malformed,
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    SendError,
    UnsupportedFeature,
)

REGIONS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}")
CLOCK_SKEW = timedelta(minutes=1)  # Mailgun's clock and ours
# Events may be listed half an hour late; a request may leave a little after it was noted
LISTED_WITHIN = timedelta(minutes=35)
KEPT_FOR = timedelta(days=1)  # of events, on the smallest plan
EVENTS_PER_PAGE = 300


class MailgunEmail:
    provider: ClassVar[str] = "mailgun"
    channel: ClassVar[Channel] = Channel.EMAIL
    features: ClassVar[frozenset[Feature]] = frozenset(
        {Feature.DELIVERY_REPORTS, Feature.READ_RECEIPTS, Feature.INBOUND, Feature.LOOKUP, Feature.BATCH}
    )
    required_credentials: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "domain", "region", "from_email", "webhook_signing_key"}
    )
    optional_credentials: ClassVar[frozenset[str]] = frozenset({"from_name", "reply_to"})
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"api_key", "webhook_signing_key"})
    default_messages_per_second: ClassVar[float | None] = None  # Mailgun names no limit until it is reached
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None
    most_per_request: ClassVar[int] = 1_000

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        self._http = context.http
        self._domain = credentials["domain"]
        # a domain lives in one region; an address that the operator moved holds for every tenant
        moved = context.base_url != REGIONS["us"]
        origin = context.base_url if moved else REGIONS[credentials["region"].lower()]
        self._url = httpx.URL(f"{origin}/v3/{self._domain}/messages")
        self._events_url = httpx.URL(f"{origin}/v3/{self._domain}/events")
        self._common = [("from", written(credentials.get("from_name", ""), credentials["from_email"]))]
        if reply_to := credentials.get("reply_to"):
            self._common.append(("h:Reply-To", reply_to))
        self._signing_key = credentials["webhook_signing_key"].encode()
        basic = base64.b64encode(f"api:{credentials['api_key']}".encode()).decode()
        self._headers = httpx.Headers({"Authorization": f"Basic {basic}", "Accept": "application/json"})

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(credentials, required=cls.required_credentials, in_header=("api_key", "webhook_signing_key"))
        if (domain := credentials.get("domain")) and not DOMAIN.fullmatch(domain):
            found.append("credentials.domain is not a domain name")
        if (region := credentials.get("region")) and region.lower() not in REGIONS:
            found.append("credentials.region must be us or eu")
        for name in ("from_email", "reply_to"):
            if (address := credentials.get(name)) and "@" not in address:
                found.append(f"credentials.{name} is not an e-mail address")
        return found

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        """Nothing: events do not name the account, they carry the setting's id as a variable."""
        return ""

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        """The channel setting that the e-mail was sent through; what people write has none."""
        if inbound.is_form(request):
            return []
        name = events.account(events.read(request)[1])
        return [name] if name else []

    async def send(self, message: OutboundMessage) -> Receipt:
        return await self._post(forms.single(message, self._common, self._message_id(message)))

    async def send_batch(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        """Several messages to one person, and what can't be part of a batch, leave in requests of their own."""
        answers: dict[int, Receipt | SendError] = {}
        for part in forms.parts(messages):
            answers |= zip(part, await self._send_part([messages[index] for index in part]), strict=True)
        return [answers[index] for index in range(len(messages))]

    async def _send_part(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        """A refused request took none of them, and one bad message is enough for that: halves find it."""
        try:
            if len(messages) == 1:
                return [await self.send(messages[0])]
            return [await self._post(forms.batch(messages, self._common))] * len(messages)
        except MessageRejected as error:
            if len(messages) == 1:
                return [error]
        except SendError as error:
            return [error] * len(messages)
        middle = len(messages) // 2
        return [*await self._send_part(messages[:middle]), *await self._send_part(messages[middle:])]

    async def _post(self, form: forms.Form) -> Receipt:
        content_type, content = forms.encoded(form)
        headers = {**self._headers, "Content-Type": content_type}
        response = await exchange(self._http, httpx.Request("POST", self._url, headers=headers, content=content))
        answer = _read(response)
        if not response.is_success:
            raise _error(response, answer)
        if not (id := text(answer.get("id")).strip().strip("<>")):
            raise OutcomeUnknown("Accepted without an id.", provider_code=f"http_{response.status_code}")
        return Receipt(provider_message_id=id, raw=answer)

    def verify(self, request: WebhookRequest) -> None:
        try:
            signed = inbound.fields_of(request)[0] if inbound.is_form(request) else events.read(request)[0]
        except Malformed as error:
            raise InvalidSignature(f"No signature can be read: {error.detail}") from None
        signature.verify(self._signing_key, signed)

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        if inbound.is_form(request):
            fields, files = inbound.fields_of(request)
            return [inbound.parse(fields, files, self._domain)]
        _, item = events.read(request)
        return [inbound.parse_stored(item) if item.get("event") == events.STORED else events.parse(item)]

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        """Find an event about the message: by its Message-Id, else, because copies of a batch have none of their own
        and Mailgun may not keep ours, among the person's by our variable."""
        begin = str(int((since - CLOCK_SKEW).timestamp()))
        own_id = self._message_id(message)
        for criterion in ({"message-id": own_id}, {"recipient": message.to}):
            query = {**criterion, "begin": begin, "ascending": "yes", "limit": str(EVENTS_PER_PAGE)}
            listed = await self._list_events(query)
            about = [item for item in listed if events.is_about(item, str(message.reference), own_id)]
            if about:
                last = about[-1]
                status, code = events.kind_of(last), events.parse(last).error_code
                return LookupResult(
                    found=True, provider_message_id=events.message_id(last), status=status, error_code=code
                )
            if len(listed) >= EVENTS_PER_PAGE:
                raise ProviderUnavailable("More events about one person than a page holds.")
        age = datetime.now(UTC) - since
        if age < LISTED_WITHIN:
            raise ProviderUnavailable("Not listed, or not yet: events may be listed half an hour late.")
        if age > KEPT_FOR:
            raise UnsupportedFeature("Events as old as this one may be kept no longer.")
        return LookupResult(found=False)

    async def _list_events(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        url = self._events_url.copy_merge_params(query)
        response = await exchange(self._http, httpx.Request("GET", url, headers=self._headers))
        answer = _read(response)
        if response.is_success and "items" in answer:
            try:
                return objects(answer["items"], "items")
            except Malformed as error:
                raise ProviderUnavailable(error.detail) from None
        if response.is_success or response.status_code >= 500:  # reading again is always safe
            raise ProviderUnavailable(f"The look-up answered HTTP {response.status_code}.")
        refused = _error(response, answer)
        if isinstance(refused, ProviderMisconfigured):  # a domain sending key may do nothing but send
            raise UnsupportedFeature(
                f"This key may not read events: {refused.detail}", provider_code=refused.provider_code
            )
        raise refused

    def _message_id(self, message: OutboundMessage) -> str:
        return f"{message.reference}@{self._domain}"


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        return mapping(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        return {}


def _error(response: httpx.Response, answer: Mapping[str, Any]) -> SendError:
    words = text(answer.get("message")) or response.text[:200]
    fault = fault_of_answer(response.status_code, words)
    wait = retry_after(response) if response.headers.get("retry-after") else wait_of(words) or retry_after(response)
    detail = words if answer.get("message") else f"HTTP {response.status_code}: {words}"
    return fault.error(detail, code=f"http_{response.status_code}", retry_after=wait)
