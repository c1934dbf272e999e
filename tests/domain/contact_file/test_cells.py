from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.consent import ConsentCell
from app.domain.contact_file.cells import NO_ADDRESS, ContactRow, RowParser, normalize_lang
from app.domain.contact_file.types import FileShape, Format, RawRow, RejectedRow
from app.domain.status import Channel

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PHONE = "+351912345678"


def from_csv(header: str, row: str) -> ContactRow | RejectedRow:
    shape = FileShape(format=Format.CSV, delimiter=",", header=tuple(header.split(",")))
    return RowParser(shape, default_region="PT", now=NOW).parse(RawRow(1, 10, row.split(",")))


def from_json(**values: Any) -> ContactRow | RejectedRow:
    return RowParser(FileShape(format=Format.JSON), default_region="PT", now=NOW).parse(RawRow(1, 10, values))


def good(row: ContactRow | RejectedRow) -> ContactRow:
    assert isinstance(row, ContactRow), row
    return row


def bad(row: ContactRow | RejectedRow) -> RejectedRow:
    assert isinstance(row, RejectedRow), row
    return row


class TestParseCsv:
    def test_known_columns_are_found_in_any_spelling(self) -> None:
        row = good(from_csv("Phone, E-Mail ,firstName,LAST NAME,Lang", f"{PHONE}, Ana@Example.COM ,Ana,Silva,PT-br"))
        assert (row.phone, row.email, row.first_name, row.last_name, row.lang) == (
            PHONE,
            "ana@example.com",
            "Ana",
            "Silva",
            "pt_BR",
        )

    def test_other_columns_become_attributes_and_empty_ones_nothing(self) -> None:
        row = good(from_csv("phone,Plan,city", f"{PHONE}, gold ,"))
        assert row.attributes == {"Plan": "gold"}

    def test_national_number_is_read_in_the_default_region(self) -> None:
        row = good(from_csv("phone", "912 345 678"))
        assert (row.phone, row.country) == (PHONE, "PT")

    def test_tags_are_split_trimmed_and_unique(self) -> None:
        assert good(from_csv("phone,tags", f"{PHONE},vip | new;vip;;")).tags == ("vip", "new")

    def test_missing_cells_are_empty(self) -> None:
        assert good(from_csv("phone,email,city", PHONE)).email == ""

    def test_empty_cells_beyond_the_header_are_ignored(self) -> None:
        assert good(from_csv("phone,email", f"{PHONE},,,")).phone == PHONE

    def test_cells_beyond_the_header_reject_the_row(self) -> None:
        assert "3 cells" in bad(from_csv("phone,email", f"{PHONE},,x")).reason

    def test_row_without_any_address_is_rejected(self) -> None:
        row = bad(from_csv("phone,email,city", ",,Lisboa"))
        assert (row.field, row.reason) == ("phone", NO_ADDRESS)

    def test_row_whose_addresses_are_all_bad_names_each(self) -> None:
        row = bad(from_csv("phone,email", "12,nobody"))
        assert row.field == "phone,email"
        assert "'12'" in row.reason
        assert "'nobody'" in row.reason

    def test_bad_address_beside_a_good_one_is_left_out_and_noted(self) -> None:
        row = good(from_csv("phone,email", "12,ana@example.com"))
        assert (row.phone, row.email, row.country) == ("", "ana@example.com", "")
        assert [name for name, _ in row.notes] == ["phone"]

    def test_opt_in_for_an_address_left_out_is_left_out_too(self) -> None:
        row = good(from_csv("phone,email,consent_sms,consent_whatsapp,consent_email", "12,ana@example.com,yes,no,yes"))
        assert row.answers.cells == (
            (Channel.WHATSAPP, ConsentCell(opt_out_at=NOW)),
            (Channel.EMAIL, ConsentCell(opt_in_at=NOW)),
        )

    def test_unknown_zone_language_and_consent_are_left_out_and_noted(self) -> None:
        row = good(from_csv("phone,timezone,lang,consent_sms", f"{PHONE},Mars/Olympus,klingonisch,maybe"))
        assert (row.timezone, row.lang, row.answers.cells) == ("", "", ())
        assert {name for name, _ in row.notes} == {"timezone", "lang", "consent_sms"}

    def test_names_and_tags_beyond_their_limits_are_left_out_and_noted(self) -> None:
        row = good(from_csv("phone,first_name,tags", f"{PHONE},{'x' * 201},ok|{'y' * 101}"))
        assert (row.first_name, row.tags) == ("", ("ok",))
        assert [name for name, _ in row.notes] == ["first_name", "tags"]

    @pytest.mark.parametrize("cell", ["x" * 10_001, "a\0b"])
    def test_cell_that_cannot_be_kept_rejects_the_row(self, cell: str) -> None:
        assert bad(from_csv("phone,city", f"{PHONE},{cell}")).field == "city"


