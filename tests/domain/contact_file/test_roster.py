from typing import Any

from app.domain.contact_file.cells import ContactRow
from app.domain.contact_file.roster import KnownContact, Placed, Roster
from app.domain.contact_file.types import Dedupe
from app.ids import new_id_text

A, B = "+351910000001", "+351910000002"
ANA, RUI = "ana@example.com", "rui@example.com"


def row(number: int = 1, **fields: Any) -> ContactRow:
    return ContactRow(number, number * 10, **fields)


def known(phone: str = "", email: str = "", *, seen: bool = False) -> KnownContact:
    return KnownContact(new_id_text(), phone, email, seen)


def place(roster: Roster, *rows: ContactRow) -> list[Placed]:
    return [roster.place(one) for one in rows]


def ids(placed: list[Placed]) -> list[str]:
    return [one.contact_id for one in placed]


def verdicts(placed: list[Placed]) -> list[str]:
    return [one.verdict for one in placed]


class TestByPhone:
    def test_new_number_is_a_new_contact_and_its_repeat_is_merged(self) -> None:
        roster = Roster([], Dedupe.PHONE)
        placed = place(roster, row(1, phone=A, first_name="Ana"), row(2, phone=A, last_name="Silva"))
        assert verdicts(placed) == ["created", "merged"]
        assert len(roster.people) == 1
        assert (roster.people[0].first_name, roster.people[0].last_name) == ("Ana", "Silva")

    def test_later_non_empty_values_win_and_tags_add_up(self) -> None:
        roster = Roster([], Dedupe.PHONE)
        place(
            roster,
            row(1, phone=A, first_name="Ana", tags=("x",), attributes={"plan": "free", "city": "Porto"}),
            row(2, phone=A, first_name="Anna", tags=("y", "x"), attributes={"plan": "pro"}),
            row(3, phone=A),
        )
        person = roster.people[0]
        assert person.first_name == "Anna"
        assert person.tags == ("x", "y")
        assert person.attributes == {"plan": "pro", "city": "Porto"}

    def test_contact_that_is_there_is_updated_once_then_merged(self) -> None:
        there = known(A)
        placed = place(Roster([there], Dedupe.PHONE), row(1, phone=A), row(2, phone=A))
        assert verdicts(placed) == ["updated", "merged"]
        assert set(ids(placed)) == {there.id}

    def test_contact_of_an_earlier_batch_of_the_file_is_merged(self) -> None:
        assert verdicts(place(Roster([known(A, seen=True)], Dedupe.PHONE), row(phone=A))) == ["merged"]

    def test_two_numbers_with_one_mailbox_are_two_people(self) -> None:
        placed = place(Roster([], Dedupe.PHONE), row(1, phone=A, email=ANA), row(2, phone=B, email=ANA))
        assert verdicts(placed) == ["created", "created"]

    def test_row_without_a_number_is_found_by_its_mailbox(self) -> None:
        there = known(A, ANA)
        assert ids(place(Roster([there], Dedupe.PHONE), row(email=ANA))) == [there.id]

    def test_number_is_added_to_a_contact_that_had_only_a_mailbox(self) -> None:
        there = known(email=ANA)
        roster = Roster([there], Dedupe.PHONE)
        assert ids(place(roster, row(1, phone=A, email=ANA), row(2, phone=A))) == [there.id, there.id]
        assert (roster.people[0].phone, roster.people[0].moved) == (A, False)

    def test_new_mailbox_of_a_known_number_replaces_the_old(self) -> None:
        there = known(A, ANA)
        roster = Roster([there], Dedupe.PHONE)
        place(roster, row(1, phone=A, email=RUI))
        assert roster.people[0].email == RUI
        assert ids(place(roster, row(2, email=RUI))) == [there.id]


class TestByEmail:
    def test_mailbox_decides_and_its_number_moves(self) -> None:
        there = known(A, ANA)
        roster = Roster([there], Dedupe.EMAIL)
        assert ids(place(roster, row(email=ANA, phone=B))) == [there.id]
        assert (roster.people[0].phone, roster.people[0].moved) == (B, True)

    def test_number_of_another_contact_is_left_out_and_noted(self) -> None:
        roster = Roster([known(A, RUI)], Dedupe.EMAIL)
        placed = place(roster, row(email=ANA, phone=A))
        assert (placed[0].verdict, placed[0].field) == ("created", "phone")
        assert "belongs to another contact" in placed[0].reason
        assert roster.people[0].phone == ""

    def test_mailbox_is_added_to_a_contact_that_had_only_a_number(self) -> None:
        there = known(A)
        assert ids(place(Roster([there], Dedupe.EMAIL), row(email=ANA, phone=A))) == [there.id]

    def test_number_left_by_one_contact_may_be_taken_by_the_next(self) -> None:
        first = known(A, ANA)
        roster = Roster([first], Dedupe.EMAIL)
        placed = place(roster, row(1, email=ANA, phone=B), row(2, email=RUI, phone=A))
        assert [one.reason for one in placed] == ["", ""]
        assert {person.email: person.phone for person in roster.people} == {ANA: B, RUI: A}

    def test_oldest_of_several_contacts_with_one_mailbox_is_taken(self) -> None:
        old, young = known(A, ANA), known(B, ANA)
        assert ids(place(Roster([old, young], Dedupe.EMAIL), row(email=ANA))) == [old.id]
