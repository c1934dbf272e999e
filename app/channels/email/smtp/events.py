"""Mails that came back, in our own words: delivery reports, complaints, what machines answer, and what people do.

Everybody can send mail to the address they come to. So a report moves or suppresses only a message that it names by an
id of ours, and never an address that it merely mentions.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.channels.base import EventKind, WebhookEvent
from app.channels.email.replies import decoded, is_automatic, message_ids, reply_text
from app.channels.email.smtp import incoming, reports
from app.channels.email.smtp.faults import ENHANCED, THREE_DIGITS, fault_of_report, refined
from app.channels.email.smtp.incoming import Part
from app.channels.email.smtp.reports import About, Delivery
from app.channels.webhooks import without_empty
from app.domain.status import SuppressionReason

ACTIONS = {
    "failed": EventKind.FAILED,
    "delayed": EventKind.DEFERRED,
    "delivered": EventKind.DELIVERED,
    "relayed": EventKind.SENT,  # to where nobody reports
    "expanded": EventKind.SENT,  # to the members of a list
}
# RFC 5965, 6430 and 6591. Other words are those of old feeds, and mean abuse.
NO_COMPLAINTS = frozenset({"not-spam", "auth-failure", "virus", "other"})
SERVERS = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "mdaemon"})
MOST_RAW = 32_768  # characters of the mail that are kept
MOST_TEXT = 20_000  # that are searched in a report without form
LATE = timedelta(days=1)  # a person's clock is not believed further back


def parse(body: bytes, secret: str) -> list[WebhookEvent]:
    """The events of one mail. Raises Malformed."""
    mail, now = incoming.read(body), datetime.now(UTC)
    report = reports.container(mail)
    about = reports.about(mail, report, secret)
    told = _reported(mail, report, about, now) or [_plain(mail, about, now)]
    key, raw = _key(mail, body), {"mail": incoming.clean(body[: 4 * MOST_RAW].decode("utf-8", "replace")[:MOST_RAW])}
    return [replace(event, key=f"{key}:{number}", raw=raw) for number, event in enumerate(told)]


def _reported(mail: Part, report: Part | None, about: About, now: datetime) -> list[WebhookEvent]:
    if report is None:
        return []
    if (complaint := reports.feedback(report)) is not None:
        return [_complaint(mail, dict(reversed([(name.lower(), value) for name, value in complaint])), about, now)]
    return [_delivery(mail, one, about, now) for one in reports.deliveries(report)]


def _delivery(mail: Part, told: Delivery, about: About, now: datetime) -> WebhookEvent:
    kind = ACTIONS.get(told.action, EventKind.UNKNOWN)
    status = refined(told.status, told.diagnostic)
    fault = fault_of_report(status) if kind is EventKind.FAILED else None
    forwarded = _is_forwarded(told, about)
    dead = fault is not None and fault.suppress is not None and bool(about.reference) and not forwarded
    said = kind in (EventKind.FAILED, EventKind.DEFERRED)
    return WebhookEvent(
        key="",
        kind=kind,
        occurred_at=incoming.instant(told.date, now=now) or _when(mail, now),
        reference=about.reference,
        provider_message_id=about.message_id,
        error_code=(status or "bounced") if said else "",
        error_detail=(told.diagnostic or told.status) if said else "",
        retryable=fault is not None and fault.retryable,
        suppress=SuppressionReason.BOUNCE if dead else "",
        data=without_empty(
            event=told.action,
            bounce="" if fault is None else "soft" if fault.retryable else "hard",
            recipient=told.final_recipient,
            forwarded=forwarded or None,
        ),
    )


def _is_forwarded(told: Delivery, about: About) -> bool:
    """Whether it failed at an address other than the one we wrote to."""
    original = told.original_recipient or about.mailed
    if not original:
        return False
    if about.mailed and told.original_recipient and told.original_recipient != about.mailed:
        return True
    return bool(told.final_recipient) and told.final_recipient != original


def _complaint(mail: Part, fields: Mapping[str, str], about: About, now: datetime) -> WebhookEvent:
    word = fields.get("feedback-type", "").lower()
    kind = EventKind.UNKNOWN if word in NO_COMPLAINTS else EventKind.COMPLAINED
    return WebhookEvent(
        key="",
        kind=kind,
        occurred_at=_when(mail, now),
        reference=about.reference,
        provider_message_id=about.message_id,
        suppress=SuppressionReason.COMPLAINT if kind is EventKind.COMPLAINED else "",
        data=without_empty(
            event=f"feedback/{word}"[:100],
            by=fields.get("user-agent", "")[:200],
            incidents=fields.get("incidents", "")[:20],
        ),
    )


def _plain(mail: Part, about: About, now: datetime) -> WebhookEvent:
    """A mail that is no report by its form."""
    name, address = incoming.address_in(mail.header("from"))
    if address.partition("@")[0] in SERVERS:
        return _formless(mail, address, about, now)
    subject = decoded(mail.header("subject"))
    facts = without_empty(
        message_id=mail.header("message-id").strip("<> ")[:320],
        subject=incoming.clean(subject)[:998],
        attachments=incoming.attachments(mail),
    )
    if not address or mail.kind == "multipart/report" or is_automatic(mail.headers):
        # kept, and no answer: a receipt, an absence, a list, a question whether we are human
        return WebhookEvent(
            key="", kind=EventKind.UNKNOWN, occurred_at=_when(mail, now), address=address,
            data={"event": "automatic" if address else "anonymous", **facts},
        )  # fmt: skip
    plain, html = incoming.plain_and_html(mail)
    return WebhookEvent(
        key="",
        kind=EventKind.INBOUND,
        occurred_at=max(_when(mail, now), now - LATE),
        provider_message_id=mail.header("message-id").strip("<> ")[:320],
        address=address,
        message_type="text",
        text=incoming.clean(reply_text(plain, html)),
        profile_name=name,
        context_id=next((id for id in message_ids(mail.headers) if reports.reference_of(id)), ""),
        data=facts,
    )


def _formless(mail: Part, address: str, about: About, now: datetime) -> WebhookEvent:
    """A report in prose. It is believed when it came to a return path of ours, and then only about this message."""
    text = incoming.plain_and_html(mail)[0][:MOST_TEXT]
    found = ENHANCED.search(text)
    status = found[0] if found else ""
    digits = THREE_DIGITS.search(text)
    final = status.startswith("5.") or (not status and digits is not None and digits[1].startswith("5"))
    known = about.reference and (status or digits)
    kind = (EventKind.FAILED if final else EventKind.DEFERRED) if known else EventKind.UNKNOWN
    return WebhookEvent(
        key="",
        kind=kind,
        occurred_at=_when(mail, now),
        reference=about.reference,
        error_code=(status or (digits[1] if digits else "")) if known else "",
        error_detail=" ".join(text.split())[:500] if known else "",
        data={"event": "bounce in prose", "from": address, "confidence": "low"},
    )


def _when(mail: Part, now: datetime) -> datetime:
    return incoming.instant(mail.header("date"), now=now) or now


def _key(mail: Part, body: bytes) -> str:
    """The same however often, and over which addresses, this mail comes: headers of the way are left out."""
    content = body.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    named = [mail.header(name) for name in ("message-id", "date", "from", "subject")]
    digest: Any = hashlib.sha256("\n".join(named).encode(errors="replace") + b"\n\n" + content)
    return f"mail:{digest.hexdigest()[:40]}"
