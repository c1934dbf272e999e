"""Twilio's webhooks in our own words: status callbacks and inbound messages, both forms."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.sms.twilio.faults import fault_of_report
from app.channels.webhooks import digest, mapping, read_form, read_json, text, without_empty
from app.domain.status import SuppressionReason
from app.errors import Malformed

STATUS_KINDS = {
    "accepted": EventKind.ACCEPTED,
    "scheduled": EventKind.ACCEPTED,
    "queued": EventKind.ACCEPTED,
    "sending": EventKind.ACCEPTED,
    "sent": EventKind.SENT,
    "partially_delivered": EventKind.SENT,
    "delivered": EventKind.DELIVERED,
    "read": EventKind.READ,
    "undelivered": EventKind.FAILED,
    "failed": EventKind.FAILED,
    "canceled": EventKind.FAILED,
}
INBOUND_STATUSES = frozenset({"received", "receiving"})
# Twilio's default handling, of all but standalone short codes: to these it replies by itself
OWN_REPLIES = frozenset(
    "STOP STOPALL UNSUBSCRIBE CANCEL END QUIT REVOKE OPTOUT START YES UNSTOP HELP INFO".split(),
)
LONGEST_SHORT_CODE = 6
OPT_KINDS = {"STOP": EventKind.OPTED_OUT, "START": EventKind.OPTED_IN}

Fields = Mapping[str, str]


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """The one report that a request carries. Raises Malformed."""
    if _is_json(request):
        return [_other(request)]
    fields = _form(request)
    message_id = fields.get("MessageSid") or fields.get("SmsSid")
    if not message_id:
        raise Malformed("MessageSid is missing from the form.")
    status = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
    if status in INBOUND_STATUSES or (not status and "Body" in fields):
        return [_inbound(message_id, fields)]
    return [_status(message_id, status, fields, request.query.get("ref", ""))]


def accounts(request: WebhookRequest) -> list[str]:
    """The account it names. Raises Malformed."""
    account = text(mapping(read_json(request)).get("AccountSid")) if _is_json(request) else None
    if account is None:
        account = _form(request).get("AccountSid", "")
    return [account] if account else []


def _is_json(request: WebhookRequest) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")


def _form(request: WebhookRequest) -> Fields:
    """The form fields; a webhook configured as GET has them in its query."""
    return request.query if request.method == "GET" else read_form(request)


def _status(message_id: str, status: str, fields: Fields, reference: str) -> WebhookEvent:
    kind = STATUS_KINDS.get(status, EventKind.UNKNOWN)
    code = fields.get("ErrorCode", "")
    fault = fault_of_report(int(code) if _is_code(code) else None) if kind is EventKind.FAILED else None
    canceled = status == "canceled"  # by ourselves: not to be sent again
    return WebhookEvent(
        key=f"{message_id}:{status}",
        kind=kind,
        occurred_at=datetime.now(UTC),  # a callback carries no time but the carrier's, without seconds or zone
        reference=reference,
        provider_message_id=message_id,
        address=_address(fields.get("To", "")),
        error_code=code or (status if kind is EventKind.FAILED else ""),
        error_detail=fields.get("ErrorMessage", ""),
        retryable=fault is not None and fault.retryable and not canceled,
        suppress=fault.suppress if fault and fault.suppress else "",
        data=_facts(fields, carrier_time=fields.get("RawDlrDoneDate")),
        raw=fields,
    )


def _is_code(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10


def _inbound(message_id: str, fields: Fields) -> WebhookEvent:
    kind = OPT_KINDS.get(fields.get("OptOutType", "").upper(), EventKind.INBOUND)
    media = _media(fields)
    spoken = any(item["content_type"].startswith("audio/") for item in media)
    return WebhookEvent(
        key=message_id,
        kind=kind,
        occurred_at=datetime.now(UTC),
        provider_message_id=message_id,
        address=_address(fields.get("From", "")),
        suppress=SuppressionReason.STOP if kind is EventKind.OPTED_OUT else "",
        message_type=("audio" if spoken else "media") if media else "text",
        text=fields.get("Body", ""),
        profile_name=fields.get("ProfileName", ""),
        data=_facts(
            fields,
            media=media,
            sent_to=fields.get("To"),
            country=fields.get("FromCountry"),
            opt_out_type=fields.get("OptOutType", "").upper(),
            answered=_is_answered(fields) or None,
        ),
        raw=fields,
    )


def _is_answered(fields: Fields) -> bool:
    """Whether Twilio has replied to the keyword: `OptOutType` comes with Advanced Opt-Out, which always does."""
    if fields.get("OptOutType"):
        return True
    number = fields.get("To", "").lstrip("+")
    return fields.get("Body", "").strip().upper() in OWN_REPLIES and len(number) > LONGEST_SHORT_CODE


def _media(fields: Fields) -> list[dict[str, str]]:
    count = fields.get("NumMedia", "")
    numbers = range(min(int(count), 100) if _is_code(count) else 0)
    return [
        {"url": fields[f"MediaUrl{number}"], "content_type": fields.get(f"MediaContentType{number}", "")}
        for number in numbers
        if f"MediaUrl{number}" in fields
    ]


def _other(request: WebhookRequest) -> WebhookEvent:
    """Twilio's JSON webhooks report nothing about messages."""
    body = read_json(request)
    return WebhookEvent(
        key=f"json:{digest(body)}",
        kind=EventKind.UNKNOWN,
        occurred_at=datetime.now(UTC),
        data=without_empty(account=text(mapping(body).get("AccountSid"))),
        raw=body if isinstance(body, dict) else {"body": body},
    )


def _address(value: str) -> str:
    """Twilio gives E.164; a short code or a sender name stays what it is."""
    return value.strip()


def _facts(fields: Fields, **facts: Any) -> Mapping[str, Any]:
    return without_empty(account=fields.get("AccountSid"), messaging_service=fields.get("MessagingServiceSid"), **facts)
