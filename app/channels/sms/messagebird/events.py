"""MessageBird's webhooks in our own words: delivery reports, by GET unless the account says otherwise, and messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.sms.messagebird.faults import fault_of_report
from app.channels.webhooks import digest, e164, mapping, read_form, read_json, read_query, text, without_empty
from app.errors import Malformed

STATUS_KINDS = {
    "scheduled": EventKind.ACCEPTED,
    "buffered": EventKind.DEFERRED,
    "sent": EventKind.SENT,
    "delivered": EventKind.DELIVERED,
    "expired": EventKind.FAILED,
    "delivery_failed": EventKind.FAILED,
}
TEXT = ("body", "message")  # of a message from a person; the second is a short code's
SHORT_CODE_TIME = "%Y%m%d%H%M%S"

Fields = Mapping[str, Any]


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """The one report that a request carries. Raises Malformed."""
    fields = _fields(request)
    if not fields:
        raise Malformed("The webhook has no fields.")
    if _is_said(fields):
        return [_inbound(fields)]
    if text(fields.get("status")):
        return [_report(fields)]
    return [_other(fields)]


def accounts(request: WebhookRequest) -> list[str]:
    """The sender that it names: the originator of a message we sent, the recipient of one that came in."""
    account = _account(_fields(request))
    return [account] if account else []


def error_code(value: Any) -> int | None:
    """A code as a number; a report has it as text."""
    digits = text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _fields(request: WebhookRequest) -> Fields:
    if not request.body:
        return read_query(request)
    if not request.headers.get("content-type", "").startswith("application/json"):
        return read_form(request)
    body = read_json(request)
    if not isinstance(body, dict):
        raise Malformed("The webhook body must be an object.")
    return body


def _is_said(fields: Fields) -> bool:
    """Whether a person wrote it. Reports always have a status of their own."""
    said = any(name in TEXT or name.startswith("mediaUrls") for name in fields)
    return said and text(fields.get("status")) in ("", "received")


def _account(fields: Fields) -> str:
    names = ("recipient", "shortcode") if _is_said(fields) else ("originator",)
    return next((named for name in names if (named := text(fields.get(name)).removeprefix("+"))), "")


def _report(fields: Fields) -> WebhookEvent:
    message_id, reference = text(fields.get("id")), text(fields.get("reference"))
    recipient, status = text(fields.get("recipient")), text(fields.get("status"))
    if not message_id and not reference:
        raise Malformed("id is missing from the report.")
    kind = STATUS_KINDS.get(status, EventKind.UNKNOWN)
    code, reason = error_code(fields.get("statusErrorCode")), text(fields.get("statusReason"))
    fault = fault_of_report(code, reason) if kind is EventKind.FAILED else None
    return WebhookEvent(
        key=f"{message_id or reference}:{recipient}:{status}",
        kind=kind,
        occurred_at=_instant(text(fields.get("statusDatetime"))),
        reference=reference,
        provider_message_id=message_id,
        address=e164(recipient),
        error_code=(str(code) if code else reason or status) if fault else "",
        error_detail=reason if fault else "",
        retryable=fault is not None and fault.retryable,
        suppress=fault.suppress if fault and fault.suppress else "",
        data=_facts(fields, parts=text(fields.get("messagePartCount")), operator=text(fields.get("mccmnc"))),
        raw=fields,
    )


def _inbound(fields: Fields) -> WebhookEvent:
    sender, media = text(fields.get("originator")), _media(fields)
    return WebhookEvent(
        key=text(fields.get("id")) or text(fields.get("mid")) or f"said:{digest(fields)}",
        kind=EventKind.INBOUND,
        occurred_at=_instant(text(fields.get("createdDatetime")) or text(fields.get("receive_datetime"))),
        provider_message_id=text(fields.get("id")) or text(fields.get("mid")),
        address=e164(sender) or sender,  # a short code or a sender name stays what it is
        message_type="media" if media else "text",
        text=next((said for name in TEXT if (said := text(fields.get(name)))), ""),
        data=_facts(fields, media=media, sent_to=e164(fields.get("recipient"))),
        raw=fields,
    )


def _media(fields: Fields) -> list[dict[str, str]]:
    """A list in JSON; in a form one field, or several with an index."""
    given = [value for name, value in fields.items() if name.startswith("mediaUrls")]
    listed = [one for value in given for one in (value if isinstance(value, list) else [value])]
    return [{"url": address, "content_type": ""} for one in listed if (address := text(one))]


def _other(fields: Fields) -> WebhookEvent:
    return WebhookEvent(
        key=f"other:{digest(fields)}",
        kind=EventKind.UNKNOWN,
        occurred_at=datetime.now(UTC),
        data=_facts(fields),
        raw=mapping(fields),
    )


def _facts(fields: Fields, **facts: Any) -> Mapping[str, Any]:
    return without_empty(account=_account(fields), **facts)


def _instant(value: str) -> datetime:
    """An RFC 3339 time, or a short code's, which has no zone; now, when it cannot be read."""
    try:
        if value.isascii() and value.isdigit():
            return datetime.strptime(value, SHORT_CODE_TIME).replace(tzinfo=UTC)
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)
