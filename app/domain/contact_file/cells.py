"""One row → a contact, or the reason why not.

What can be kept is kept: a bad cell beside a good address costs only that cell, and is noted.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from app.domain.consent import ConsentCell, parse_consent
from app.domain.contact_file.columns import KNOWN, LONGEST_COLUMN_NAME, Columns, columns, field_name
from app.domain.contact_file.types import LONGEST_CELL, MOST_COLUMNS, FileShape, RawRow
from app.domain.emails import normalize_email
from app.domain.phone import normalize_phone, phone_country
from app.domain.status import Channel
from app.domain.zones import normalize_timezone

NO_ADDRESS = "The row has neither a phone number nor an e-mail address."
LONGEST_REASON = 300
LONGEST_NAME, LONGEST_TAG, MOST_TAGS = 200, 100, 200  # as the API takes them
CONSENT_FIELDS = {
    "consent_whatsapp": (Channel.WHATSAPP, "phone"),
    "consent_email": (Channel.EMAIL, "email"),
    "consent_sms": (Channel.SMS, "phone"),
}
_KNOWN = frozenset(KNOWN)
_LANG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?", re.IGNORECASE)
_TAG_SEPARATORS = re.compile(r"[|;]")


@dataclass(slots=True)
class ContactRow:
    """`notes` are (field, sentence) of what was left out. Empty means: the row says nothing about it."""

    number: int
    end: int
    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    lang: str = ""
    timezone: str = ""
    country: str = ""
    tags: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    consents: list[tuple[Channel, ConsentCell]] = field(default_factory=list)
    consent_source: str = ""
    notes: list[tuple[str, str]] = field(default_factory=list)

    def drop_address(self, name: str, reason: str) -> None:
        """Leave out `phone` or `email`, and with it the opt-ins that were meant for it; an opt-out is kept."""
        setattr(self, name, "")
        self.notes.append((name, reason))
        self.consents = [
            (channel, cell)
            for channel, cell in self.consents
            if cell.opt_in_at is None or (channel is Channel.EMAIL) != (name == "email")
        ]


@dataclass(slots=True)
class RejectedRow:
    number: int
    end: int
    field: str
    reason: str


class _BadCell(Exception):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


class RowParser:
    """`now` is the same for a whole import, so that a resumed one writes the same times."""

    def __init__(self, shape: FileShape, *, default_region: str, now: datetime) -> None:
        self._columns: Columns = columns(shape.header)
        self._region = default_region
        # few different texts in many rows
        self._consent = lru_cache(maxsize=4096)(lambda text: parse_consent(text, now))
        self._timezone = lru_cache(maxsize=1024)(normalize_timezone)

    def parse(self, raw: RawRow) -> ContactRow | RejectedRow:
        if raw.problem:
            return RejectedRow(raw.number, raw.end, "", raw.problem)
        try:
            if isinstance(raw.values, list):
                known, attributes = _csv_fields(raw.values, self._columns)
            else:
                known, attributes = _json_fields(raw.values)
            return self._contact(raw, known, attributes)
        except _BadCell as bad:
            return RejectedRow(raw.number, raw.end, bad.name, bad.reason[:LONGEST_REASON])

    def _contact(self, raw: RawRow, known: dict[str, str], attributes: dict[str, Any]) -> ContactRow:
        row = ContactRow(raw.number, raw.end, attributes=attributes)
        for name in ("first_name", "last_name", "consent_source"):
            if text := known.get(name):
                if len(text) <= LONGEST_NAME:
                    setattr(row, name, text)
                else:
                    row.notes.append((name, f"It has more than {LONGEST_NAME} characters and was left out."))
        if tags := known.get("tags"):
            self._read_tags(row, tags)
        self._read_consents(row, known)
        self._read_addresses(row, known)
        if timezone := known.get("timezone"):
            try:
                row.timezone = self._timezone(timezone)
            except ValueError as error:
                row.notes.append(("timezone", f"{error} It was left out."))
        if lang := known.get("lang"):
            row.lang = normalize_lang(lang)
            if not row.lang:
                row.notes.append(("lang", f"{lang!r} is not a language such as pt or pt_BR. It was left out."))
        return row

    def _read_tags(self, row: ContactRow, cell: str) -> None:
        tags = list(dict.fromkeys(tag for part in _TAG_SEPARATORS.split(cell) if (tag := part.strip())))
        row.tags = [tag for tag in tags if len(tag) <= LONGEST_TAG][:MOST_TAGS]
        if len(row.tags) < len(tags):
            row.notes.append(("tags", f"Only {MOST_TAGS} tags of {LONGEST_TAG} characters are kept."))

    def _read_addresses(self, row: ContactRow, known: dict[str, str]) -> None:
        """Raises _BadCell when no address is left."""
        if phone := known.get("phone"):
            try:
                row.phone = normalize_phone(phone, self._region)
                row.country = phone_country(row.phone)
            except ValueError as error:
                row.drop_address("phone", str(error))
        if email := known.get("email"):
            try:
                row.email = normalize_email(email)
            except ValueError as error:
                row.drop_address("email", str(error))
        if not row.phone and not row.email:
            if row.notes:
                name, reason = describe(row.notes)
                raise _BadCell(name, reason)
            raise _BadCell("phone", NO_ADDRESS)

    def _read_consents(self, row: ContactRow, known: dict[str, str]) -> None:
        for name, (channel, _) in CONSENT_FIELDS.items():
            if text := known.get(name):
                try:
                    cell = self._consent(text)
                except ValueError as error:
                    row.notes.append((name, f"{error} It counts as unknown."))
                    continue
                if cell is not None:
                    row.consents.append((channel, cell))


def describe(notes: list[tuple[str, str]]) -> tuple[str, str]:
    """The notes of a row as its (field, reason)."""
    names = dict.fromkeys(name for name, _ in notes)
    return ",".join(names), " ".join(reason for _, reason in notes)[:LONGEST_REASON]


@lru_cache(maxsize=1024)
def normalize_lang(raw: str) -> str:
    """`PT-br` → `pt_BR`; empty when it isn't a language code."""
    match = _LANG.fullmatch(raw)
    if match is None:
        return ""
    language, script, region = match.groups()
    return "_".join(
        filter(None, (language.lower(), script.title() if script else "", region.upper() if region else ""))
    )


