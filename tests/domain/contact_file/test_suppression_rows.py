"""Rows of suppression lists, our own and those of providers."""

import pytest

from app.domain.contact_file.suppression_rows import SuppressionParser, SuppressionRow, check_header
from app.domain.contact_file.types import FileShape, Format, RawRow, RejectedRow
from app.errors import InvalidInput


def parse(
    header: str, *cells: str, region: str = "PT", channel: str = "", reason: str = ""
) -> SuppressionRow | RejectedRow:
    shape = FileShape(format=Format.CSV, header=check_header(header.split(",")))
    parser = SuppressionParser(shape, default_region=region, channel=channel, reason=reason)
    return parser.parse(RawRow(1, 10, list(cells)))


def taken(row: SuppressionRow | RejectedRow) -> tuple[str, str, str, str]:
    assert isinstance(row, SuppressionRow), row
    return row.channel, row.address, row.reason, row.source


class TestOwnList:
    def test_every_column(self) -> None:
        row = parse("channel,address,reason,source", "sms", "912 345 678", "stop", "old system")
        assert taken(row) == ("sms", "+351912345678", "stop", "old system")

    def test_an_address_with_an_at_is_email(self) -> None:
        assert taken(parse("address", "Ana@Example.com")) == ("email", "ana@example.com", "manual", "import")

    def test_an_apostrophe_of_our_own_export_is_taken_off(self) -> None:
        assert taken(parse("channel,address,source", "email", "a@b.example", "'=1+1"))[3] == "=1+1"


class TestListsOfProviders:
    def test_bounces_with_the_words_of_a_server(self) -> None:
        cells = ("5.1.1", "550 no such user", "a@b.example", "1790000000")
        row = parse("status,reason,email,created", *cells, reason="bounce")
        assert taken(row) == ("email", "a@b.example", "bounce", "550 no such user")

    @pytest.mark.parametrize(
        ("words", "reason"),
        [("Spam Report", "complaint"), ("hard bounce", "bounce"), ("Unsubscribed", "unsubscribe"), ("DNC", "manual")],
    )
    def test_usual_words_for_a_reason(self, words: str, reason: str) -> None:
        assert taken(parse("Email Address,Type", "a@b.example", words))[2] == reason

    def test_numbers_take_the_channel_of_the_list(self) -> None:
        assert taken(parse("Phone-Number", "+351912345678", channel="sms"))[0] == "sms"


class TestBadRows:
    @pytest.mark.parametrize(
        ("header", "cells", "field", "words"),
        [
            ("phone", ("+351912345678",), "channel", "default_channel"),
            ("channel,address", ("pigeon", "a@b.example"), "channel", "whatsapp, email, sms"),
            ("channel,address", ("email", "nobody"), "address", "not an e-mail address"),
            ("channel,address", ("sms", "12"), "address", "12"),
            ("email,reason", ("a@b.example", "fell out"), "reason", "default_reason"),
            ("email", ("",), "address", "no address"),
            ("email,reason", ("a@b.example", "stop", "more"), "", "3 cells"),
        ],
    )
    def test_each_says_what_is_wrong(self, header: str, cells: tuple[str, ...], field: str, words: str) -> None:
        row = parse(header, *cells)
        assert isinstance(row, RejectedRow)
        assert row.field == field
        assert words in row.reason

    def test_a_header_without_addresses_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="column with addresses"):
            check_header(["name", "reason"])
