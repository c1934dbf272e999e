"""CSV that is safe to open, and reads back as it was."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from app.domain.csv_text import FORMULA_STARTS, cell, lines, uncell

CELLS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["=1+1", "+SUM(A1)", "-2", "@cmd", "+351912345678", "'quoted", '"', "a,b", "\tx"]
)


class TestCell:
    @given(text=CELLS)
    def test_no_cell_is_a_formula_but_a_telephone_number_stays(self, text: str) -> None:
        written = cell(text)
        if written.startswith(FORMULA_STARTS):
            assert written[1:].isdigit()

    @given(text=CELLS.filter(lambda text: uncell(text) == text))
    def test_it_reads_back_as_it_was(self, text: str) -> None:
        assert uncell(cell(text)) == text

    def test_a_quote_of_the_person_is_kept(self) -> None:
        assert uncell("'tis") == "'tis"


class TestLines:
    @given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=4))
    def test_any_reader_of_csv_finds_the_cells(self, rows: list[list[str]]) -> None:
        read = list(csv.reader(io.StringIO(lines(rows), newline="")))
        assert read == [[cell(text) for text in row] for row in rows]
