"""How failures and interruptions look to the engine and to the person who reads its UI."""

import asyncio
from collections.abc import Awaitable, Coroutine
from datetime import timedelta
from random import uniform
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

T = TypeVar("T")
HEARTBEAT_SECONDS = 2.0
MEND = "Nothing was lost: sending goes on by itself once the channel setting or the account is mended."
# A refused sender is asked for again after a pause that doubles: thousands of sequences may be waiting for it.
FIRST_LOOK, LONGEST_LOOK = timedelta(seconds=5), timedelta(minutes=1)


def sender_trouble(words: str, *, look_again: timedelta = FIRST_LOOK) -> ApplicationError:
    """The sender, not a message, is at fault: the work waits for the mend and says so in the provider's own words."""
    pause = min(look_again * 2 ** min(activity.info().attempt - 1, 10), max(look_again, LONGEST_LOOK))
    return ApplicationError(
        f"Standing still: {words}. {MEND}", type="sender_refused", next_retry_delay=pause * uniform(0.8, 1.2)
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
