"""The route class of the API: bodies that can be stored, within the limit, and `Idempotency-Key` on every POST."""

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.domain.pointers import child
from app.errors import InvalidInput, Malformed, TooLarge
from app.routes import idempotency
from app.routes.deps import IDEMPOTENCY_HEADER, authenticate, resources

# PostgreSQL stores neither: NUL is refused in text and JSON, a lone surrogate is not UTF-8
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LARGEST_INTEGER = 2**63
DEEPEST = 64


class Endpoint(APIRoute):
    """Reads the body itself, so that each fault is named before anything runs."""

    remembers = True  # honours Idempotency-Key, which needs a caller

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        expects_json = self.body_field is not None

        async def checked(request: Request) -> Response:
            check_query(request)
            body = await read_limited(request, resources(request).settings.max_body_bytes)
            loaded = LoadedRequest(request.scope, body, expects_json)
            key = request.headers.get(IDEMPOTENCY_HEADER)
            if key is None or request.method != "POST" or not self.remembers:
                return await handle(loaded)
            principal = await authenticate(request)
            loaded.state.principal = principal
            wanted = idempotency.Wanted.of(principal.tenant.id, key, request, body)
            return await idempotency.once(resources(request).sessions, wanted, lambda: handle(loaded))

        return checked


class PublicEndpoint(Endpoint):
    """For routes that need no API key."""

    remembers = False


class LoadedRequest(Request):
    """A request whose body is in memory and, where the route takes JSON, parsed."""

    def __init__(self, scope: Any, body: bytes, expects_json: bool) -> None:
        super().__init__(scope, _empty_receive)
        self._body = body
        if expects_json and body:
            _expect_json(self)
            self._json = parse_json(body)


async def _empty_receive() -> Any:
    return {"type": "http.disconnect"}


async def read_limited(request: Request, limit: int, setting: str = "RELAY_MAX_BODY_BYTES") -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to exceed `limit` bytes."""
    too_large = TooLarge(f"The body is larger than {limit} bytes ({setting}).")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise too_large
    except ClientDisconnect:
        raise Malformed("The connection was closed before the body was complete.") from None
    return bytes(body)


def check_query(request: Request) -> None:
    """Raises InvalidInput naming a query field that holds characters which can't be stored."""
    for name, value in request.query_params.multi_items():
        if UNSTORABLE.search(name) or UNSTORABLE.search(value):
            raise InvalidInput.at(f"?{name}", "NUL characters are not allowed.")


def _expect_json(request: Request) -> None:
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json" and not (
        content_type.startswith("application/") and content_type.endswith("+json")
    ):
        raise HTTPException(415, f"Send the body as application/json, not {content_type or 'without a type'}.")
    if "content-type" not in request.headers:
        request.scope["headers"] = [*request.scope["headers"], (b"content-type", b"application/json")]
        del request._headers


def parse_json(body: bytes) -> Any:
    """The body as JSON that PostgreSQL can store. Raises Malformed, or InvalidInput naming the field."""
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not valid UTF-8 (byte {error.start}).") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise Malformed(f"The body is not valid JSON: {reason}.") from None
    _check(value, "", 0)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(value: Any, pointer: str, depth: int) -> None:
    if depth > DEEPEST:
        raise InvalidInput.at(pointer, f"This is nested more than {DEEPEST} levels deep.")
    match value:
        case str():
            if UNSTORABLE.search(value):
                raise InvalidInput.at(pointer, "NUL characters and lone surrogates are not allowed.")
        case bool() | None:
            pass
        case int():
            if not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
                raise InvalidInput.at(pointer, "The number is out of range (64-bit integers).")
        case float():
            if not math.isfinite(value):
                raise InvalidInput.at(pointer, "The number is out of range.")
        case list():
            for index, item in enumerate(value):
                _check(item, child(pointer, index), depth + 1)
        case dict():
            for name, item in value.items():
                if UNSTORABLE.search(name):
                    raise InvalidInput.at(pointer, "A field name has NUL characters or lone surrogates.")
                _check(item, child(pointer, name), depth + 1)