def _csv_fields(cells: list[str], columns: Columns) -> tuple[dict[str, str], dict[str, Any]]:
    width = len(cells)
    if width > columns.width and any(cell.strip() for cell in cells[columns.width :]):
        raise _BadCell("", f"The row has {width} cells, but the header names {columns.width} columns.")
    known: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for fields, target in ((columns.known, known), (columns.attributes, attributes)):
        for index, name in fields:
            if index < width and (text := cells[index].strip()):
                if len(text) > LONGEST_CELL:
                    raise _BadCell(name, f"The cell is longer than {LONGEST_CELL:,} characters.")
                if "\0" in text:
                    raise _BadCell(name, "The cell has a NUL character.")
                target[name] = text
    return known, attributes


def _json_fields(values: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    if len(values) > MOST_COLUMNS:
        raise _BadCell("", f"The row has {len(values)} fields; at most {MOST_COLUMNS} are taken.")
    known: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for key, value in values.items():
        name = field_name(key)
        if value is None or value == "":
            continue
        _check_value(name, value)
        if name not in _KNOWN:
            nested = value if name == "attributes" and isinstance(value, dict) else {name: value}
            attributes.update((inner, item) for inner, item in nested.items() if item is not None and item != "")
        elif name in known:
            raise _BadCell(name, f"The field {name!r} is there twice.")
        elif text := _text(name, value):
            known[name] = text
    return known, attributes


def _text(name: str, value: Any) -> str:
    if name == "tags" and isinstance(value, list):
        if not all(isinstance(tag, str | int) for tag in value):
            raise _BadCell(name, "Tags must be a list of texts.")
        return "|".join(str(tag) for tag in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise _BadCell(name, "The value must be a text.")


def _check_value(name: str, value: Any) -> None:
    """What PostgreSQL can't keep as JSON, or nobody wants to: raises _BadCell."""
    try:
        encoded = orjson.dumps({name: value})
    except TypeError as error:  # integers beyond 64 bits, halves of surrogate pairs, deep nesting
        raise _BadCell("", f"A value can't be stored: {error}.") from None
    if b"\\u0000" in encoded and _has_nul({name: value}):
        raise _BadCell("", "A value has a NUL character.")
    if len(encoded) > 4 * LONGEST_CELL:
        raise _BadCell(name[:LONGEST_COLUMN_NAME], f"The value is longer than {LONGEST_CELL:,} characters.")
    if not name or len(name) > LONGEST_COLUMN_NAME:
        raise _BadCell("", f"A field name has 1 to {LONGEST_COLUMN_NAME} characters.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value
