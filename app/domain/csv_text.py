"""CSV that we write: RFC 4180, and safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# to a spreadsheet a telephone number is a number, and whoever reads it back needs it as it is
E164 = re.compile(r"\+[1-9]\d{6,14}")
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def cell(text: str) -> str:
    """A spreadsheet must not run what came from outside as a formula: an apostrophe before it makes it text. Imports
    take the apostrophe off again (see `uncell`)."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not E164.fullmatch(text) else text


def uncell(text: str) -> str:
    """What `cell` was given."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text


def lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()
