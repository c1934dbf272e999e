"""How failures and interruptions look to the engine and to the person who reads its UI."""

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from app.errors import SendError

T = TypeVar("T")
HEARTBEAT_SECONDS = 2.0


def sender_trouble(error: SendError, *, retry_in: timedelta = timedelta(seconds=30)) -> ApplicationError:
    """The sender, not a message, is at fault: the work waits for the mend and says so in the provider's own words."""
    return ApplicationError(
        f"{error.detail} (provider code {error.provider_code or 'none'}). Nothing was lost: sending goes on by itself "
        "once the channel setting or the account is mended.",
        type=error.code,
        next_retry_delay=retry_in,
    )


def handed_back() -> ApplicationError:
    """This worker is stopping; what it had begun is finished and recorded, the rest is for another."""
    return ApplicationError(
        "The worker is stopping and handed the rest back.", type="draining", next_retry_delay=timedelta(seconds=0.2)
    )


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even when the engine gives this attempt up meanwhile: an answer under way still lands."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def sleep(seconds: float) -> bool:
    """Wait with heartbeats; false as soon as this worker is asked to stop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        activity.heartbeat()
        if await _within(activity.wait_for_worker_shutdown(), min(left, HEARTBEAT_SECONDS)):
            return False
    return not activity.is_worker_shutdown()


async def _within(awaitable: Awaitable[None], seconds: float) -> bool:
    try:
        await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        return False
    return True
