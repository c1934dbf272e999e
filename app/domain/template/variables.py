"""The variables that a template declares, and the values that a campaign or a send brings for them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from app.domain.pointers import child
from app.errors import FieldError, InvalidInput

TYPES = ("string", "number", "boolean", "date")
ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
A_VALUE = {"string": "text", "number": "a number", "boolean": "true or false", "date": "an ISO date (2026-03-31)"}


class MissingVariable(InvalidInput):
    """`name` has no value: a required variable (`code`), or a contact field that must not be empty here."""

    code, title = "missing_variable", "Missing variable"

    def __init__(self, name: str, detail: str) -> None:
        pointer = "/" + name.replace(".", "/") if "." in name else child("/variables", name)
        super().__init__(detail, errors=[FieldError(pointer=pointer, detail=detail)])
        self.name = name


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    name: str
    type: str  # one of TYPES
    required: bool = False
    default: Any = None


def is_absent(value: Any) -> bool:
    """None and blank text would leave a hole in the message."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_of_type(value: Any, type_: str) -> bool:
    match type_:
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return isinstance(value, date) or (isinstance(value, str) and _is_iso(value))


def missing(name: str) -> str:
    return f"The variable {name!r} is required and has no value."


def problems(declared: Sequence[Variable], values: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with `values`: required ones that are absent, and wrong types. Further names are no problem,
    because the templates of one campaign share its variables."""
    errors = []
    for variable in declared:
        value = values.get(variable.name)
        pointer = child("/variables", variable.name)
        if is_absent(value):
            if variable.required and is_absent(variable.default):
                errors.append(FieldError(pointer=pointer, detail=missing(variable.name)))
        elif not is_of_type(value, variable.type):
            detail = f"The variable {variable.name!r} must be {A_VALUE[variable.type]}."
            errors.append(FieldError(pointer=pointer, detail=detail))
    return errors


def _is_iso(text: str) -> bool:
    if not ISO.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
