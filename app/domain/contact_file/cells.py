"""One row → a contact, or the reason why not.

What can be kept is kept: a bad cell beside a good address costs only that cell, and is noted.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

from app.domain.consent import parse_consent
from app.domain.contact_file.columns import KNOWN, Columns, columns
from app.domain.contact_file.consent_fold import CHANNELS, NO_ANSWERS, Answers
from app.domain.contact_file.json_fields import json_fields
from app.domain.contact_file.types import LONGEST_CELL, BadCell, FileShape, RawRow, RejectedRow
from app.domain.csv_text import uncell
from app.domain.emails import normalize_email
from app.domain.phone import normalize_phone, phone_country
from app.domain.zones import normalize_timezone

NO_ADDRESS = "The row has neither a phone number nor an e-mail address."
LONGEST_REASON = 300
LONGEST_NAME, LONGEST_TAG, MOST_TAGS = 200, 100, 200  # as the API takes them
CONSENT_FIELDS = ("consent_whatsapp", "consent_email", "consent_sms")  # of CHANNELS, in their order
_LANG = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?", re.IGNORECASE)
_TAG_SEPARATORS = re.compile(r"[|;]")

Note = tuple[str, str]


@dataclass(slots=True)
class ContactRow:
    """`notes` are (field, sentence) of what was left out. Empty means: the row says nothing about it.

    Rows share what is equal in many of them (tags, answers), so nothing in here is changed in place but `notes`.
    """

    number: int
    end: int
    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    lang: str = ""
    timezone: str = ""
    country: str = ""
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    answers: Answers = NO_ANSWERS
    consent_source: str = ""
    notes: list[Note] = field(default_factory=list)

    def drop_address(self, name: str, reason: str) -> None:
        """Leave out `phone` or `email`, and with it the opt-ins that were meant for it."""
        setattr(self, name, "")
        self.notes.append((name, reason))
        self.answers = self.answers.without_address(name)


class RowParser:
    """`now` is the same for a whole import, so that a resumed one writes the same times."""

    def __init__(self, shape: FileShape, *, default_region: str, now: datetime) -> None:
        self._columns: Columns = columns(shape.header)
        places = {name: index for index, name in self._columns.known}
        # a column that the file lacks is read from the empty cell that _csv_fields adds behind the last
        self._pick = itemgetter(*(places.get(name, self._columns.width) for name in KNOWN))
        self._region = default_region
        self._now = now
        # few different texts in many rows
        self._answers = lru_cache(maxsize=4096)(self._read_answers)
        self._tags = lru_cache(maxsize=4096)(_read_tags)
        self._timezone = lru_cache(maxsize=1024)(normalize_timezone)

    def parse(self, raw: RawRow) -> ContactRow | RejectedRow:
        if raw.problem:
            return RejectedRow(raw.number, raw.end, "", raw.problem)
        try:
            if isinstance(raw.values, list):
                known, attributes = self._csv_fields(raw.values)
            else:
                known, attributes = json_fields(raw.values)
            return self._contact(raw, known, attributes)
        except BadCell as bad:
            return RejectedRow(raw.number, raw.end, bad.name, bad.reason[:LONGEST_REASON])

    def _csv_fields(self, cells: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        width = self._columns.width
        texts = list(map(str.strip, cells))
        if len(texts) != width:
            if any(texts[width:]):
                raise BadCell("", f"The row has {len(cells)} cells, but the header names {width} columns.")
            texts = texts[:width] + [""] * (width - len(texts))
        line = "".join(texts)
        if len(line) > LONGEST_CELL or "\0" in line:
            self._check(texts)
        if "'" in line:
            texts = list(map(uncell, texts))
        texts.append("")
        return self._pick(texts), {name: text for index, name in self._columns.attributes if (text := texts[index])}

    def _check(self, texts: list[str]) -> None:
        for index, name in (*self._columns.known, *self._columns.attributes):
            if len(texts[index]) > LONGEST_CELL:
                raise BadCell(name, f"The cell is longer than {LONGEST_CELL:,} characters.")
            if "\0" in texts[index]:
                raise BadCell(name, "The cell has a NUL character.")

    def _contact(self, raw: RawRow, known: tuple[str, ...], attributes: dict[str, Any]) -> ContactRow:
        phone, email, first, last, lang, timezone, tags, whatsapp, mail, sms, source = known
        row = ContactRow(raw.number, raw.end, "", "", first, last, attributes=attributes, consent_source=source)
        if len(first) > LONGEST_NAME or len(last) > LONGEST_NAME or len(source) > LONGEST_NAME:
            _drop_long_names(row)
        if tags:
            row.tags, notes = self._tags(tags)
            row.notes += notes
        if whatsapp or mail or sms:
            row.answers, notes = self._answers(whatsapp, mail, sms)
            row.notes += notes
        self._read_addresses(row, phone, email)
        if timezone:
            try:
                row.timezone = self._timezone(timezone)
            except ValueError as error:
                row.notes.append(("timezone", f"{error} It was left out."))
        if lang:
            row.lang = normalize_lang(lang)
            if not row.lang:
                row.notes.append(("lang", f"{lang!r} is not a language such as pt or pt_BR. It was left out."))
        return row

    def _read_addresses(self, row: ContactRow, phone: str, email: str) -> None:
        """Raises BadCell when no address is left."""
        if phone:
            try:
                row.phone = normalize_phone(phone, self._region)
                row.country = phone_country(row.phone)
            except ValueError as error:
                row.drop_address("phone", str(error))
        if email:
            try:
                row.email = normalize_email(email)
            except ValueError as error:
                row.drop_address("email", str(error))
        if not row.phone and not row.email:
            if row.notes:
                name, reason = describe(row.notes)
                raise BadCell(name, reason)
            raise BadCell("phone", NO_ADDRESS)

    def _read_answers(self, *texts: str) -> tuple[Answers, tuple[Note, ...]]:
        cells, notes = [], []
        for channel, name, text in zip(CHANNELS, CONSENT_FIELDS, texts, strict=True):
            try:
                cell = parse_consent(text, self._now)
            except ValueError as error:
                notes.append((name, f"{error} It counts as unknown."))
                continue
            if cell is not None:
                cells.append((channel, cell))
        return Answers(tuple(cells)), tuple(notes)


def _drop_long_names(row: ContactRow) -> None:
    for name in ("first_name", "last_name", "consent_source"):
        if len(getattr(row, name)) > LONGEST_NAME:
            setattr(row, name, "")
            row.notes.append((name, f"It has more than {LONGEST_NAME} characters and was left out."))


def _read_tags(cell: str) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    tags = list(dict.fromkeys(tag for part in _TAG_SEPARATORS.split(cell) if (tag := part.strip())))
    kept = tuple([tag for tag in tags if len(tag) <= LONGEST_TAG][:MOST_TAGS])
    if len(kept) == len(tags):
        return kept, ()
    return kept, (("tags", f"Only {MOST_TAGS} tags of {LONGEST_TAG} characters are kept."),)


def describe(notes: list[Note]) -> tuple[str, str]:
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