class TestParseJson:
    def test_values_keep_their_types_as_attributes(self) -> None:
        row = good(from_json(phone=PHONE, age=42, plan={"name": "gold"}, active=True, nothing=None))
        assert row.attributes == {"age": 42, "plan": {"name": "gold"}, "active": True}

    def test_attributes_object_is_opened(self) -> None:
        assert good(from_json(phone=PHONE, attributes={"city": "Lisboa", "none": None})).attributes == {
            "city": "Lisboa"
        }

    def test_tags_are_a_list_or_a_text(self) -> None:
        assert good(from_json(phone=PHONE, tags=["a", "b"])).tags == good(from_json(phone=PHONE, tags="a|b")).tags

    def test_consents_may_be_booleans_and_numbers(self) -> None:
        row = good(from_json(phone=PHONE, consentSms=True, consent_whatsapp=0))
        assert dict(row.answers.cells) == {
            Channel.SMS: ConsentCell(opt_in_at=NOW),
            Channel.WHATSAPP: ConsentCell(opt_out_at=NOW),
        }

    def test_number_as_phone_is_read_as_its_digits(self) -> None:
        assert good(from_json(phone=912345678)).phone == PHONE

    @pytest.mark.parametrize(
        "values",
        [
            {"phone": [PHONE]},
            {"phone": PHONE, "tags": [["a"]]},
            {"phone": PHONE, "firstName": "a", "first_name": "b"},
            {"phone": PHONE, "big": 10**30},
            {"phone": PHONE, "half": "\ud800"},
            {"phone": PHONE, "nul": {"x": ["a\0"]}},
            {"phone": PHONE, "long": "x" * 50_000},
            {"phone": PHONE, "": 1},
            {"phone": PHONE, "x" * 101: 1},
            {f"f{number}": 1 for number in range(300)},
        ],
    )
    def test_what_cannot_be_kept_rejects_the_row(self, values: dict[str, Any]) -> None:
        bad(from_json(**values))

    def test_backslash_before_a_code_is_no_nul(self) -> None:
        assert good(from_json(phone=PHONE, path="C:\\u0000")).attributes == {"path": "C:\\u0000"}


class TestConsents:
    def test_date_is_an_opt_in_of_that_day(self) -> None:
        row = good(from_csv("phone,consent_sms", f"{PHONE},2026-01-15"))
        assert row.answers.cells == ((Channel.SMS, ConsentCell(opt_in_at=datetime(2026, 1, 15, tzinfo=UTC))),)

    def test_date_in_the_future_is_noted_and_unknown(self) -> None:
        later = (NOW + timedelta(days=1)).isoformat()
        row = good(from_csv("phone,consent_sms", f"{PHONE},{later}"))
        assert row.answers.cells == ()
        assert row.notes[0][0] == "consent_sms"


class TestNormalizeLang:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [("pt", "pt"), ("PT_pt", "pt_PT"), ("zh-hans-cn", "zh_Hans_CN"), ("es-419", "es_419"), ("english", "")],
    )
    def test_codes_have_one_spelling(self, raw: str, expected: str) -> None:
        assert normalize_lang(raw) == expected
