"""SendGrid's Inbound Parse: what people write to us, as a form with files.

https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.email.mailboxes import mailbox
from app.channels.email.replies import is_automatic, message_ids, read_headers, reply_text
from app.channels.email.smtp import incoming
from app.channels.multipart import Part, read_parts
from app.channels.webhooks import UNSTORABLE, digest, mapping, same, text, without_empty
from app.errors import InvalidSignature, Malformed

TOKEN = "token"
RAW = "email"  # the whole mail, where the setting's `send_raw` is on
CHOSEN_TOKEN = re.compile(r"[A-Za-z0-9_\-]{20,100}")
MOST_CHARACTERS = 100_000  # of a field; the rest of a longer one is left out
# The person's mail program names the charset: only these, for some of Python's codecs are slow or no charsets
CHARSET = re.compile(
    r"utf-?8|us-ascii|iso-?8859-?\d{1,2}|windows-?\d{3,4}|cp\d{3,4}|koi8-[ru]|gb(?:2312|k|18030)|big5|shift[_-]jis"
    r"|euc-(?:jp|kr)|iso-2022-(?:jp|kr)",
    re.IGNORECASE,
)


def token_of(credentials: Mapping[str, str], settings_id: UUID) -> str:
    """What makes the inbound address a secret: nothing else protects it, as SendGrid signs these posts only with a
    security policy, whose header names are not documented."""
    chosen = credentials.get("inbound_token")
    return (
        chosen or hmac.digest(credentials["api_key"].encode(), f"inbound {settings_id}".encode(), "sha256").hex()[:40]
    )


def verify(token: str, request: WebhookRequest) -> None:
    """Raises InvalidSignature unless it came to the secret address."""
    if not same(request.query.get(TOKEN, ""), token):
        raise InvalidSignature("The token is not the one of the setting's inbound_url.")


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """The mail. Raises Malformed."""
    parts = read_parts(request)
    fields = _fields(parts)
    if "from" not in fields and "envelope" not in fields:
        raise Malformed("The form has neither `from` nor `envelope`: it is no inbound mail.")
    headers = read_headers(fields.get("headers", ""))
    envelope = _json_object(fields.get("envelope", ""))
    listed = envelope.get("to")
    recipients = [_storable(text(to)) for to in listed] if isinstance(listed, list) else []
    name, address = mailbox(fields.get("from", ""))
    plain, html, attachments = _contents(parts, fields)
    written = reply_text(plain, html)
    subject = " ".join(fields.get("subject", "").split())
    message_id = next((value for header, value in headers if header.lower() == "message-id"), "")
    # an empty sender is a mail server's: nobody is to answer it
    automatic = envelope.get("from") == "" or is_automatic(headers)
    identity = message_id or [fields.get("headers", ""), subject, written]
    return [
        WebhookEvent(
            key=f"inbound:{digest(identity, fields.get('from', ''), recipients)}",
            kind=EventKind.UNKNOWN if automatic else EventKind.INBOUND,
            occurred_at=datetime.now(UTC),
            address=address,
            message_type="" if automatic else "text",
            text=written or subject,
            profile_name=name,
            context_id=_answered(message_ids(headers)),
            data=without_empty(
                event="inbound",
                subject=subject,
                message_id=message_id,
                to=recipients,
                automatic=automatic or None,
                attachments=attachments,
                spam_score=_number(fields.get("spam_score", "")),
                spf=fields.get("SPF"),
                dkim=fields.get("dkim"),
            ),
            raw={**fields, "files": attachments},
        )
    ]


def _contents(parts: Sequence[Part], fields: Mapping[str, str]) -> tuple[str, str, Sequence[Mapping[str, Any]]]:
    """Text, HTML and what is known of the files, which are not kept; of a whole mail where that is posted."""
    whole = next((part.content for part in parts if part.name == RAW), None)
    if whole is not None:
        mail = incoming.read(whole)
        return *incoming.plain_and_html(mail), incoming.attachments(mail)
    files = [
        {"name": _storable(part.filename), "type": _storable(part.content_type), "size": len(part.content)}
        for part in parts
        if part.filename is not None
    ]
    return fields.get("text", ""), fields.get("html", ""), files


def _answered(ids: Sequence[str]) -> str:
    """Our mail that it answers. SendGrid makes the Message-ID of the id that answered the send, and its own
    host: UNCONFIRMED."""
    return next((local for id in ids if (local := id.partition("@")[0])), "")


def _fields(parts: Sequence[Part]) -> dict[str, str]:
    """Everything but files and a whole mail, each field in its own charset."""
    plain = {part.name: part.content for part in reversed(parts) if part.filename is None and part.name != RAW}
    charsets = _json_object(plain.get("charsets", b""))
    return {name: _decoded(content, text(charsets.get(name))) for name, content in reversed(plain.items())}


def _decoded(content: bytes, charset: str) -> str:
    codec = charset if CHARSET.fullmatch(charset) else "utf-8"
    try:
        value = content[: 4 * MOST_CHARACTERS].decode(codec, "replace")
    except LookupError:  # a code page that does not exist
        value = content[: 4 * MOST_CHARACTERS].decode("utf-8", "replace")
    return _storable(value[:MOST_CHARACTERS])


def _storable(value: str) -> str:
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def _json_object(value: str | bytes) -> dict[str, Any]:
    try:
        return mapping(orjson.loads(value))
    except orjson.JSONDecodeError:
        return {}


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < 1e6 else None
