"""What the adapters share in reading webhooks: bodies, times and keys. Nothing here trusts the body's shape."""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from app.channels.base import WebhookRequest
from app.errors import Malformed

# Neither can be stored in PostgreSQL: a lone surrogate is not UTF-8, and NUL is refused in text and in JSON.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_FORM_FIELDS = 1_000


def read_json(request: WebhookRequest) -> Any:
    """The body as JSON that can be stored. Raises Malformed."""
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        value = _read_lenient(request.body, str(error))
    return _storable(value) if rb"\u" in request.body else value


def _read_lenient(body: bytes, complaint: str) -> Any:
    """orjson refuses lone surrogates, which a person can type; everything else it refuses is malformed."""
    if re.search(rb"\\u[dD][89a-fA-F]", body):
        try:
            return json.loads(body, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
        except (ValueError, RecursionError):
            pass  # orjson's complaint says it as well
    raise Malformed(f"The webhook body is not valid JSON: {complaint}.")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _integer(number: str) -> int | float:
    """As orjson reads it: what exceeds 64 bits is a float."""
    value = int(number)
    return value if -(2**63) <= value < 2**64 else _finite(number)


def _storable(value: Any) -> Any:
    match value:
        case str():
            return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
        case dict():
            return {_storable(name): _storable(item) for name, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case _:
            return value


@lru_cache(maxsize=1)
def form_pairs(body: bytes) -> Sequence[tuple[str, str]]:
    """The form's names and values in their order; bytes that are not UTF-8 become lone surrogates, which encode back to
    them. Remembers the last body, because a request is verified and then read. Raises ValueError.
    """
    return parse_qsl(
        body.decode("utf-8", "surrogateescape"),
        keep_blank_values=True,
        errors="surrogateescape",
        max_num_fields=MAX_FORM_FIELDS,
    )


def read_form(request: WebhookRequest) -> dict[str, str]:
    """The body as form fields, the first value of each name. Raises Malformed."""
    try:
        pairs = form_pairs(request.body)
    except ValueError:
        raise Malformed(f"The webhook body has more than {MAX_FORM_FIELDS} form fields.") from None
    whole = "".join([name + value for name, value in pairs])
    if not whole.isascii() or "\0" in whole:
        pairs = [(_storable(name), _storable(value)) for name, value in pairs]
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def read_query(request: WebhookRequest) -> dict[str, str]:
    """The fields of the address, as they can be stored."""
    return {_storable(name): _storable(value) for name, value in request.query.items()}


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """`value` as a list of objects; absent is empty. Raises Malformed naming the place that is something else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{where} must be a list.")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise Malformed(f"{where}[{index}] must be an object.")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """A string or a number as text; anything else is empty."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def from_unix(value: Any) -> datetime:
    """Unix seconds, as a number or a string; now, when they cannot be read."""
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def digest(*parts: Any) -> str:
    """A key for a report that has no id of its own: the same parts give the same key."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


def same(given: str, expected: str) -> bool:
    """Compare a secret in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def e164(digits: Any) -> str:
    """Digits with or without `+` as E.164; empty when they are not a telephone number."""
    number = text(digits).removeprefix("+")
    return f"+{number}" if number.isascii() and number.isdigit() and len(number) <= 15 else ""


def without_empty(**values: Any) -> Mapping[str, Any]:
    """The facts that are there."""
    return {name: value for name, value in values.items() if value not in ("", None, [], {})}
