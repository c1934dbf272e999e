"""The names of columns: the known ones in any spelling, and everything else an attribute."""

import re
from dataclasses import dataclass
from functools import lru_cache

from app.domain.contact_file.types import MOST_COLUMNS
from app.errors import FieldError, InvalidInput

KNOWN = (
    "phone",
    "email",
    "first_name",
    "last_name",
    "lang",
    "timezone",
    "tags",
    "consent_whatsapp",
    "consent_email",
    "consent_sms",
    "consent_source",
)
EXPORT_ONLY = "relay_"  # columns of an export that no import reads
LONGEST_COLUMN_NAME = 100
_NOT_LETTERS = re.compile(r"[\W_]+")
_BY_LETTERS = {name.replace("_", ""): name for name in KNOWN}


@lru_cache(maxsize=4096)
def field_name(name: str) -> str:
    """`First Name`, `firstName` and `first_name` are `first_name`; a name that isn't known stays as it is, trimmed."""
    return _BY_LETTERS.get(_NOT_LETTERS.sub("", name).lower(), name.strip())


@dataclass(frozen=True)
class Columns:
    """Which cell is which: (index, name) of the known fields and of the attributes."""

    width: int
    known: tuple[tuple[int, str], ...]
    attributes: tuple[tuple[int, str], ...]


def columns(header: tuple[str, ...]) -> Columns:
    """`header` has been through `check_header`."""
    names = [(index, field_name(name)) for index, name in enumerate(header)]
    return Columns(
        width=len(header),
        known=tuple((index, name) for index, name in names if name in KNOWN),
        attributes=tuple(
            (index, name) for index, name in names if name not in KNOWN and not name.startswith(EXPORT_ONLY)
        ),
    )


def check_header(cells: list[str]) -> tuple[str, ...]:
    """The header without empty names at its end. Raises InvalidInput naming each bad column."""
    names = trimmed(cells)
    if not {"phone", "email"} & set(map(field_name, names)):
        found = ", ".join(repr(name[:40]) for name in names[:20]) or "nothing"
        raise InvalidInput.at(
            "/header",
            f"The first line must name a phone or an email column; it names {found}. Expected columns: "
            f"{', '.join(KNOWN)}; every other column becomes an attribute.",
        )
    return check_names(names)


def trimmed(cells: list[str]) -> list[str]:
    """The names, without the empty ones at the end."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def check_names(names: list[str]) -> tuple[str, ...]:
    """The names, when they can be told apart. Raises InvalidInput naming each that can't."""
    fields = [field_name(name) for name in names]
    if len(names) > MOST_COLUMNS:
        raise InvalidInput.at("/header", f"The file has {len(names)} columns; at most {MOST_COLUMNS} are taken.")
    errors = [
        FieldError(pointer=f"/header/{index}", detail=problem)
        for index, name in enumerate(names)
        if (problem := _problem(name, fields[index], fields[:index]))
    ]
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    return tuple(names)


def _problem(name: str, field: str, before: list[str]) -> str:
    if not name:
        return "This column has no name."
    if "\0" in name or len(name) > LONGEST_COLUMN_NAME:
        return f"A column name has at most {LONGEST_COLUMN_NAME} characters and no NUL."
    return f"The column {field!r} is there twice." if field in before else ""
