import csv
import io
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from app.domain.contact_file.csv_rows import LONG_CELL, LONG_LINE, UNCLOSED, CsvRows
from app.domain.contact_file.types import LONGEST_RECORD, FileShape, Format, RawRow

SHAPE = FileShape(format=Format.CSV, delimiter=",")
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8)


def pieces(data: bytes, size: int) -> Iterator[tuple[bytes, bool]]:
    for start in range(0, max(len(data), 1), size):
        yield data[start : start + size], start + size >= len(data)


def read(data: bytes, *, offset: int = 0, number: int = 0, size: int = 7, limit: int = 3) -> list[RawRow]:
    reader = CsvRows(SHAPE, offset=offset, number=number)
    rows: list[RawRow] = []
    for piece, last in pieces(data[offset:], size):
        reader.feed(piece, last=last)
        while batch := reader.take(limit):
            rows += batch
    return rows


def values(data: bytes, **options: int) -> list[object]:
    return [row.values for row in read(data, **options)]


def written(table: list[list[str]], line_end: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end).writerows(table)
    return text.getvalue().encode()


class TestCsvRows:
    @given(TABLES, st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 40), st.integers(1, 4))
    def test_rows_do_not_depend_on_where_pieces_end(
        self, table: list[list[str]], line_end: str, size: int, limit: int
    ) -> None:
        data = written(table, line_end)
        expected = [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if any(c.strip() for c in row)]
        assert values(data, size=size, limit=limit) == expected

    @given(TABLES, st.integers(1, 40))
    def test_reading_goes_on_behind_any_row(self, table: list[list[str]], size: int) -> None:
        data = written(table, "\r\n")
        rows = read(data)
        for index, row in enumerate(rows):
            assert read(data, offset=row.end, number=row.number, size=size) == rows[index + 1 :]

    def test_quoted_newlines_and_separators_stay_in_their_cell(self) -> None:
        assert values(b'a,"one\ntwo, ""three"""\nb,c\n') == [["a", 'one\ntwo, "three"'], ["b", "c"]]

    def test_every_line_end_ends_a_row(self) -> None:
        assert values(b"a,1\r\nb,2\nc,3\rd,4") == [["a", "1"], ["b", "2"], ["c", "3"], ["d", "4"]]

    def test_blank_lines_are_not_counted(self) -> None:
        assert [(row.number, row.values) for row in read(b"\n,,\na,1\n\n  ,\nb,2\n\n\n")] == [
            (1, ["a", "1"]),
            (2, ["b", "2"]),
        ]

    def test_quote_that_never_closes_costs_only_its_own_row(self) -> None:
        rows = read(b'a,1\n"b,2\nc,3\nd,4\n')
        assert [(row.number, row.values, row.problem) for row in rows] == [
            (1, ["a", "1"], ""),
            (2, [], UNCLOSED),
            (3, ["c", "3"], ""),
            (4, ["d", "4"], ""),
        ]

    def test_unclosed_quote_far_from_the_end_costs_only_its_own_row(self) -> None:
        data = b'"a,1\n' + b"b,2\n" * 100_000
        rows = read(data, size=LONGEST_RECORD, limit=1_000)
        assert rows[0].problem == UNCLOSED
        assert len(rows) == 100_001
        assert rows[-1].end == len(data)

    def test_cell_beyond_the_limit_is_rejected_and_the_next_row_is_read(self) -> None:
        rows = read(b"x" * 200_000 + b",1\nb,2\n", size=LONGEST_RECORD)
        assert [row.problem for row in rows] == [LONG_CELL, ""]

    def test_line_beyond_the_limit_is_dropped_as_it_comes(self) -> None:
        data = b"a,1\n" + b"x" * (5 * LONGEST_RECORD) + b"\nb,2\n"
        rows = read(data, size=LONGEST_RECORD // 2)
        assert [(row.problem, row.values) for row in rows] == [("", ["a", "1"]), (LONG_LINE, []), ("", ["b", "2"])]
        assert rows[-1].end == len(data)

    def test_line_beyond_the_limit_at_the_end_is_rejected(self) -> None:
        data = b"a,1\n" + b"x" * (3 * LONGEST_RECORD)
        rows = read(data, size=LONGEST_RECORD)
        assert [row.problem for row in rows] == ["", LONG_LINE]
        assert rows[-1].end == len(data)
