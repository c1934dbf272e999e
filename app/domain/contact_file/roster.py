"""Who is the same person: the rows of a batch against each other and against the contacts that are there already.

Rows are placed one after the other, and the outcome doesn't depend on where batches begin and end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.domain.consent import ConsentCell
from app.domain.contact_file.cells import ContactRow, describe
from app.domain.contact_file.types import Dedupe
from app.domain.status import Channel
from app.ids import new_id

CREATED, UPDATED, MERGED = "created", "updated", "merged"
TEXTS = ("first_name", "last_name", "lang", "timezone")


@dataclass(frozen=True, slots=True)
class KnownContact:
    """A contact in the database; `seen` is true when an earlier row of this import touched it."""

    id: UUID
    phone: str
    email: str
    seen: bool


@dataclass(slots=True)
class Person:
    """A contact with what this batch brings for it. Empty fields bring nothing."""

    id: UUID
    phone: str = ""
    email: str = ""
    is_new: bool = True
    seen: bool = False
    moved: bool = False  # its phone was another one before
    country: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    consents: list[tuple[Channel, ConsentCell, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a row: created, updated or merged."""

    number: int
    verdict: str
    contact_id: UUID
    field: str
    reason: str


class Roster:
    """`known` must hold every contact that has a phone or an e-mail address of the batch, the oldest first."""

    def __init__(self, known: Iterable[KnownContact], dedupe: Dedupe) -> None:
        self._dedupe = dedupe
        self._by_phone: dict[str, Person] = {}
        self._by_email: dict[str, list[Person]] = {}
        self._touched: dict[UUID, Person] = {}
        for contact in known:
            person = Person(contact.id, contact.phone, contact.email, is_new=False, seen=contact.seen)
            if person.phone:
                self._by_phone[person.phone] = person
            if person.email:
                self._by_email.setdefault(person.email, []).append(person)

    @property
    def people(self) -> list[Person]:
        """Everybody that a row of this batch was placed with."""
        return list(self._touched.values())

    def place(self, row: ContactRow) -> Placed:
        person = self._find(row)
        if person is None:
            person = Person(new_id())
            verdict = CREATED
        else:
            verdict = MERGED if person.seen else UPDATED
        person.seen = True
        self._touched[person.id] = person
        self._set_addresses(person, row)
        _absorb(person, row)
        field, reason = describe(row.notes) if row.notes else ("", "")
        return Placed(row.number, verdict, person.id, field, reason)

    def _find(self, row: ContactRow) -> Person | None:
        """By the address that decides; by the other one only where the deciding one is missing, here or there."""
        with_phone = self._by_phone.get(row.phone) if row.phone else None
        with_email = self._by_email.get(row.email) if row.email else None
        if self._dedupe is Dedupe.PHONE:
            if with_phone or not with_email:
                return with_phone
            if not row.phone:
                return with_email[0]
            return next((person for person in with_email if not person.phone), None)
        if with_email:
            return with_email[0]
        if not row.email:
            return with_phone
        return with_phone if with_phone and not with_phone.email else None

    def _set_addresses(self, person: Person, row: ContactRow) -> None:
        if row.phone and row.phone != person.phone:
            if row.phone in self._by_phone:
                row.drop_address("phone", f"{row.phone} belongs to another contact and was left out.")
                row.country = ""
            else:
                self._by_phone.pop(person.phone, None)
                self._by_phone[row.phone] = person
                person.moved = person.moved or (bool(person.phone) and not person.is_new)
                person.phone = row.phone
        if row.email and row.email != person.email:
            if person.email:
                self._by_email[person.email].remove(person)
            self._by_email.setdefault(row.email, []).append(person)
            person.email = row.email


def _absorb(person: Person, row: ContactRow) -> None:
    person.country = row.country or person.country
    for name in TEXTS:
        if text := getattr(row, name):
            person.texts[name] = text
    for tag in row.tags:
        if tag not in person.tags:
            person.tags.append(tag)
    person.attributes.update(row.attributes)
    for channel, cell in row.consents:
        person.consents.append((channel, cell, row.consent_source))
