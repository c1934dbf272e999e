"""Who is the same person: the rows of a batch against each other and against the contacts that are there already.

Rows are placed one after the other, and the outcome doesn't depend on where batches begin and end.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.domain.contact_file.cells import ContactRow, describe
from app.domain.contact_file.consent_fold import Answers
from app.domain.contact_file.types import Dedupe
from app.ids import new_id_text

CREATED, UPDATED, MERGED = "created", "updated", "merged"


@dataclass(frozen=True, slots=True)
class KnownContact:
    """A contact in the database; `seen` is true when an earlier row of this import touched it."""

    id: str
    phone: str
    email: str
    seen: bool


@dataclass(slots=True)
class Person:
    """A contact with what this batch brings for it. Empty fields bring nothing. Values may be those of the row itself:
    they are replaced, never changed in place. `answers` come with the source that each row names."""

    id: str
    phone: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    lang: str = ""
    timezone: str = ""
    country: str = ""
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    answers: list[tuple[Answers, str]] = field(default_factory=list)
    is_new: bool = True
    seen: bool = False
    moved: bool = False  # its phone was another one before
    touched: bool = False  # a row of this batch was placed with it


class Placed(NamedTuple):
    """What became of a row: created, updated or merged."""

    number: int
    verdict: str
    contact_id: str
    field: str
    reason: str


class Roster:
    """`known` must hold every contact that has a phone or an e-mail address of the batch, the oldest first."""

    def __init__(self, known: Iterable[KnownContact], dedupe: Dedupe) -> None:
        self.people: list[Person] = []  # everybody that a row of this batch was placed with
        self._dedupe = dedupe
        self._by_phone: dict[str, Person] = {}
        self._by_email: dict[str, list[Person]] = {}
        for contact in known:
            self._enter(Person(contact.id, contact.phone, contact.email, is_new=False, seen=contact.seen))

    def place(self, row: ContactRow) -> Placed:
        person = self._find(row)
        if person is None:
            person = self._add(row)
            verdict = CREATED
        else:
            verdict = MERGED if person.seen else UPDATED
            self._update(person, row)
        field, reason = describe(row.notes) if row.notes else ("", "")
        return Placed(row.number, verdict, person.id, field, reason)

    def _find(self, row: ContactRow) -> Person | None:
        """By the address that decides; by the other one only where the deciding one is missing, here or there."""
        with_phone = self._by_phone.get(row.phone) if row.phone else None
        with_email = self._by_email.get(row.email) if row.email else None
        if with_phone is None and not with_email:
            return None
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

    def _add(self, row: ContactRow) -> Person:
        if row.phone in self._by_phone:
            self._leave_phone_out(row)
        person = Person(
            new_id_text(),
            row.phone,
            row.email,
            row.first_name,
            row.last_name,
            row.lang,
            row.timezone,
            row.country,
            row.tags,
            row.attributes,
            [(row.answers, row.consent_source)] if row.answers.cells else [],
            seen=True,
            touched=True,
        )
        self.people.append(person)
        self._enter(person)
        return person

    def _enter(self, person: Person) -> None:
        if person.phone:
            self._by_phone[person.phone] = person
        if person.email:
            self._by_email.setdefault(person.email, []).append(person)

    def _update(self, person: Person, row: ContactRow) -> None:
        if not person.touched:
            person.touched = person.seen = True
            self.people.append(person)
        self._set_addresses(person, row)
        _absorb(person, row)

    def _set_addresses(self, person: Person, row: ContactRow) -> None:
        if row.phone and row.phone != person.phone:
            if row.phone in self._by_phone:
                self._leave_phone_out(row)
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

    def _leave_phone_out(self, row: ContactRow) -> None:
        row.drop_address("phone", f"{row.phone} belongs to another contact and was left out.")
        row.country = ""


def _absorb(person: Person, row: ContactRow) -> None:
    person.first_name = row.first_name or person.first_name
    person.last_name = row.last_name or person.last_name
    person.lang = row.lang or person.lang
    person.timezone = row.timezone or person.timezone
    person.country = row.country or person.country
    if row.tags:
        person.tags = tuple(dict.fromkeys((*person.tags, *row.tags)))
    if row.attributes:
        person.attributes = {**person.attributes, **row.attributes}
    if row.answers.cells:
        person.answers.append((row.answers, row.consent_source))
