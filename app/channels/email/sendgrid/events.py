"""SendGrid's event webhook in our own words.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from typing import Any

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.sendgrid.faults import bounce_of, fault_of_report
from app.channels.webhooks import digest, from_unix, objects, read_json, text, without_empty
from app.domain.status import SuppressionReason
from app.errors import Malformed

EVENT_KINDS = {
    "processed": EventKind.ACCEPTED,
    "delivered": EventKind.DELIVERED,
    "deferred": EventKind.DEFERRED,
    "dropped": EventKind.FAILED,
    "bounce": EventKind.FAILED,
    "open": EventKind.READ,
    "click": EventKind.CLICKED,
    "spamreport": EventKind.COMPLAINED,
    "unsubscribe": EventKind.OPTED_OUT,
    # A no to one topic counts as a no to all of them. A new yes to it (group_resubscribe) is no yes to the others, and
    # could lift an opt-out that the person made elsewhere: it stays UNKNOWN.
    "group_unsubscribe": EventKind.OPTED_OUT,
}
SUPPRESS = {
    EventKind.COMPLAINED: SuppressionReason.COMPLAINT,
    EventKind.OPTED_OUT: SuppressionReason.UNSUBSCRIBE,
}


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """Every event of the batch. Raises Malformed."""
    return [_event(item) for item in _items(request)]


def accounts(request: WebhookRequest) -> list[str]:
    """The channel settings that its events carry, each once. Raises Malformed."""
    return list(dict.fromkeys(name for item in _items(request) if (name := text(item.get("settings_id")))))


def _items(request: WebhookRequest) -> list[dict[str, Any]]:
    body = read_json(request)
    if not isinstance(body, list):
        raise Malformed("The webhook body must be a list of events.")
    return objects(body, "events")


def _event(item: dict[str, Any]) -> WebhookEvent:
    word = text(item.get("event"))
    kind = EVENT_KINDS.get(word, EventKind.UNKNOWN)
    if kind is EventKind.READ and item.get("sg_machine_open") is True:
        kind = EventKind.UNKNOWN  # a mail client fetched the pictures, nobody read; the field's name is UNCONFIRMED
    fault = fault_of_report(item) if kind is EventKind.FAILED else None
    failed = fault is not None or kind is EventKind.DEFERRED
    return WebhookEvent(
        key=text(item.get("sg_event_id")) or f"event:{digest(item)}",
        kind=kind,
        occurred_at=from_unix(item.get("timestamp")),
        reference=text(item.get("message_id")),
        # the first part is the X-Message-Id that answered the send
        provider_message_id=text(item.get("sg_message_id")).partition(".")[0],
        address=text(item.get("email")).strip().lower(),
        error_code=(text(item.get("status")) or text(item.get("type")) or word) if failed else "",
        error_detail=(text(item.get("reason")) or text(item.get("response"))) if failed else "",
        retryable=fault is not None and fault.retryable,
        suppress=(fault.suppress if fault else SUPPRESS.get(kind)) or "",
        data=without_empty(
            event=word,
            account=text(item.get("settings_id")),
            tenant_id=text(item.get("tenant_id")),
            url=text(item.get("url")),
            user_agent=text(item.get("useragent")),
            ip=text(item.get("ip")),
            type=text(item.get("type")),
            bounce=bounce_of(item) if word == "bounce" else "",
            bounce_classification=text(item.get("bounce_classification")),
            group_id=item.get("asm_group_id"),
            machine_open=item.get("sg_machine_open"),
        ),
        raw=item,
    )
