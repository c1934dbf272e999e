"""The way of one webhook from raw bytes to committed rows."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, runtime_checkable
from uuid import UUID

import orjson
from loguru import logger
from sqlalchemy.exc import SQLAlchemyError

from app import ids
from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.provider_templates import ListsTemplates
from app.channels.registry import ADAPTERS
from app.db import Sessions
from app.domain.status import Channel
from app.errors import InvalidSignature, Malformed, NotFound, PermissionDenied
from app.services.senders import Senders
from app.services.webhooks.directory import Directory, Route
from app.services.webhooks.writer import GroupWriter, NotStored, Told

Read = tuple[Sequence[WebhookEvent], Sequence[bytes]]  # the reports of a request, and the rows that keep them
MAIL_TYPES = frozenset({"multipart/form-data", "message/rfc822"})
# What is stored of an event besides its kind, its time and the provider's own object.
FIELDS = (
    "key",
    "reference",
    "provider_message_id",
    "address",
    "error_code",
    "error_detail",
    "retryable",
    "suppress",
    "message_type",
    "text",
    "profile_name",
    "context_id",
    "data",
)


@runtime_checkable
class AnswersChallenges(Protocol):
    def answer_challenge(self, query: Mapping[str, str]) -> str: ...


class WebhookIntake:
    """One per process, opened with `async with`. Nothing of a request is kept before its signature is verified."""

    def __init__(self, sessions: Sessions, senders: Senders) -> None:
        self.public_url, self.most_bytes = senders.settings.public_url, senders.settings.max_webhook_bytes
        self._most_mail_bytes = senders.settings.max_mail_bytes
        self._directory = Directory(sessions, senders)
        self._writer = GroupWriter(sessions)

    async def __aenter__(self) -> "WebhookIntake":
        await self._writer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.__aexit__(kind, error, trace)

    async def most_bytes_of(self, channel: Channel, settings_id: UUID | None, content_type: str) -> int:
        """How long a webhook may be. What people write comes with their photographs; so much is taken in only for a
        setting that there is, whose id strangers cannot guess. Raises NotFound or NotStored."""
        kind = content_type.partition(";")[0].strip().lower()
        if channel is not Channel.EMAIL or settings_id is None or kind not in MAIL_TYPES:
            return self.most_bytes
        try:
            await self._addressed(channel, settings_id)
        except (SQLAlchemyError, OSError) as error:
            raise NotStored("The webhook's sender could not be looked up: deliver it again.") from error
        return max(self.most_bytes, self._most_mail_bytes)

    async def receive(
        self, channel: Channel, settings_id: UUID | None, request: WebhookRequest
    ) -> Sequence[WebhookEvent]:
        """Verify and store; the events, once they are committed.

        Raises NotFound for an unknown setting, InvalidSignature, Malformed, or NotStored when the provider has to
        deliver it again.
        """
        read = self.read_at_once(channel, settings_id, request) if settings_id else None
        events, rows = read or await self._read(channel, settings_id, request)
        await self._writer.write(rows)
        return events

    def read_at_once(self, channel: Channel, settings_id: UUID, request: WebhookRequest) -> Read | None:
        """Verify and read without a look-up: for a sender that is known by now, and reports about nobody else. None
        when it takes more than that. Raises InvalidSignature or Malformed.
        """
        route = self._directory.known(channel, settings_id)
        if route is None:
            return None
        route.sender.adapter.verify(request)
        events = route.sender.adapter.parse(request)
        if any((account := _account(event)) and account not in route.names for event in events):
            return None
        return events, [_row(route, event, event.kind) for event in events]

    def store(self, rows: Sequence[bytes], told: Told) -> None:
        """Have them stored; `told` is called once they are committed, or with the error that `receive` would raise."""
        self._writer.put(rows, told)

    async def _read(self, channel: Channel, settings_id: UUID | None, request: WebhookRequest) -> Read:
        try:
            routes = await self._routes(channel, settings_id, request)
            events = routes[0].sender.adapter.parse(request)
            rows = [row for event in events for row in await self._rows(channel, routes, event, request)]
        except (SQLAlchemyError, OSError) as error:
            logger.error("a webhook's sender could not be looked up: {!r}", error)
            raise NotStored("The webhook could not be stored: deliver it again.") from error
        return events, rows

    async def answer_challenge(self, channel: Channel, settings_id: UUID | None, query: Mapping[str, str]) -> str:
        """What to answer a provider's subscription handshake. Raises NotFound or PermissionDenied."""
        routes = await self._directory.of_channel(channel) if settings_id is None else []
        if settings_id is not None:
            routes = [await self._addressed(channel, settings_id)]
        for route in routes:
            adapter = route.sender.adapter
            try:
                if isinstance(adapter, AnswersChallenges):
                    return adapter.answer_challenge(query)
            except PermissionDenied:
                continue
        raise PermissionDenied("hub.verify_token is not the one of this channel.")

    async def _addressed(self, channel: Channel, settings_id: UUID) -> Route:
        route = await self._directory.by_id(channel, settings_id)
        if route is None:
            raise NotFound(f"There is no {channel} channel setting {settings_id}.")
        return route

    async def _routes(self, channel: Channel, settings_id: UUID | None, request: WebhookRequest) -> list[Route]:
        """The senders that signed the request, the addressed one first. Raises InvalidSignature when there is none."""
        if settings_id is not None:
            route = await self._addressed(channel, settings_id)
            route.sender.adapter.verify(request)
            return [route]
        named = _accounts(channel, request)
        signed = [
            route
            for account in named
            for route in await self._directory.by_account(channel, account)
            if _is_signed(route, request)
        ]
        if not signed and named:  # news of templates name the business account, and none of its senders
            owners = [route for route in await self._directory.of_channel(channel) if _business(route) in named]
            signed = [route for route in owners if _is_signed(route, request)]
        if not signed:
            raise InvalidSignature("No channel setting has this account and signature.")
        return signed

    async def _rows(
        self, channel: Channel, routes: Sequence[Route], event: WebhookEvent, request: WebhookRequest
    ) -> list[bytes]:
        """The event as rows: for its sender, or for each tenant's when the request addressed none."""
        account = _account(event)
        if not account:
            owners = _one_per_tenant(routes) if "business_account" in event.data else routes[:1]
            return [_row(route, event, event.kind) for route in owners]
        owners = [route for route in routes if account in route.names]
        if not owners:
            owners = [
                route for route in await self._directory.by_account(channel, account) if _is_signed(route, request)
            ]
        if owners:
            return [_row(route, event, event.kind) for route in owners]
        if channel is not Channel.WHATSAPP:
            return [_row(routes[0], event, event.kind)]
        logger.warning("a webhook for {} names the unknown account {}", routes[0].sender.settings_id, account)
        return [_row(routes[0], event, EventKind.UNKNOWN)]


