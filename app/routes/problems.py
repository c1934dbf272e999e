"""Every error as a problem document (RFC 9457), `application/problem+json`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from loguru import logger
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from temporalio.service import RPCError

from app.domain.pointers import child
from app.errors import AppError, FieldError
from app.schemas.base import Problem
from app.secrets import UnreadableSecret

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "2"


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    title: str = "",
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:relay:problem:{code}",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"pointer": error.pointer, "detail": error.detail} for error in errors],
    }
    content = orjson.dumps(_printable(body))
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def app_problem(error: AppError) -> Response:
    headers = {}
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="relay"'
    if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE or error.code == "in_progress":
        headers["Retry-After"] = RETRY_SECONDS
    return problem(error.http_status, error.code, error.detail, title=error.title, errors=error.errors, headers=headers)


def install(app: FastAPI) -> None:
    """Add the handlers; what none of them knows becomes a 500 that tells nothing and is logged by the server."""

    @app.exception_handler(AppError)
    async def _app_error(request: Request, error: AppError) -> Response:
        return app_problem(error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        errors = [_field_error(one) for one in error.errors()]
        detail = f"{errors[0].pointer or 'The body'}: {errors[0].detail}" if errors else "The request is not valid."
        if len(errors) > 1:
            detail += f" (and {len(errors) - 1} more)"
        return problem(422, "invalid_input", detail, title="Invalid input", errors=errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        detail = error.detail if error.detail != phrase else _hint(request, error.status_code)
        return problem(error.status_code, code, detail, headers=error.headers)

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    async def _database(request: Request, error: Exception) -> Response:
        logger.error("{} {}: the database did not answer: {}", request.method, request.url.path, error)
        detail = "The database does not answer. Nothing was written; try again."
        return problem(503, "database_unavailable", detail, headers={"Retry-After": RETRY_SECONDS})

    @app.exception_handler(RPCError)
    async def _engine(request: Request, error: RPCError) -> Response:
        logger.error("{} {}: the workflow engine did not answer: {}", request.method, request.url.path, error)
        detail = "The workflow engine does not answer; try again."
        return problem(503, "engine_unavailable", detail, headers={"Retry-After": RETRY_SECONDS})

    @app.exception_handler(DataError)
    async def _data(request: Request, error: DataError) -> Response:
        logger.warning("{} {}: {}", request.method, request.url.path, error.orig)
        return problem(422, "invalid_input", "A value is out of range or can't be stored.", title="Invalid input")

    @app.exception_handler(UnreadableSecret)
    async def _unreadable(request: Request, error: UnreadableSecret) -> Response:
        logger.error("{} {}: credentials can't be opened: {}", request.method, request.url.path, error)
        detail = f"Stored credentials can't be opened: {error}."
        return problem(503, "credentials_unreadable", detail)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        return problem(500, "internal_error", "Something went wrong on our side. It was logged; try again later.")


def _hint(request: Request, status: int) -> str:
    what = f"{request.method} {request.url.path}"
    if status == HTTPStatus.NOT_FOUND:
        return f"There is no {what}. See /docs for what there is."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{what} is not possible; the Allow header names what is."
    return f"{what}: {HTTPStatus(status).phrase}"


def _field_error(error: Mapping[str, Any]) -> FieldError:
    place, *path = error["loc"] or ("body",)
    name = str(path[-1]) if path else ""
    if place in {"query", "path", "header"}:
        pointer = {"query": "?", "path": "", "header": ""}[place] + name
    else:
        pointer = ""
        for part in path:
            pointer = child(pointer, part)
    match error["type"]:
        case "extra_forbidden":
            detail = f"Unknown field {name!r}."
        case "missing":
            detail = f"{name} is required." if name else "A JSON body is required."
        case _:
            detail = str(error["msg"]).removeprefix("Value error, ")
    return FieldError(pointer=pointer, detail=detail)


def _printable(value: Any) -> Any:
    """A bad value may be quoted in an answer, but a lone surrogate can't be written as UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {key: _printable(item) for key, item in value.items()}
        case list():
            return [_printable(item) for item in value]
        case _:
            return value


def _example(status: int, code: str, detail: str, pointer: str = "") -> dict[str, Any]:
    errors = [{"pointer": pointer, "detail": detail}] if pointer else []
    body = {
        "type": f"urn:relay:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": errors,
    }
    return {
        "description": HTTPStatus(status).phrase,
        "model": Problem,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": body}},
    }


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    return {status: EXAMPLES[status] for status in statuses}


EXAMPLES: dict[int, dict[str, Any]] = {
    400: _example(400, "malformed", "The body is not valid JSON: Expecting value: line 1 column 1 (char 0)."),
    401: _example(401, "unauthenticated", "Send your API key as `Authorization: Bearer rk_…`."),
    403: _example(403, "permission_denied", "A viewer may only read."),
    404: _example(404, "not_found", "There is no such row."),
    409: _example(409, "conflict", "This is not possible in the present state."),
    413: _example(413, "too_large", "The body is larger than 1000000 bytes (RELAY_MAX_BODY_BYTES)."),
    415: _example(415, "unsupported_media_type", "Send the body as application/json."),
    502: _example(502, "provider_misconfigured", "Invalid OAuth access token - Cannot parse access token"),
    422: _example(422, "invalid_input", "name is required.", "/name"),
    503: _example(503, "database_unavailable", "The database does not answer. Nothing was written; try again."),
}
COMMON = documented(401, 403, 422, 503)  # any authenticated route
WITH_BODY = {**COMMON, **documented(400, 413, 415)}
CREATING = {**WITH_BODY, **documented(409)}
