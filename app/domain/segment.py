"""Segments: a JSON tree that selects contacts, read into frozen dataclasses; a repository compiles them to SQL."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.domain.pointers import Problems, child
from app.domain.status import Channel

MAX_DEPTH = 12
MAX_CONDITIONS = 200
MAX_VALUES = 1_000
MAX_TEXT = 500
MAX_NUMBER = 10**15
MAX_DAYS = 36_500
ATTRIBUTE = "attributes."
ALIASES = {"last_inbound": "last_inbound_at", "last_outbound": "last_outbound_at"}

Scalar = str | int | float | bool
Value = Scalar | datetime | UUID | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Everyone:
    """`{}`"""


@dataclass(frozen=True, slots=True)
class All:
    items: tuple["Segment", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    items: tuple["Segment", ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: "Segment"


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` is one of FIELDS, or `attributes.` and a name; `op` is one of its operators, which types `value`."""

    field: str
    op: str
    value: Value


Segment = Everyone | All | AnyOf | Not | Condition


def parse_segment(tree: Any, pointer: str = "/segment") -> Segment:
    """Raises InvalidInput that names every mistake by its pointer, with what is allowed there."""
    parser = _Parser()
    segment = parser.node(tree, pointer, 1)
    parser.problems.raise_any()
    return segment


def dump_segment(segment: Segment) -> dict[str, Any]:
    """The JSON tree that reads as `segment`."""
    match segment:
        case Everyone():
            return {}
        case All(items):
            return {"all": [dump_segment(item) for item in items]}
        case AnyOf(items):
            return {"any": [dump_segment(item) for item in items]}
        case Not(item):
            return {"not": dump_segment(item)}
        case Condition(field, op, value):
            return {"field": field, "op": op, "value": _json(value)}


def _json(value: Value) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise ValueError(f"The value must be text of 1 to {MAX_TEXT} characters.")
    if not value.isprintable():  # among them NUL and lone surrogates, which PostgreSQL cannot hold
        raise ValueError("The value has characters that cannot be shown.")
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("The value must be a number.")
    if not abs(value) <= MAX_NUMBER:  # so written, NaN is refused too
        raise ValueError(f"The value must be a number between -{MAX_NUMBER} and {MAX_NUMBER}.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("The value must be true or false.")
    return value


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    raise ValueError("The value must be text, a number, true or false.")


def _comparable(value: Any) -> Scalar:
    """Text compares as text, which is right for ISO dates."""
    if isinstance(value, bool):
        raise ValueError("The value must be a number, or text such as an ISO date.")
    return _scalar(value)


def _days(value: Any) -> int | float:
    number = _number(value)
    if not 0 < number <= MAX_DAYS:
        raise ValueError(f"The value must be a number of days, above 0 and up to {MAX_DAYS}.")
    return number


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("The value must be an ISO date or time such as 2026-03-31T09:00:00Z.") from None


def _uuid(value: Any) -> UUID:
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        raise ValueError("The value must be the id of a campaign.") from None


def _channel(value: Any) -> str:
    if not isinstance(value, str) or value not in list(Channel):
        raise ValueError(f"The value must be one of {', '.join(Channel)}.")
    return value


def _many(read: Callable[[Any], Scalar]) -> Callable[[Any], tuple[Scalar, ...]]:
    def values(value: Any) -> tuple[Scalar, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
            raise ValueError(f"The value must be a list of 1 to {MAX_VALUES} items.")
        return tuple(read(item) for item in value)

    return values


Reader = Callable[[Any], Value]
WORD: dict[str, Reader] = {"eq": _text, "ne": _text, "in": _many(_text), "not_in": _many(_text), "exists": _flag}
MOMENT: dict[str, Reader] = {
    "before": _moment,
    "after": _moment,
    "within_days": _days,
    "not_within_days": _days,
    "exists": _flag,
}
NUMBER: dict[str, Reader] = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), _number)
ATTRIBUTE_OPS: dict[str, Reader] = {
    "eq": _scalar,
    "ne": _scalar,
    "in": _many(_scalar),
    "not_in": _many(_scalar),
    "gt": _comparable,
    "gte": _comparable,
    "lt": _comparable,
    "lte": _comparable,
    "contains": _text,
    "exists": _flag,
}
FIELDS: dict[str, dict[str, Reader]] = {
    "tags": {
        "contains": _text,
        "contains_any": _many(_text),
        "contains_all": _many(_text),
        "not_contains": _text,
        "exists": _flag,
    },
    "lang": WORD,
    "country": WORD,
    "timezone": WORD,
    "first_name": WORD,
    "last_name": WORD,
    "email": WORD,
    "phone": WORD,
    "lead_score": NUMBER,
    "last_inbound_at": MOMENT,
    "last_outbound_at": MOMENT,
    "consent": {"eq": _channel, "ne": _channel, "in": _many(_channel)},
    **{f"consent.{channel.value}": {"eq": _flag} for channel in Channel},
    "converted": {"eq": _flag},
    "campaign": {"member_of": _uuid, "not_member_of": _uuid},
}
SHAPES = "{}, all, any, not, or a condition of field, op and value"


