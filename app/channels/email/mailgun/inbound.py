"""People's e-mails, as a route of Mailgun's posts them: a form, signed like an event.

https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.mailboxes import mailbox
from app.channels.email.mailgun import events
from app.channels.email.replies import decoded, is_automatic, message_ids, reply_text
from app.channels.multipart import is_multipart, read_parts
from app.channels.webhooks import UNSTORABLE, digest, from_unix, read_form, text, without_empty
from app.errors import Malformed

FORM = "application/x-www-form-urlencoded"
Pairs = list[tuple[str, str]]


def is_form(request: WebhookRequest) -> bool:
    return is_multipart(request) or request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def fields_of(request: WebhookRequest) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The fields, the first of each name, and what is known of the files, which are not kept. Raises Malformed."""
    if not is_multipart(request):
        return read_form(request), []
    fields: dict[str, str] = {}
    files: list[dict[str, Any]] = []
    for part in read_parts(request):
        if part.filename is None:
            fields.setdefault(_storable(part.name), _storable(part.content.decode("utf-8", "replace")))
        else:
            size = len(part.content)
            files.append({"name": _storable(part.filename), "type": part.content_type, "size": size})
    return fields, files


def parse(fields: Mapping[str, str], files: Sequence[Mapping[str, Any]], domain: str) -> WebhookEvent:
    """What the person wrote. What a program wrote is kept, but is nobody's answer. Raises Malformed."""
    headers = _headers(fields.get("message-headers", ""))
    subject = _storable(decoded(fields.get("subject", "")))
    name, address = mailbox(fields.get("from", ""))
    address = address or fields.get("sender", "").strip().lower()
    if not address:
        raise Malformed("from and sender are missing from the form.")
    automatic = is_automatic([*headers, ("Subject", subject)])
    own_id = next((value.strip() for header, value in headers if header.lower() == "message-id"), "")
    written = reply_text(
        fields.get("stripped-text") or fields.get("body-plain", ""),
        fields.get("stripped-html") or fields.get("body-html", ""),
    )
    return WebhookEvent(
        key=_key(address, own_id) or f"token:{fields.get('token', '')}",
        kind=EventKind.UNKNOWN if automatic else EventKind.INBOUND,
        occurred_at=from_unix(fields.get("timestamp")),
        provider_message_id="" if automatic else own_id.strip("<>"),
        address=address,
        message_type="" if automatic else "text",
        text="" if automatic else _storable(written) or subject,
        profile_name=_storable(name),
        context_id="" if automatic else _answered(headers, domain),
        data=without_empty(
            event="inbound",
            automatic=automatic or None,
            subject=subject,
            sent_to=fields.get("recipient"),
            sender=fields.get("sender"),
            attachments=list(files),
        ),
        raw=dict(fields),
    )


def parse_stored(item: dict[str, Any]) -> WebhookEvent:
    """An event about a mail that a route stored: it has no body, so the subject stands for it."""
    headers = events.headers(item)
    name, address = mailbox(text(headers.get("from")))
    subject, own_id = _storable(decoded(text(headers.get("subject")))), events.message_id(item)
    automatic = is_automatic([("Subject", subject)])
    event = events.parse(item)
    return WebhookEvent(
        key=_key(address, own_id) or event.key,
        kind=EventKind.UNKNOWN if automatic else EventKind.INBOUND,
        occurred_at=event.occurred_at,
        provider_message_id="" if automatic else own_id,
        address=address,
        message_type="" if automatic else "text",
        text="" if automatic else subject,
        profile_name=_storable(name),
        data=without_empty(
            event=events.STORED, automatic=automatic or None, subject=subject, account=events.account(item)
        ),
        raw=item,
    )


def _key(address: str, own_id: str) -> str:
    """The same for a route that forwards a mail and the event that says it was stored."""
    return f"inbound:{digest(address, own_id.strip('<>'))}" if own_id else ""


def _answered(headers: Pairs, domain: str) -> str:
    """The message of ours that it answers: ids of our domain are ours, given by us or by Mailgun."""
    return next((id for id in message_ids(headers) if id.lower().endswith(f"@{domain.lower()}")), "")


def _headers(value: str) -> Pairs:
    """`message-headers`, a JSON list of pairs."""
    try:
        listed = orjson.loads(value) if value else []
    except orjson.JSONDecodeError:
        return []
    pairs = [item for item in listed if isinstance(item, list) and len(item) == 2] if isinstance(listed, list) else []
    return [(_storable(text(name)), _storable(text(value))) for name, value in pairs]


def _storable(value: str) -> str:
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
