"""A JSON array of objects, element by element, with the byte behind each element known."""

import codecs
import json
import re
from typing import Any, NoReturn

from app.domain.contact_file.types import LONGEST_RECORD, FileProblem, FileShape, RawRow

NOT_AN_OBJECT = 'A row must be an object such as {"phone": "+351912345678"}.'
_SPACE = re.compile(r"[ \t\n\r]*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class JsonRows:
    """Only one element at a time is decoded; what has been read of the text is dropped with the next piece."""

    def __init__(self, shape: FileShape, *, offset: int, number: int) -> None:
        self._offset, self._number = offset, number
        self._encoding = shape.encoding
        self._tail = ("]", "}") if shape.enveloped else ("]",)
        self._expects_comma = offset != shape.start
        self._closed = 0  # how many brackets of the tail have been read
        self._bytes = codecs.getincrementaldecoder(shape.encoding)("strict")
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        self._text = ""
        self._counted = self._at = 0  # where `_offset` stands in the text, and where reading goes on
        self._last = False

    def feed(self, piece: bytes, *, last: bool) -> None:
        self._last = last
        self._text = self._text[self._counted :] + self._bytes.decode(piece, last)
        self._at -= self._counted
        self._counted = 0

    def take(self, limit: int) -> list[RawRow]:
        rows: list[RawRow] = []
        try:
            while len(rows) < limit and (row := self._next_row()) is not None:
                rows.append(row)
        except FileProblem:
            if not rows:
                raise  # else the next call meets it again
        return rows

    def _next_row(self) -> RawRow | None:
        while self._next_is_there():
            if self._closed or (self._text[self._at] == "]" and (self._expects_comma or not self._number)):
                self._close()
            elif self._expects_comma:
                self._read_comma()
            else:
                return self._read_element()
        return None

    def _next_is_there(self) -> bool:
        """Skip space. False at the end of what was fed. Raises FileProblem when the file ends too early."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        if self._at < len(self._text):
            return True
        if self._last and self._closed < len(self._tail):
            raise self._problem(f"the file ends before its closing {self._tail[self._closed]}")
        return False

    def _read_comma(self) -> None:
        if self._text[self._at] != ",":
            raise self._problem("expected , or ]")
        self._at += 1
        self._expects_comma = False

    def _close(self) -> None:
        if self._closed == len(self._tail) or self._text[self._at] != self._tail[self._closed]:
            raise self._problem("there is more behind the array of contacts")
        self._closed += 1
        self._at += 1

    def _read_element(self) -> RawRow | None:
        """The next element, or None when its end hasn't been fed."""
        may_grow = not self._last and len(self._text) - self._at <= LONGEST_RECORD
        try:
            value, end = self._decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            if may_grow:
                return None
            raise self._problem(error.msg, error.pos) from None
        except RecursionError:
            raise self._problem("nested too deeply") from None
        except ValueError as error:  # NaN, Infinity, or a number of thousands of digits
            raise self._problem(str(error).split(";")[0]) from None
        if end == len(self._text) and may_grow and not isinstance(value, dict):
            return None  # 12 may go on as 123
        return self._row(value, end)

    def _row(self, value: Any, end: int) -> RawRow:
        self._offset += self._size(end)
        self._counted = self._at = end
        self._expects_comma = True
        self._number += 1
        if isinstance(value, dict):
            return RawRow(self._number, self._offset, value)
        return RawRow(self._number, self._offset, {}, NOT_AN_OBJECT)

    def _size(self, end: int) -> int:
        return len(self._text[self._counted : end].encode(self._encoding))

    def _problem(self, words: str, at: int | None = None) -> FileProblem:
        byte = self._offset + self._size(self._at if at is None else at)
        return FileProblem(f"Not valid JSON at byte {byte}: {words}.")
