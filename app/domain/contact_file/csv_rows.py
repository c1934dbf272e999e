"""CSV, row by row, with the byte behind each row known."""

import csv
from collections.abc import Iterator

from app.domain.contact_file.types import LONGEST_RECORD, FileShape, RawRow

UNCLOSED = 'A quote (") opens in this row and never closes.'
LONG_CELL = f"A cell is longer than {csv.field_size_limit():,} characters."
LONG_LINE = f"The row is longer than {LONGEST_RECORD:,} bytes."


class _NeedMore(Exception):
    """The record goes on in bytes that haven't been fed."""


class _Unreadable(Exception):
    """The line can't be a row."""


class CsvRows:
    """Lines end with CRLF, LF or CR. A row that can't be read costs only its first line: reading goes on behind it."""

    def __init__(self, shape: FileShape, *, offset: int, number: int) -> None:
        self._encoding, self._delimiter = shape.encoding, shape.delimiter
        self._offset, self._number = offset, number
        self._lines: list[tuple[int, bytes]] = []  # size and text; a size beyond the text is a line cut off
        self._first = self._next = 0  # the first line of the record being read, and the first line not read
        self._rest = b""  # the beginning of a line whose end is still to come
        self._dropped = 0  # bytes of a line too long to keep, dropped so far
        self._last = False

    def feed(self, piece: bytes, *, last: bool) -> None:
        self._last = last
        del self._lines[: self._first]
        self._next -= self._first
        self._first = 0
        lines = (self._rest + piece).splitlines(keepends=True)
        # a CR at the end may be half of a CRLF
        self._rest = lines.pop() if lines and not last and not lines[-1].endswith(b"\n") else b""
        if self._dropped and (lines or last):
            cut = lines.pop(0) if lines else b""
            self._lines.append((self._dropped + len(cut), b""))
            self._dropped = 0
        self._lines.extend((len(line), line) for line in lines)
        if len(self._rest) > LONGEST_RECORD or (self._dropped and self._rest):
            self._dropped += len(self._rest)
            self._rest = b""

    def take(self, limit: int) -> list[RawRow]:
        rows: list[RawRow] = []
        while len(rows) < limit and self._next < len(self._lines):
            try:
                self._read(rows, limit)
            except _NeedMore:
                self._next = self._first
                break
            except _Unreadable as problem:
                rows.append(self._rejected(str(problem)))
            except csv.Error:
                rows.append(self._rejected(UNCLOSED if self._next - self._first > 1 else LONG_CELL))
        return rows

    def _read(self, rows: list[RawRow], limit: int) -> None:
        for cells in csv.reader(self._source(), delimiter=self._delimiter):
            self._advance()
            if any(map(str.strip, cells)):
                self._number += 1
                rows.append(RawRow(self._number, self._offset, cells))
                if len(rows) == limit:
                    return

    def _source(self) -> Iterator[str]:
        while self._next < len(self._lines):
            size, line = self._lines[self._next]
            self._next += 1
            if size != len(line):
                raise _Unreadable(LONG_LINE if self._next - self._first == 1 else UNCLOSED)
            yield line.decode(self._encoding)
        if self._next > self._first:  # asked for more in the middle of a record: a quote is open
            raise _Unreadable(UNCLOSED) if self._last else _NeedMore

    def _rejected(self, problem: str) -> RawRow:
        self._next = self._first + 1
        self._advance()
        self._number += 1
        return RawRow(self._number, self._offset, [], problem)

    def _advance(self) -> None:
        for index in range(self._first, self._next):
            self._offset += self._lines[index][0]
        self._first = self._next
