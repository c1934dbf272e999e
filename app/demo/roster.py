"""Who is in the contact file and what each person allowed, read without the product's own import code."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import phonenumbers

from app.demo.story import DEFAULT_REGION, Imported
from app.domain.status import Channel

EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")
YES, NO = {"yes", "y", "1", "true"}, {"no", "n", "0", "false"}


@dataclass(kw_only=True)
class Person:
    """The rows of one contact, put together. `consents` holds `yes` or `no` for the channels they speak of."""

    contact_id: UUID
    rows: list[int] = field(default_factory=list)
    phone: str = ""
    email: str = ""
    consents: dict[Channel, str] = field(default_factory=dict)

    def address(self, channel: Channel) -> str:
        return self.email if channel is Channel.EMAIL else self.phone


@dataclass(kw_only=True)
class Roster:
    rows: int = 0
    people: dict[UUID, Person] = field(default_factory=dict)
    refused: set[tuple[Channel, str]] = field(default_factory=set)  # addresses of people who said no
    differences: list[str] = field(default_factory=list)  # between the file and the verdicts


def read_roster(file: bytes, imported: Imported) -> Roster:
    """Put the rows of the file together as the verdicts say, and check each verdict against its row."""
    roster = Roster()
    phones: set[str] = set()
    emails: set[str] = set()
    for number, cells in enumerate(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")), start=1):
        roster.rows = number
        phone, email = _phone(cells), _email(cells)
        verdict = imported.verdicts.get(number)
        if verdict is None:
            roster.differences.append(f"row {number} has no verdict")
            continue
        known = phone in phones or email in emails
        roster.differences += _judge(number, verdict["verdict"], phone, email, is_known=known, phones=phones)
        phones.update(filter(None, [phone]))
        emails.update(filter(None, [email]))
        if verdict["verdict"] != "rejected":
            contact_id = UUID(verdict["contact_id"])
            person = roster.people.setdefault(contact_id, Person(contact_id=contact_id))
            _add(person, number, cells, phone, email)
    for person in roster.people.values():
        for channel, word in person.consents.items():
            if word == "no" and person.address(channel):
                roster.refused.add((channel, person.address(channel)))
    return roster


def _judge(number: int, verdict: str, phone: str, email: str, *, is_known: bool, phones: set[str]) -> Iterator[str]:
    has_address = bool(phone or email)
    if verdict == "rejected" and has_address:
        yield f"row {number} was rejected, though it has {phone or email}"
    elif verdict != "rejected" and not has_address:
        yield f"row {number} was {verdict}, though it has neither a valid phone number nor a valid e-mail address"
    elif verdict == "created" and phone and phone in phones:
        yield f"row {number} was created, though an earlier row has {phone}"
    elif verdict == "merged" and not is_known:
        yield f"row {number} was merged, though no earlier row has its addresses"
    elif verdict == "updated":
        yield f"row {number} was updated, though the tenant had no contacts"


def _add(person: Person, number: int, cells: Mapping[str, str | None], phone: str, email: str) -> None:
    person.rows.append(number)
    person.phone, person.email = phone or person.phone, email or person.email
    for channel in Channel:
        word = _consent(cells.get(f"consent_{channel.value}") or "")
        address = email if channel is Channel.EMAIL else phone
        # A no stands whatever another row says; a yes counts for the address it stands beside.
        if word == "no" or (word == "yes" and address and person.consents.get(channel) != "no"):
            person.consents[channel] = word


def _phone(cells: Mapping[str, str | None]) -> str:
    try:
        number = phonenumbers.parse(cells.get("phone") or "", DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return ""
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else ""


def _email(cells: Mapping[str, str | None]) -> str:
    text = (cells.get("email") or "").strip().lower()
    local = text.partition("@")[0]
    dotted = local.startswith(".") or local.endswith(".") or ".." in local
    return text if EMAIL.fullmatch(text) and not dotted else ""


def _consent(cell: str) -> str:
    word = cell.strip().lower()
    if word in YES or word in NO:
        return "yes" if word in YES else "no"
    try:
        datetime.fromisoformat(cell.strip())
    except ValueError:
        return ""
    return "yes"
