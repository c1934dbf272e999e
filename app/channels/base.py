"""The port every provider adapter implements, and the types that cross it.

An adapter is a thin translation with both directions in one class. It never touches the database; it gets its
credentials and the process's one HTTP client when it is built for a channel setting.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable
from uuid import UUID

import httpx

from app.domain.status import Channel, MessageType, Purpose
from app.errors import SendError, UnsupportedFeature


class Feature(StrEnum):
    TEMPLATE = "template"
    MEDIA = "media"
    LOCATION = "location"
    AUDIO = "audio"
    BUTTONS = "buttons"
    INBOUND = "inbound"
    DELIVERY_REPORTS = "delivery_reports"  # of every message, whether it arrived
    READ_RECEIPTS = "read_receipts"
    LOOKUP = "lookup"  # an unknown send can be looked up
    IDEMPOTENCY_KEY = "idempotency_key"  # an unknown send is settled by the same request with the same key
    BATCH = "batch"  # one request carries several messages


class EventKind(StrEnum):
    """What a provider reports, in our own words."""

    ACCEPTED = "accepted"  # queued or processed by the provider: proof of acceptance
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    FAILED = "failed"
    DEFERRED = "deferred"  # the provider keeps trying
    INBOUND = "inbound"
    OPTED_OUT = "opted_out"
    OPTED_IN = "opted_in"
    COMPLAINED = "complained"
    TEMPLATE_STATUS = "template_status"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundMessage:
    """One message, rendered and ready to leave.

    `reference` is our message id and comes back in webhooks. `content` depends on the channel:
    WhatsApp text `{"body", "preview_url"?}`; with one of `"buttons": [{"id", "title"}, …]`, `"cta_url": {"title",
    "url"}` and `"list": {"button", "sections": [{"title"?, "rows": [{"id", "title", "description"?}]}]}`, and with
    `"header"?` and `"footer"?`, it leaves as an interactive message (app.domain.interactive has the limits);
    WhatsApp template `{"name", "language", "components": [...]}` (the Cloud API's own component objects);
    WhatsApp media `{"kind": image|video|document|audio|sticker, "link"|"id", "caption"?, "filename"?}`;
    WhatsApp location `{"latitude", "longitude", "name"?, "address"?}`;
    SMS `{"body", "media_urls"?: [...]}`; email `{"subject", "text", "html"?, "headers"?: {...}}`.
    """

    reference: UUID
    tenant_id: UUID
    settings_id: UUID
    channel: Channel
    type: MessageType
    to: str
    to_name: str = ""
    purpose: Purpose = Purpose.MARKETING
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The provider accepted the message; `provider_message_id` may be empty where it gives none."""

    provider_message_id: str
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookRequest:
    """What a provider posted. `url` is the public address it was configured with, query included; header names are
    lower-case; `body` is the raw bytes that the signature covers."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookEvent:
    """One report of a provider. `key` is unique per report within its channel setting and the same on redelivery."""

    key: str
    kind: EventKind
    occurred_at: datetime
    reference: str = ""  # our message id, where the provider echoes it
    provider_message_id: str = ""
    address: str = ""  # the person's address: E.164 with +, or a lower-case e-mail address
    error_code: str = ""
    error_detail: str = ""
    retryable: bool = False  # for FAILED: the same message may be tried again later
    suppress: str = ""  # a SuppressionReason, when this report means: do not use the address again
    message_type: str = ""  # for INBOUND: text, media, location, audio, button, interactive, reaction, unknown …
    text: str = ""  # for INBOUND: what the person wrote or pressed
    profile_name: str = ""
    context_id: str = ""  # for INBOUND: the provider id of the message it answers
    data: Mapping[str, Any] = field(default_factory=dict)  # further facts of this kind (media ids, coordinates, url …)
    raw: Mapping[str, Any] = field(default_factory=dict)  # the provider's own object, whole


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupResult:
    """What a status look-up found for an unknown send. `found` false means the provider never accepted it."""

    found: bool
    provider_message_id: str = ""
    status: EventKind = EventKind.ACCEPTED
    error_code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterContext:
    """What the operator, not the tenant, decides: where the provider's API is and where its webhooks come back."""

    base_url: str
    public_url: str
    settings_id: UUID
    http: httpx.AsyncClient
    api_version: str = ""


class Adapter(Protocol):
    """Built as `AdapterClass(credentials, context)`; `credentials` were checked by `check_credentials`."""

    provider: ClassVar[str]
    channel: ClassVar[Channel]
    features: ClassVar[frozenset[Feature]]
    required_credentials: ClassVar[frozenset[str]]
    optional_credentials: ClassVar[frozenset[str]]
    secret_credentials: ClassVar[frozenset[str]]  # masked in every answer
    default_messages_per_second: ClassVar[float | None]
    # the provider's limit of a pair: the least time between two messages from one sender to one recipient
    recipient_interval: ClassVar[timedelta | None]
    # with Feature.IDEMPOTENCY_KEY: for how long the same request with the same reference is no second message
    idempotency_key_lifetime: ClassVar[timedelta | None]
    most_per_request: ClassVar[int]  # messages; more than 1 with Feature.BATCH only

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None: ...

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        """What is wrong with them, a sentence each naming the field; empty when nothing is."""
        ...

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        """The account or number that this provider's webhooks name, to find the setting when the URL has no id."""
        ...

    @classmethod
    def account_hints(cls, request: "WebhookRequest") -> list[str]:
        """The accounts that an (unverified) webhook names. Raises Malformed when the body cannot be read."""
        ...

    async def send(self, message: OutboundMessage) -> Receipt:
        """Hand the message to the provider. Raises a SendError (app.errors) of the right branch otherwise."""
        ...

    async def send_batch(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        """Hand over up to `most_per_request` messages in one request; one answer for each, in their order.

        Only with Feature.BATCH. Raises a SendError that is the answer to every one of them."""
        ...

    def verify(self, request: WebhookRequest) -> None:
        """Raise InvalidSignature unless the raw body was signed by the provider."""
        ...

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        """Every report in the request; unknown kinds as UNKNOWN. Raises Malformed when it cannot be read."""
        ...

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        """Find out whether an unknown send was accepted. Only with Feature.LOOKUP. The provider's ids in `known` are
        those of other messages."""
        ...


@runtime_checkable
class HasInboundAddress(Protocol):
    """An adapter whose provider posts what people write to an address of its own, not to that of its reports."""

    @classmethod
    def inbound_url(cls, credentials: Mapping[str, str], settings_id: UUID, webhook_url: str) -> str: ...


class OneByOne:
    """For an adapter whose provider takes one message a request."""

    most_per_request: ClassVar[int] = 1

    async def send_batch(self, messages: Sequence[OutboundMessage]) -> Sequence[Receipt | SendError]:
        raise UnsupportedFeature("This provider takes one message a request.")


def missing_credentials(required: Sequence[str] | frozenset[str], credentials: Mapping[str, str]) -> list[str]:
    return [f"credentials.{name} is missing" for name in sorted(required) if not credentials.get(name)]
