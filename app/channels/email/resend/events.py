"""Resend's webhooks in our own words: one event a request.

https://resend.com/docs/webhooks/event-types
"""

from datetime import UTC, datetime
from typing import Any

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.mailboxes import mailbox
from app.channels.email.replies import is_automatic
from app.channels.email.resend import signature
from app.channels.email.resend.faults import fault_of_report, is_soft_bounce
from app.channels.webhooks import digest, mapping, read_json, text, without_empty
from app.domain.status import SuppressionReason
from app.errors import Malformed

EVENT_KINDS = {
    "email.scheduled": EventKind.ACCEPTED,
    "email.sent": EventKind.SENT,
    "email.delivered": EventKind.DELIVERED,
    "email.delivery_delayed": EventKind.DEFERRED,
    "email.bounced": EventKind.FAILED,
    "email.failed": EventKind.FAILED,
    "email.suppressed": EventKind.FAILED,
    "email.complained": EventKind.COMPLAINED,
    "email.opened": EventKind.READ,
    "email.clicked": EventKind.CLICKED,
    "email.received": EventKind.INBOUND,
}


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """The event. Raises Malformed."""
    item = _item(request)
    word, data = text(item.get("type")), mapping(item.get("data"))
    kind = EVENT_KINDS.get(word, EventKind.UNKNOWN)
    if kind is EventKind.INBOUND:
        return [_inbound(request, item, data)]
    tags, click = _tags(data), mapping(data.get("click"))
    fault = fault_of_report(word, data) if kind is EventKind.FAILED else None
    code, detail = _failure(word, data) if fault is not None or kind is EventKind.DEFERRED else ("", "")
    suppress = fault.suppress if fault else (SuppressionReason.COMPLAINT if kind is EventKind.COMPLAINED else None)
    return [
        WebhookEvent(
            key=_key(request, item),
            kind=kind,
            occurred_at=_when(click.get("timestamp") or item.get("created_at")),
            reference=text(tags.get("message_id")),
            provider_message_id=text(data.get("email_id")),
            address=_address(data.get("to")),
            error_code=code,
            error_detail=detail,
            retryable=fault is not None and fault.retryable,
            suppress=suppress or "",
            data=without_empty(
                event=word,
                bounce="soft" if word == "email.bounced" and is_soft_bounce(data) else "",
                account=text(tags.get("settings_id")),
                tenant_id=text(tags.get("tenant_id")),
                url=text(click.get("link")),
                user_agent=text(click.get("userAgent")),
                ip=text(click.get("ipAddress")),
            ),
            raw=item,
        )
    ]


def accounts(request: WebhookRequest) -> list[str]:
    """The channel setting that the event's tags name, if any. Raises Malformed."""
    name = text(_tags(mapping(_item(request).get("data"))).get("settings_id"))
    return [name] if name else []


def _item(request: WebhookRequest) -> dict[str, Any]:
    body = read_json(request)
    if not isinstance(body, dict):
        raise Malformed("The webhook body must be an event.")
    return body


def _inbound(request: WebhookRequest, item: dict[str, Any], data: dict[str, Any]) -> WebhookEvent:
    """The event has no body, so the subject stands for it, and tells most answers of machines."""
    name, address = mailbox(text(data.get("from")))
    automatic = is_automatic([("subject", text(data.get("subject"))), *_headers(data.get("headers"))])
    return WebhookEvent(
        key=_key(request, item),
        kind=EventKind.UNKNOWN if automatic else EventKind.INBOUND,
        occurred_at=_when(item.get("created_at")),
        provider_message_id=text(data.get("email_id")),
        address=address,
        message_type="" if automatic else "text",
        text=text(data.get("subject")),
        profile_name=name,
        data=without_empty(
            event=text(item.get("type")),
            message_id=text(data.get("message_id")),
            automatic=automatic or None,
            attachments=data.get("attachments"),
        ),
        raw=item,
    )


def _tags(data: dict[str, Any]) -> dict[str, Any]:
    return mapping(data.get("tags"))


def _key(request: WebhookRequest, item: dict[str, Any]) -> str:
    return signature.event_id(request) or f"event:{digest(item)}"


def _address(recipients: Any) -> str:
    """Ours have one recipient; of several nobody knows which one the event is about."""
    if not isinstance(recipients, list) or len(recipients) != 1:
        return ""
    return mailbox(text(recipients[0]))[1]


def _headers(listed: Any) -> list[tuple[str, str]]:
    entries = [mapping(entry) for entry in listed] if isinstance(listed, list) else []
    return [(text(entry.get("name")), text(entry.get("value"))) for entry in entries]


def _failure(word: str, data: dict[str, Any]) -> tuple[str, str]:
    """Code and words. The code is the most particular word there is."""
    bounce, suppressed = mapping(data.get("bounce")), mapping(data.get("suppressed"))
    reason = text(mapping(data.get("failed")).get("reason"))
    if bounce:
        code = "/".join(filter(None, (text(bounce.get("type")), text(bounce.get("subType")))))
        return code or word, _words(bounce)
    if suppressed:
        return text(suppressed.get("reason")) or text(suppressed.get("type")) or word, _words(suppressed)
    return reason or word, reason


def _words(told: dict[str, Any]) -> str:
    diagnostics = told.get("diagnosticCode")
    parts = [text(told.get("message")), *map(text, diagnostics if isinstance(diagnostics, list) else [])]
    return " ".join(filter(None, parts))


def _when(value: Any) -> datetime:
    """An ISO 8601 instant, in UTC where it names no zone; now, when it cannot be read."""
    try:
        read = datetime.fromisoformat(text(value))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)
