"""Mailgun's webhooks in our own words: one event a request, as JSON.

https://documentation.mailgun.com/docs/mailgun/user-manual/events/events
"""

from datetime import UTC, datetime
from typing import Any

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.mailboxes import mailbox
from app.channels.email.mailgun.faults import enhanced_code, fault_of_report
from app.channels.faults import TRANSIENT
from app.channels.webhooks import digest, from_unix, mapping, read_json, text, without_empty
from app.domain.status import SuppressionReason
from app.errors import Malformed

EVENT_KINDS = {
    "accepted": EventKind.ACCEPTED,
    "rejected": EventKind.FAILED,
    "delivered": EventKind.DELIVERED,
    "failed": EventKind.FAILED,
    "opened": EventKind.READ,
    "clicked": EventKind.CLICKED,
    "unsubscribed": EventKind.OPTED_OUT,
    "complained": EventKind.COMPLAINED,
}
SUPPRESS = {
    EventKind.COMPLAINED: SuppressionReason.COMPLAINT,
    EventKind.OPTED_OUT: SuppressionReason.UNSUBSCRIBE,
}
STORED = "stored"  # a person's mail, which a route only stored


def read(request: WebhookRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """The signature and the event. Raises Malformed."""
    body = read_json(request)
    if not isinstance(body, dict) or not isinstance(body.get("event-data"), dict):
        raise Malformed("The webhook body must have an event-data object.")
    return mapping(body.get("signature")), body["event-data"]


def parse(item: dict[str, Any]) -> WebhookEvent:
    """The event, which is not about a person's mail."""
    word, kind = text(item.get("event")), kind_of(item)
    status, variables = mapping(item.get("delivery-status")), _variables(item)
    client = mapping(item.get("client-info"))
    fault = fault_of_report(item) if kind is EventKind.FAILED else None
    code, detail = _failure(item, status) if fault is not None or kind is EventKind.DEFERRED else ("", "")
    return WebhookEvent(
        key=_key(item),
        kind=kind,
        occurred_at=from_unix(item.get("timestamp")),
        reference=text(variables.get("message_id")),
        provider_message_id=message_id(item),
        address=_address(item),
        error_code=code,
        error_detail=detail,
        retryable=fault is not None and fault.retryable,
        suppress=(fault.suppress if fault else SUPPRESS.get(kind)) or "",
        data=without_empty(
            event=word,
            account=text(variables.get("settings_id")),
            tenant_id=text(variables.get("tenant_id")),
            severity=text(item.get("severity")),
            reason=text(item.get("reason")),
            bounce=_bounce(item) if fault is TRANSIENT else "",
            retry_seconds=status.get("retry-seconds"),
            url=text(item.get("url")),
            bot=text(client.get("bot")),
            user_agent=text(client.get("user-agent")),
            ip=text(item.get("ip")),
        ),
        raw=item,
    )


def kind_of(item: dict[str, Any]) -> EventKind:
    kind = EVENT_KINDS.get(text(item.get("event")), EventKind.UNKNOWN)
    if mapping(item.get("flags")).get("is-routed") is True:
        return EventKind.UNKNOWN  # a person's mail on its way to us
    if kind is EventKind.FAILED and item.get("severity") == "temporary":
        return EventKind.DEFERRED
    if kind in (EventKind.READ, EventKind.CLICKED) and mapping(item.get("client-info")).get("bot"):
        return EventKind.UNKNOWN  # a program fetched it, nobody read
    return kind


def account(item: dict[str, Any]) -> str:
    """The channel setting that the e-mail was sent through; empty when it is none of ours."""
    return text(_variables(item).get("settings_id"))


def message_id(item: dict[str, Any]) -> str:
    """As it answered the send, without angle brackets."""
    return text(headers(item).get("message-id")).strip().removeprefix("<").removesuffix(">")


def headers(item: dict[str, Any]) -> dict[str, Any]:
    return mapping(mapping(item.get("message")).get("headers"))


def is_about(item: dict[str, Any], reference: str, own_message_id: str) -> bool:
    return text(_variables(item).get("message_id")) == reference or message_id(item) == own_message_id


def _variables(item: dict[str, Any]) -> dict[str, Any]:
    return mapping(item.get("user-variables"))


def _key(item: dict[str, Any]) -> str:
    """An event's id is unique within a day only."""
    id, timestamp = text(item.get("id")), item.get("timestamp")
    try:
        return f"{id}/{datetime.fromtimestamp(float(timestamp), UTC).date()}" if id and timestamp else _digest(item)
    except (TypeError, ValueError, OverflowError, OSError):
        return _digest(item)


def _digest(item: dict[str, Any]) -> str:
    return f"event:{digest(item)}"


def _address(item: dict[str, Any]) -> str:
    """A `rejected` event names the person in the message's headers only."""
    return text(item.get("recipient")).strip().lower() or mailbox(text(headers(item).get("to")))[1]


def _bounce(item: dict[str, Any]) -> str:
    """Of what failed for now: several soft ones end an address, a refusal by policy is no fault of it."""
    return "block" if enhanced_code(mapping(item.get("delivery-status"))).startswith("4.7.") else "soft"


def _failure(item: dict[str, Any], status: dict[str, Any]) -> tuple[str, str]:
    """Code and words. The code is the most particular one there is."""
    reject, reason = mapping(item.get("reject")), text(item.get("reason"))
    if reject:
        return text(reject.get("reason")) or "rejected", text(reject.get("description"))
    words = text(status.get("message")) or text(status.get("description")) or reason
    return enhanced_code(status) or text(status.get("code")) or reason or "failed", words
