"""Reports of mail servers: what became of a message (RFC 3464), and complaints of feedback loops (RFC 5965)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.channels.email.smtp import verp
from app.channels.email.smtp.composing import REFERENCE_HEADER
from app.channels.email.smtp.faults import ENHANCED
from app.channels.email.smtp.incoming import Part, headers_in

Fields = Sequence[tuple[str, str]]

STATUS_KINDS = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED_KINDS = frozenset(
    {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "message/rfc822-headers"}
)
MOST_GROUPS = 50
BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
COMMENT = re.compile(r"\([^()]{0,200}\)")
OUR_ID = re.compile(r"<?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:@[^>\s]*)?>?", re.IGNORECASE)
# addresses that a mail server may have delivered it by
DELIVERED_TO = ("x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to")


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What a report says of one recipient."""

    action: str
    status: str
    diagnostic: str
    final_recipient: str
    original_recipient: str
    date: str
    fields: Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """The message that a report is about; `mailed` is the address it was for, where the report returns it."""

    reference: str
    message_id: str
    mailed: str


def container(mail: Part) -> Part | None:
    """The multipart/report, on top or inside what a filter wrapped around it. None: it is no report."""
    if mail.kind == "multipart/report":
        return mail
    inner = mail.parts() if mail.kind == "multipart/mixed" else []
    return next((part for part in inner if part.kind == "multipart/report"), None)


def deliveries(report: Part) -> list[Delivery]:
    """One for each recipient."""
    status = next((part for part in report.parts() if part.kind in STATUS_KINDS), None)
    groups = _groups(status) if status is not None else []
    return [_delivery(group) for group in groups[:MOST_GROUPS] if _field(group, "final-recipient", "action")]


def envelope_id(report: Part) -> str:
    """`Original-Envelope-Id` of a delivery report or a complaint: the ENVID that we gave."""
    for part in report.parts():
        if part.kind in STATUS_KINDS or part.kind == "message/feedback-report":
            return next((id for group in _groups(part) if (id := _field(group, "original-envelope-id"))), "")
    return ""


def feedback(report: Part) -> Fields | None:
    """The fields of a complaint. None: it is none."""
    part = next((part for part in report.parts() if part.kind == "message/feedback-report"), None)
    return [field for group in _groups(part) for field in group] if part is not None else None


def about(mail: Part, report: Part | None, secret: str) -> About:
    """Which of our messages it is about: by the address it came to, the ENVID, or what it returns of the message."""
    returned = _returned(report) if report is not None else []
    complaint = (feedback(report) if report is not None else None) or []
    paths = [*mail.all(*DELIVERED_TO), *_values(complaint, "original-mail-from"), *_values(returned, "return-path")]
    message_id = _field(returned, "message-id").strip("<> ")
    candidates = (
        verp.reference_in(secret, " ".join(paths)) if secret else "",
        reference_of(envelope_id(report)) if report is not None else "",
        reference_of(_field(returned, REFERENCE_HEADER.lower())),
        reference_of(message_id),
    )
    return About(
        reference=next(filter(None, candidates), ""),
        message_id=message_id,
        mailed=bare_address(_field(returned, "to")),
    )


def reference_of(value: str) -> str:
    """Our message id, alone or as the left side of our Message-ID."""
    found = OUR_ID.fullmatch(value.strip())
    return str(UUID(found[1])) if found else ""


def bare_address(value: str) -> str:
    """`rfc822;<a@b>`, `Name <a@b>` or `a@b` as a@b, lower-case."""
    _, _, address = COMMENT.sub(" ", value).rpartition(";")
    inner = re.search(r"<([^<>]*)>", address)
    address = (inner[1] if inner else address).strip().lower()
    return address if address.count("@") == 1 and " " not in address and len(address) <= 320 else ""


def _delivery(group: Fields) -> Delivery:
    status = ENHANCED.search(_field(group, "status"))
    return Delivery(
        action=COMMENT.sub("", _field(group, "action")).strip().lower(),
        status=status[0] if status else "",
        diagnostic=_field(group, "diagnostic-code")[:1_000],
        final_recipient=bare_address(_field(group, "final-recipient")),
        original_recipient=bare_address(_from_xtext(_field(group, "original-recipient"))),
        date=_field(group, "last-attempt-date"),
        fields=group,
    )


def _groups(part: Part) -> list[Fields]:
    """The groups of fields that blank lines separate. The parser splits only one of the kinds by itself."""
    inner = part.parts()
    if part.kind == "message/delivery-status" or not inner:
        groups = [one.headers for one in inner] or [headers_in(block) for block in _blocks(part.text())]
    else:
        groups = [inner[0].headers, *(headers_in(block) for block in _blocks(inner[0].text()))]
    return [group for group in groups if group]


def _blocks(text: str) -> Iterator[str]:
    return filter(None, BLANK_LINES.split(text.replace("\r\n", "\n").strip(), maxsplit=MOST_GROUPS))


def _returned(report: Part) -> Fields:
    """The headers of the message that the report gives back."""
    for part in report.parts():
        if part.kind in RETURNED_KINDS:
            inner = part.parts()
            return inner[0].headers if inner else headers_in(part.text())
    return []


def _values(fields: Fields, name: str) -> list[str]:
    return [value for field, value in fields if field.lower() == name]


def _field(fields: Fields, *names: str) -> str:
    return next((value for name in names for value in _values(fields, name)), "")


def _from_xtext(value: str) -> str:
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value)
