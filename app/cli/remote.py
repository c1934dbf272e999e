"""Commands that talk to a running API, as any other client would."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from app.cli.errors import CommandError
from app.settings import Settings

ANYWHERE = {"0.0.0.0", "::"}  # addresses to listen on, not to call
TIMEOUT = httpx.Timeout(10, read=120, write=120)


def local_url(settings: Settings) -> str:
    """Where the API of these settings listens."""
    host = "127.0.0.1" if settings.api_host in ANYWHERE else settings.api_host
    return f"http://{host}:{settings.api_port}"


@contextmanager
def connected(url: str, api_key: str, tenant: str = "") -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {api_key}", **({"X-Tenant-Id": tenant} if tenant else {})}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT) as client:
        yield client


def call(client: httpx.Client, method: str, path: str, **options: Any) -> dict[str, Any]:
    """The JSON answer. Raises CommandError with the API's own words when it refuses or isn't there."""
    try:
        answer = client.request(method, path, **options)
    except httpx.TransportError as error:
        raise CommandError(
            f"the API at {client.base_url} does not answer ({error}): start it with `relay up`, or give its --url"
        ) from error
    if answer.is_error:
        raise CommandError(_refusal(answer))
    found: dict[str, Any] = answer.json()
    return found


def download(client: httpx.Client, path: str) -> Iterator[bytes]:
    """The answer in pieces. Raises CommandError as `call` does."""
    try:
        with client.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
                raise CommandError(_refusal(answer))
            yield from answer.iter_bytes()
    except httpx.TransportError as error:
        raise CommandError(f"the API at {client.base_url} does not answer ({error})") from error


def _refusal(answer: httpx.Response) -> str:
    if answer.headers.get("content-type") != "application/problem+json":
        return f"{answer.request.url} answered {answer.status_code}: is this the address of a Relay API?"
    problem = answer.json()
    places = [f"{error['pointer']}: {error['detail']}" for error in problem["errors"]]
    return "; ".join(places) or problem["detail"]
