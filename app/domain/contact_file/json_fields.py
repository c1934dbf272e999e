"""The fields of a row that came as a JSON object."""

from typing import Any

import orjson

from app.domain.contact_file.columns import EXPORT_ONLY, KNOWN, LONGEST_COLUMN_NAME, field_name
from app.domain.contact_file.types import LONGEST_CELL, MOST_COLUMNS, BadCell

_KNOWN = frozenset(KNOWN)


def json_fields(values: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The texts of KNOWN, in that order, and the attributes. Raises BadCell."""
    if len(values) > MOST_COLUMNS:
        raise BadCell("", f"The row has {len(values)} fields; at most {MOST_COLUMNS} are taken.")
    known: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for key, value in values.items():
        name = field_name(key)
        if value is None or value == "" or name.startswith(EXPORT_ONLY):
            continue
        _check_value(name, value)
        if name not in _KNOWN:
            nested = value if name == "attributes" and isinstance(value, dict) else {name: value}
            attributes.update((inner, item) for inner, item in nested.items() if item is not None and item != "")
        elif name in known:
            raise BadCell(name, f"The field {name!r} is there twice.")
        elif text := _text(name, value):
            known[name] = text
    return tuple(known.get(name, "") for name in KNOWN), attributes


def _text(name: str, value: Any) -> str:
    if name == "tags" and isinstance(value, list):
        if not all(isinstance(tag, str | int) for tag in value):
            raise BadCell(name, "Tags must be a list of texts.")
        return "|".join(str(tag) for tag in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise BadCell(name, "The value must be a text.")


def _check_value(name: str, value: Any) -> None:
    """What PostgreSQL can't keep as JSON, or nobody wants to: raises BadCell."""
    try:
        encoded = orjson.dumps({name: value})
    except TypeError as error:  # integers beyond 64 bits, halves of surrogate pairs, deep nesting
        raise BadCell("", f"A value can't be stored: {error}.") from None
    if b"\\u0000" in encoded and _has_nul({name: value}):
        raise BadCell("", "A value has a NUL character.")
    if len(encoded) > 4 * LONGEST_CELL:
        raise BadCell(name[:LONGEST_COLUMN_NAME], f"The value is longer than {LONGEST_CELL:,} characters.")
    if not name or len(name) > LONGEST_COLUMN_NAME:
        raise BadCell("", f"A field name has 1 to {LONGEST_COLUMN_NAME} characters.")


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value
