"""What the readers of contact files share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

PIECE = 1 << 20  # files are read, kept and fed in pieces of this many bytes
LONGEST_RECORD = 1 << 20  # bytes of one row
LONGEST_CELL = 10_000  # characters
MOST_COLUMNS = 200


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


class FileKind(StrEnum):
    """What the rows are."""

    CONTACTS = "contacts"
    SUPPRESSIONS = "suppressions"


class Dedupe(StrEnum):
    """Which address makes two rows the same person, when a row has both."""

    PHONE = "phone"
    EMAIL = "email"


@dataclass(frozen=True, kw_only=True)
class FileShape:
    """How to read a file. `start` is the byte behind the header or the opening bracket; `enveloped` is true for
    `{"contacts": […]}`, with the rows' own kind."""

    format: Format
    encoding: str = "utf-8"
    delimiter: str = ""
    header: tuple[str, ...] = ()
    start: int = 0
    enveloped: bool = False


class FileProblem(Exception):
    """The file can't be read from here on. The text is a sentence for the person who sent it."""


class BadCell(Exception):
    """A row can't be taken because of the field `name` (empty: the row as such). `reason` is a sentence."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


class RawRow(NamedTuple):
    """A row as it is written. `number` counts rows from 1 without the header and blank lines; `end` is the byte
    behind it; `problem` says why it has no values."""

    number: int
    end: int
    values: list[str] | dict[str, Any]
    problem: str = ""


@dataclass(slots=True)
class RejectedRow:
    number: int
    end: int
    field: str
    reason: str


class RowReader(Protocol):
    """Takes bytes, gives rows. Made at any row's end, it goes on from there."""

    def feed(self, piece: bytes, *, last: bool) -> None: ...

    def take(self, limit: int) -> list[RawRow]:
        """Up to `limit` rows; none: feed more, or behind the last piece, it is the end.

        Raises FileProblem, once the rows before it are given.
        """
        ...