def _account(event: WebhookEvent) -> str:
    """Whose report it is; empty when it says nothing, or names the whole business account and no sender of it."""
    account = str(event.data.get("account", ""))
    return "" if account == event.data.get("business_account") else account


def _one_per_tenant(routes: Sequence[Route]) -> list[Route]:
    first: dict[UUID, Route] = {}
    for route in routes:
        first.setdefault(route.sender.tenant_id, route)
    return list(first.values())


def _business(route: Route) -> str | None:
    adapter = route.sender.adapter
    return adapter.business_account if isinstance(adapter, ListsTemplates) else None


def _accounts(channel: Channel, request: WebhookRequest) -> list[str]:
    """The accounts the request names, read by every provider's adapter of the channel. It is not verified yet."""
    named: list[str] = []
    for (served, _), adapter in ADAPTERS.items():
        if served is channel:
            try:
                named += adapter.account_hints(request)
            except Malformed:
                continue  # another provider's format, or a forgery: without a known account it is refused
    return list(dict.fromkeys(named))


def _is_signed(route: Route, request: WebhookRequest) -> bool:
    try:
        route.sender.adapter.verify(request)
    except InvalidSignature:
        return False
    return True


def _row(route: Route, event: WebhookEvent, kind: EventKind) -> bytes:
    """The columns as JSON. Raises Malformed for what JSON cannot hold, such as a number beyond 64 bits."""
    sender = route.sender
    values = ((name, getattr(event, name)) for name in FIELDS)
    try:
        return orjson.dumps(
            {
                "id": ids.webhook_event_id(sender.settings_id, event.key),
                "tenant_id": sender.tenant_id,
                "settings_id": sender.settings_id,
                "channel": sender.channel,
                "provider": sender.provider,
                "kind": kind,
                "event": {name: value for name, value in values if value},
                "payload": event.raw,
                "occurred_at": event.occurred_at,
            }
        )
    except (TypeError, UnicodeError) as error:
        raise Malformed(f"The webhook holds a value that cannot be stored: {error}") from None
