import codecs

import pytest

from app.domain.contact_file.shape import HEAD, Scan, find_shape, open_rows, sniff_format
from app.domain.contact_file.types import FileShape, Format
from app.errors import InvalidInput, Malformed


def scanned(data: bytes, size: int = 3) -> Scan:
    scan = Scan()
    for start in range(0, len(data), size):
        scan.add(data[start : start + size])
    return scan


def shape_of(data: bytes, format: Format = Format.CSV) -> FileShape:
    return find_shape(data, whole=True, format=format, encoding=scanned(data).encoding())


def rows_of(data: bytes) -> list[object]:
    shape = shape_of(data)
    reader = open_rows(shape, offset=shape.start, number=0)
    reader.feed(data[shape.start :], last=True)
    return [row.values for row in reader.take(100)]


class TestScan:
    @pytest.mark.parametrize(
        ("text", "encoding", "expected"),
        [
            ("São João €", "utf-8", "utf-8"),
            ("São João €", "cp1252", "cp1252"),
            ("São João", "latin-1", "cp1252"),
            ("\x81\x8d é", "latin-1", "latin-1"),
            ("plain", "ascii", "utf-8"),
        ],
    )
    def test_encoding_is_the_first_that_fits_every_byte(self, text: str, encoding: str, expected: str) -> None:
        assert scanned(text.encode(encoding)).encoding() == expected

    def test_single_foreign_byte_far_into_the_file_decides(self) -> None:
        scan = Scan()
        for _ in range(50):
            scan.add("olá".encode() * 1_000)
        scan.add(b"Jo\xe3o")
        assert scan.encoding() == "cp1252"

    def test_character_cut_off_at_the_end_is_not_utf8(self) -> None:
        assert scanned("olá".encode()[:-1]).encoding() == "cp1252"


class TestSniffFormat:
    def test_bracket_is_json_and_anything_else_csv(self) -> None:
        assert sniff_format(codecs.BOM_UTF8 + b' \n[{"phone": "1"}]') is Format.JSON
        assert sniff_format(b'{"contacts": []}') is Format.JSON
        assert sniff_format(b"phone,email\n") is Format.CSV


class TestFindShapeOfCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_separator_comes_from_the_header(self, delimiter: str) -> None:
        data = delimiter.join(["phone", "email", "notes"]) + "\n" + delimiter.join(["1", "2", "a,b;c"]) + "\n"
        data = data.replace("a,b;c", '"a,b;c"')
        assert shape_of(data.encode()).delimiter == delimiter
        assert rows_of(data.encode()) == [["1", "2", "a,b;c"]]

    def test_separator_that_names_more_known_columns_wins(self) -> None:
        assert shape_of(b'phone;first_name;"a,b,c,d,e"\n').delimiter == ";"

    def test_byte_order_mark_is_skipped(self) -> None:
        data = codecs.BOM_UTF8 + "phone,city\n+351912345678,Évora\n".encode()
        assert shape_of(data).header == ("phone", "city")
        assert rows_of(data) == [["+351912345678", "Évora"]]

    def test_header_without_rows_is_a_file_with_no_rows(self) -> None:
        assert rows_of(b"phone") == []

    def test_empty_names_at_the_end_are_dropped(self) -> None:
        assert shape_of(b"phone,email,,\n").header == ("phone", "email")

    @pytest.mark.parametrize("data", [b"", b" \r\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE + b"p\0", b"PK\x03\x04zip"])
    def test_what_is_no_text_is_malformed(self, data: bytes) -> None:
        with pytest.raises(Malformed):
            shape_of(data)

    @pytest.mark.parametrize(
        ("header", "pointer"),
        [
            (b"name,city\n", "/header"),
            (b"\x00\x01\x02", "/header"),
            (b"phone,Phone\n", "/header/1"),
            (b"phone,,city\n", "/header/1"),
            (b"phone," + b"x" * 200 + b"\n", "/header/1"),
            (b"phone" + b",c" * 300 + b"\n", "/header"),
        ],
    )
    def test_header_that_cannot_be_used_is_named(self, header: bytes, pointer: str) -> None:
        with pytest.raises(InvalidInput) as error:
            shape_of(header)
        assert error.value.errors[0].pointer == pointer

    def test_header_without_an_address_lists_what_is_expected(self) -> None:
        with pytest.raises(InvalidInput, match="first_name.*consent_whatsapp"):
            shape_of(b"name,city\n")

    def test_header_that_never_ends_is_malformed(self) -> None:
        with pytest.raises(Malformed):
            find_shape(b"x" * HEAD, whole=False, format=Format.CSV, encoding="utf-8")


class TestFindShapeOfJson:
    def test_array_and_envelope_begin_behind_their_bracket(self) -> None:
        assert shape_of(b' [{"phone":"1"}]', Format.JSON).start == 2
        enveloped = shape_of(b'{ "contacts" : [ {"phone":"1"}] }', Format.JSON)
        assert (enveloped.start, enveloped.enveloped) == (16, True)

    def test_empty_array_is_a_file_with_no_rows(self) -> None:
        assert shape_of(b"[]", Format.JSON).start == 1

    @pytest.mark.parametrize("data", [b'{"people": []}', b'"x"', b"12", b"[12]", b'[{"phone":"1"}, null]'])
    def test_what_is_no_array_of_objects_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidInput, match="object|array"):
            shape_of(data, Format.JSON)

    @pytest.mark.parametrize("data", [b'[{"phone":"1"', b'[{"phone":"1"}] x', b"[{'phone':1}]", b"["])
    def test_what_is_no_json_is_malformed(self, data: bytes) -> None:
        with pytest.raises(Malformed, match="Not valid JSON at byte"):
            shape_of(data, Format.JSON)
