import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.contact_file.json_rows import NOT_AN_OBJECT, JsonRows
from app.domain.contact_file.types import LONGEST_RECORD, FileProblem, FileShape, Format, RawRow

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=6)


def read(
    data: bytes, *, start: int = 1, offset: int | None = None, number: int = 0, size: int = 5, enveloped: bool = False
) -> list[RawRow]:
    shape = FileShape(format=Format.JSON, start=start, enveloped=enveloped)
    begin = start if offset is None else offset
    reader = JsonRows(shape, offset=begin, number=number)
    rows: list[RawRow] = []
    data = data[begin:]
    for at in range(0, max(len(data), 1), size):
        reader.feed(data[at : at + size], last=at + size >= len(data))
        while batch := reader.take(2):
            rows += batch
    return rows


class TestJsonRows:
    @given(ROWS, st.sampled_from([None, 2]), st.booleans(), st.integers(1, 50))
    def test_rows_do_not_depend_on_where_pieces_end(
        self, table: list[dict[str, Any]], indent: int | None, ascii: bool, size: int
    ) -> None:
        data = json.dumps(table, indent=indent, ensure_ascii=ascii).encode()
        assert [row.values for row in read(data, size=size)] == table

    @given(ROWS, st.integers(1, 50))
    def test_reading_goes_on_behind_any_row(self, table: list[dict[str, Any]], size: int) -> None:
        data = json.dumps(table, ensure_ascii=False).encode()
        rows = read(data)
        for index, row in enumerate(rows):
            assert read(data, offset=row.end, number=row.number, size=size) == rows[index + 1 :]

    def test_envelope_is_closed_with_the_array(self) -> None:
        assert len(read(b'{"contacts":[{"a":1}, {"b":2}] } ', start=13, enveloped=True)) == 2

    def test_element_that_is_no_object_is_a_rejected_row(self) -> None:
        rows = read(b'[{"a":1}, 12, "x", {"b":2}]')
        assert [(row.number, row.problem) for row in rows] == [
            (1, ""),
            (2, NOT_AN_OBJECT),
            (3, NOT_AN_OBJECT),
            (4, ""),
        ]

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'[{"a":1}', "byte 8: the file ends before its closing ]"),
            (b'[{"a":1},', "byte 9: the file ends before its closing ]"),
            (b'[{"a":1},]', "byte 9: Expecting value"),
            (b'[{"a":1} {"b":2}]', "byte 9: expected , or ]"),
            (b'[{"a":1}] x', "byte 10: there is more behind the array of contacts"),
            (b'[{"a":1}, {"b":}]', "byte 15: Expecting value"),
            (b'[{"a":NaN}]', "NaN is not JSON"),
            (b'[{"a":' + b"9" * 5_000 + b"}]", "Exceeds the limit"),
            (b'[{"a":' + b"[" * 100_000 + b"}]", "nested too deeply"),
        ],
    )
    def test_broken_file_is_named_with_the_byte(self, body: bytes, words: str) -> None:
        with pytest.raises(FileProblem, match=".") as problem:
            read(body, size=len(body))
        assert words in str(problem.value)

    def test_rows_before_the_break_are_given_first(self) -> None:
        reader = JsonRows(FileShape(format=Format.JSON, start=1), offset=1, number=0)
        reader.feed(b'{"a":1},{"b":2},!', last=True)
        assert len(reader.take(10)) == 2
        with pytest.raises(FileProblem, match="byte 17"):
            reader.take(10)
        with pytest.raises(FileProblem, match="byte 17"):
            reader.take(10)

    def test_element_beyond_the_limit_ends_the_file(self) -> None:
        with pytest.raises(FileProblem):
            read(b'[{"a":"' + b"x" * (3 * LONGEST_RECORD) + b'"}]', size=LONGEST_RECORD)