class _Parser:
    def __init__(self) -> None:
        self.problems = Problems()
        self.conditions = 0

    def node(self, tree: Any, pointer: str, depth: int) -> Segment:
        """A mistake is noted, and stands as Everyone until the whole is refused."""
        if depth > MAX_DEPTH:
            self.problems.add(pointer, f"The segment is nested deeper than {MAX_DEPTH} levels.")
            return Everyone()
        if not isinstance(tree, dict):
            self.problems.add(pointer, f"A segment is an object: {SHAPES}.")
            return Everyone()
        if not tree:
            return Everyone()
        kinds = [key for key in ("all", "any", "not", "field") if key in tree]
        if len(kinds) != 1:
            self.problems.add(pointer, f"A segment is exactly one of: {SHAPES}.")
            return Everyone()
        kind = kinds[0]
        if kind == "field":
            return self.condition(tree, pointer)
        self.problems.unknown_keys(tree, (kind,), pointer)
        at = child(pointer, kind)
        if kind == "not":
            return Not(self.node(tree["not"], at, depth + 1))
        items = self.items(tree[kind], at, depth)
        if kind == "all":
            return All(items)
        if not items:
            self.problems.add(at, "any needs at least one item; without one it selects nobody.")
        return AnyOf(items)

    def items(self, value: Any, pointer: str, depth: int) -> tuple[Segment, ...]:
        if not isinstance(value, list):
            self.problems.add(pointer, "This must be a list of segments.")
            return (Everyone(),)
        if len(value) > MAX_CONDITIONS:
            self.problems.add(pointer, f"This has more than {MAX_CONDITIONS} items.")
            return (Everyone(),)
        return tuple(self.node(item, child(pointer, place), depth + 1) for place, item in enumerate(value))

    def condition(self, tree: dict[str, Any], pointer: str) -> Segment:
        self.conditions += 1
        if self.conditions == MAX_CONDITIONS + 1:
            self.problems.add(pointer, f"The segment has more than {MAX_CONDITIONS} conditions.")
        self.problems.unknown_keys(tree, ("field", "op", "value"), pointer)
        name = tree["field"]
        field = ALIASES.get(name, name) if isinstance(name, str) else ""
        operators = self.operators(field, child(pointer, "field"))
        if operators is None:
            return Everyone()
        op = tree.get("op")
        if not isinstance(op, str) or op not in operators:
            self.problems.add(child(pointer, "op"), f"Unknown operator {op!r}; {field} takes {', '.join(operators)}.")
            return Everyone()
        value = tree.get("value", True if op == "exists" else None)
        try:
            return Condition(field, op, operators[op](value))
        except ValueError as error:
            self.problems.add(child(pointer, "value"), str(error))
            return Everyone()

    def operators(self, field: str, pointer: str) -> dict[str, Reader] | None:
        if field.startswith(ATTRIBUTE):
            try:
                _text(field.removeprefix(ATTRIBUTE))
            except ValueError:
                self.problems.add(pointer, f"An attribute has a name of 1 to {MAX_TEXT} characters.")
                return None
            return ATTRIBUTE_OPS
        if field not in FIELDS:
            allowed = ", ".join([*FIELDS, "attributes.<name>"])
            self.problems.add(pointer, f"Unknown field {field!r}; allowed are {allowed}.")
            return None
        return FIELDS[field]
