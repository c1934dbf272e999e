"""What a file is: its encoding, separator, header, and where its rows begin."""

import codecs
import hashlib
import re

from app.domain.contact_file import suppression_rows
from app.domain.contact_file.columns import KNOWN, check_header, field_name
from app.domain.contact_file.csv_rows import CsvRows
from app.domain.contact_file.json_rows import NOT_AN_OBJECT, JsonRows
from app.domain.contact_file.types import FileKind, FileProblem, FileShape, Format, RowReader
from app.errors import InvalidInput, Malformed

HEAD = 4 << 20  # this much of a file is read before it is taken; what is wrong further on ends the import as failed
DELIMITERS = (",", ";", "\t")
BOM = codecs.BOM_UTF8
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNDEFINED_IN_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")
_BINARY = (b"PK\x03\x04", b"%PDF", b"\x89PNG", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")
_OPENING = {kind: re.compile(rb'\s*(?:\[|(\{\s*"%b"\s*:\s*\[))' % kind.value.encode()) for kind in FileKind}


class Scan:
    """Looks at every byte once while a file comes in: its size, its digest, and which encoding fits all of it."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._is_utf8 = self._is_cp1252 = True

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._digest.update(piece)
        self._try_utf8(piece, final=False)
        if self._is_cp1252:
            self._is_cp1252 = not any(byte in piece for byte in _UNDEFINED_IN_CP1252)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def encoding(self) -> str:
        """Call it once, behind the last piece. Latin-1 is the last resort: it fits anything."""
        self._try_utf8(b"", final=True)
        return "utf-8" if self._is_utf8 else "cp1252" if self._is_cp1252 else "latin-1"

    def _try_utf8(self, piece: bytes, *, final: bool) -> None:
        if self._is_utf8:
            try:
                self._utf8.decode(piece, final)
            except UnicodeDecodeError:
                self._is_utf8 = False


def sniff_format(head: bytes) -> Format:
    """For an upload that doesn't say: a header never begins with a bracket."""
    return Format.JSON if head.removeprefix(BOM).lstrip()[:1] in (b"[", b"{") else Format.CSV


def find_shape(
    head: bytes, *, whole: bool, format: Format, encoding: str, kind: FileKind = FileKind.CONTACTS
) -> FileShape:
    """What the file is, from its first HEAD bytes; `whole` is true when there is no more.

    Raises Malformed for bytes that are not what they should be, InvalidInput for a header or rows that can't be used.
    """
    if not head.strip():
        raise Malformed(f"The body is empty: send a CSV file with a header line, or a JSON array of {kind}.")
    if head.startswith(_UTF16):
        raise Malformed("The file is UTF-16: save it as UTF-8 (in a spreadsheet: CSV UTF-8).")
    if head.startswith(_BINARY):
        raise Malformed("This is not a text file: save the sheet as CSV first.")
    return (
        _json_shape(head, whole, encoding, kind) if format is Format.JSON else _csv_shape(head, whole, encoding, kind)
    )


def open_rows(shape: FileShape, *, offset: int, number: int) -> RowReader:
    """A reader that goes on at byte `offset`, behind row `number`."""
    kind = JsonRows if shape.format is Format.JSON else CsvRows
    return kind(shape, offset=offset, number=number)


def _csv_shape(head: bytes, whole: bool, encoding: str, kind: FileKind) -> FileShape:
    suppressions = kind is FileKind.SUPPRESSIONS
    begin = len(BOM) if head.startswith(BOM) else 0
    best: tuple[tuple[int, int], FileShape, list[str]] | None = None
    for delimiter in DELIMITERS:
        shape = FileShape(format=Format.CSV, encoding=encoding, delimiter=delimiter)
        rows = CsvRows(shape, offset=begin, number=0)
        rows.feed(head[begin:], last=whole)
        first = rows.take(1)
        if not first or first[0].problem or not isinstance(first[0].values, list):
            continue
        names = first[0].values
        known = suppression_rows.is_known if suppressions else _is_known
        rank = (sum(map(known, names)), len(names))
        if best is None or rank > best[0]:
            best = (
                rank,
                FileShape(format=Format.CSV, encoding=encoding, delimiter=delimiter, start=first[0].end),
                names,
            )
    if best is None:
        raise Malformed("The first line can't be read as a CSV header: check its quotes and its line end.")
    _, shape, names = best
    return FileShape(
        format=Format.CSV,
        encoding=encoding,
        delimiter=shape.delimiter,
        header=suppression_rows.check_header(names) if suppressions else check_header(names),
        start=shape.start,
    )


def _is_known(name: str) -> bool:
    return field_name(name) in KNOWN


def _json_shape(head: bytes, whole: bool, encoding: str, kind: FileKind) -> FileShape:
    begin = len(BOM) if head.startswith(BOM) else 0
    opening = _OPENING[kind].match(head, begin)
    if opening is None:
        raise InvalidInput.at("", f'The body must be a JSON array of {kind}, or {{"{kind}": […]}}.')
    shape = FileShape(format=Format.JSON, encoding=encoding, start=opening.end(), enveloped=bool(opening[1]))
    rows = JsonRows(shape, offset=shape.start, number=0)
    try:
        rows.feed(head[shape.start :], last=whole)
        while batch := rows.take(1_000):
            for row in batch:
                if row.problem:
                    raise InvalidInput.at(
                        f"/{kind}/{row.number - 1}" if opening[1] else f"/{row.number - 1}", NOT_AN_OBJECT
                    )
    except FileProblem as problem:
        raise Malformed(str(problem)) from None
    return shape
