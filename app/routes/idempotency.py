"""`Idempotency-Key`: the same request again gets the same answer, also after a restart.

A key is taken in a transaction of its own before the request runs. Answers of success are remembered. A refused or
failed request did nothing, so its key is free again: the mended request may use it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.requests import Request
from starlette.responses import Response

from app.db import Sessions
from app.errors import Conflict, InvalidInput
from app.repositories import idempotency

LONGEST_KEY = 255
LEASE = timedelta(seconds=20)  # longer than any request; a process that died leaves its key taken for this long
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)  # seconds; how a repeat waits for the first request


class InProgress(Conflict):
    code, title = "in_progress", "Still in progress"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    tenant_id: UUID
    key: str
    request_hash: str

    @classmethod
    def of(cls, tenant_id: UUID, key: str, request: Request, body: bytes) -> Self:
        """Raises InvalidInput on a key that is empty, too long or not printable ASCII."""
        if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            raise InvalidInput.at(
                "Idempotency-Key", f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters."
            )
        told = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
        return cls(tenant_id=tenant_id, key=key, request_hash=hashlib.sha256(told + body).hexdigest())


async def once(sessions: Sessions, wanted: Wanted, run: Callable[[], Awaitable[Response]]) -> Response:
    """Answer from memory, or run and remember. Raises Conflict for another request under the same key and InProgress
    when the first request takes long."""
    for wait in (*WAITS, None):
        kept = await _take(sessions, wanted)
        if kept is None:
            return await _run(sessions, wanted, run)
        if kept.request_hash != wanted.request_hash:
            raise Conflict("This Idempotency-Key was used for another request: use a new key for a new request.")
        if kept.status_code is not None:
            return _replayed(kept)
        if wait is not None:
            await asyncio.sleep(wait)
    raise InProgress("The first request with this Idempotency-Key is still running: ask again shortly.")


async def _take(sessions: Sessions, wanted: Wanted) -> idempotency.Kept | None:
    """None when the key is ours now."""
    async with sessions.begin(wanted.tenant_id) as session:
        if await idempotency.reserve(session, wanted.tenant_id, wanted.key, wanted.request_hash):
            return None
        kept = await idempotency.find(session, wanted.tenant_id, wanted.key, LEASE)
        dead = kept is not None and kept.stale and kept.request_hash == wanted.request_hash
        if dead and await idempotency.take_over(session, wanted.tenant_id, wanted.key, LEASE):
            return None
    # freed between the two statements: the next round takes it
    return kept or idempotency.Kept(
        request_hash=wanted.request_hash, status_code=None, content_type="", body=b"", stale=False
    )


async def _run(sessions: Sessions, wanted: Wanted, run: Callable[[], Awaitable[Response]]) -> Response:
    try:
        response = await run()
    except BaseException:
        await asyncio.shield(_forget(sessions, wanted))
        raise
    if response.status_code >= 300:
        await _forget(sessions, wanted)
        return response
    try:
        await _remember(sessions, wanted, response)
    except (OperationalError, InterfaceError) as error:
        # What was asked for is done and committed, so saying anything else would be wrong. A repeat finds the same
        # ids once the lease is over.
        logger.error("the answer to an Idempotency-Key could not be kept: {}", error)
    return response


async def _remember(sessions: Sessions, wanted: Wanted, response: Response) -> None:
    async with sessions.begin(wanted.tenant_id) as session:
        await idempotency.remember(
            session,
            wanted.tenant_id,
            wanted.key,
            status_code=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=bytes(response.body),
        )


async def _forget(sessions: Sessions, wanted: Wanted) -> None:
    async with sessions.begin(wanted.tenant_id) as session:
        await idempotency.forget(session, wanted.tenant_id, wanted.key)


def _replayed(kept: idempotency.Kept) -> Response:
    headers = {"Idempotency-Replayed": "true"}
    if kept.content_type:
        headers["content-type"] = kept.content_type
    return Response(kept.body, status_code=kept.status_code or 200, headers=headers)
