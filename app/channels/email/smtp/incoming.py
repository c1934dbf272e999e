"""Mail from strangers, read within bounds: nothing in it may cost much or raise anything but Malformed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from email.utils import parseaddr, parsedate_to_datetime
from itertools import islice
from typing import Any

from app.channels.email.replies import decoded
from app.channels.webhooks import UNSTORABLE
from app.errors import Malformed

# What is looked at; the rest is left out. Reports and answers stand at the beginning, before what is returned or
# attached, and the parser's work grows with lines times depth.
MOST_BYTES = 256 * 1024
MOST_LINES = 3_000
MOST_PARTS = 20  # that hold parts or mails, and so how deep they can be
MOST_HEADERS = 200
MOST_VALUE = 2_000  # characters of a header: readers of encoded words take quadratic time
NESTING = re.compile(rb"multipart/|message/", re.IGNORECASE)
# what the standard library raises on mail that breaks its rules
STRANGE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


@dataclass(frozen=True, slots=True)
class Part:
    """A mail, or a part of one. Headers are unfolded, with their encoded words as they are."""

    kind: str  # type/subtype, lower-case
    headers: Sequence[tuple[str, str]]
    source: Message

    def header(self, *names: str) -> str:
        """The first one of these names."""
        return next((value for name in names for value in self.all(name)), "")

    def all(self, *names: str) -> list[str]:
        return [value for header, value in self.headers if header.lower() in names]

    def parts(self) -> list["Part"]:
        """Those right inside."""
        inner: Any = self.source.get_payload()
        return [_part(one) for one in inner if isinstance(one, Message)] if isinstance(inner, list) else []

    def walk(self) -> Iterator["Part"]:
        yield self
        for part in self.parts():
            yield from part.walk()

    def text(self) -> str:
        """The body of a leaf as text."""
        try:
            data = self.source.get_payload(decode=True)
            charset = str(self.source.get_content_charset("utf-8"))
            return clean(data.decode(charset, "replace")) if isinstance(data, bytes) else ""
        except STRANGE:
            payload = self.source.get_payload()
            return clean(payload) if isinstance(payload, str) else ""

    def file_name(self) -> str:
        try:
            return clean(str(self.source.get_filename("")))[:MOST_VALUE]
        except STRANGE:
            return ""


def read(body: bytes) -> Part:
    """The mail. Raises Malformed."""
    lines = body[:MOST_BYTES].split(b"\n", MOST_LINES)[:MOST_LINES]
    head = b"\n".join(lines)
    if len(NESTING.findall(head)) > MOST_PARTS:
        raise Malformed(f"The mail has more than {MOST_PARTS} parts that hold others.")
    try:
        mail = _part(message_from_bytes(head, policy=compat32))
    except STRANGE as error:
        raise Malformed(f"The body is not a mail that can be read: {type(error).__name__}.") from None
    if not mail.header("from", "date", "message-id", "content-type"):
        raise Malformed("The body is not a mail: it has no header From, Date, Message-ID or Content-Type.")
    return mail


def headers_in(block: str) -> list[tuple[str, str]]:
    """A block of fields as it stands in a report: comments in parentheses stay."""
    try:
        return _headers(message_from_bytes(block.encode(errors="replace"), policy=compat32))
    except STRANGE:
        return []


def clean(text: str) -> str:
    """What can be stored."""
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def address_in(value: str) -> tuple[str, str]:
    """Name and lower-case address of a header; empty where it holds none."""
    try:
        name, address = parseaddr(value[:MOST_VALUE])
    except STRANGE:
        return "", ""
    address = address.strip().lower()
    plain = address.count("@") == 1 and not address.startswith("@") and len(address) <= 320 and " " not in address
    return clean(decoded(name))[:200].strip(), clean(address) if plain else ""


def instant(value: str, *, now: datetime) -> datetime | None:
    """A date of a header, if it can be read and has come."""
    try:
        read = parsedate_to_datetime(value[:100])
        at = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (*STRANGE, OverflowError):
        return None
    return at if at <= now else None


def plain_and_html(mail: Part) -> tuple[str, str]:
    """The first text of each kind that is no attachment."""
    found = {"text/plain": "", "text/html": ""}
    for part in _own(mail):
        if not found.get(part.kind, " ") and not _is_attached(part):
            found[part.kind] = part.text()
    return found["text/plain"], found["text/html"]


def attachments(mail: Part) -> list[dict[str, str]]:
    """Their names and types; the files are not kept."""
    listed = [part for part in _own(mail) if _is_attached(part)]
    return [{"name": part.file_name(), "type": part.kind} for part in listed[:MOST_PARTS]]


def _own(part: Part) -> Iterator[Part]:
    """Its leaves, but not those of mails inside it."""
    inner = part.parts() if part.kind.startswith("multipart/") else []
    if not inner:
        yield part
    for one in inner:
        yield from _own(one)


def _is_attached(part: Part) -> bool:
    disposition = part.header("content-disposition").strip().lower()
    return disposition.startswith("attachment") or bool(part.file_name()) or part.kind.startswith("message/")


def _part(source: Message) -> Part:
    return Part(clean(source.get_content_type())[:100], _headers(source), source)


def _headers(source: Message) -> list[tuple[str, str]]:
    return [(clean(name)[:100], _value(value)) for name, value in islice(source.raw_items(), MOST_HEADERS)]


def _value(value: Any) -> str:
    """Unfolded. Bytes beyond ASCII are taken for UTF-8 (RFC 6532)."""
    raw = str(value)[:MOST_VALUE].encode("utf-8", "surrogateescape")
    return clean(" ".join(raw.decode("utf-8", "replace").split()))
