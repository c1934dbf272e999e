"""From the inbox of webhooks to projections and signals, batch by batch, in the worker's process.

One transaction holds the batch (`FOR UPDATE SKIP LOCKED`) from beginning to end, so any number of relays share the work
and a crash gives it back at once. Inside of it, in this order: project per tenant and commit; signal; mark processed.
Whatever dies in between is done again, and doing it again changes nothing. PostgreSQL is the gate: while the engine is
away projections go on, and only the signals wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from time import monotonic
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.service import RPCError, RPCStatusCode

from app.db import Sessions
from app.repositories import webhook_events
from app.repositories.webhook_events import Postponed, StoredEvent
from app.services.projections import PendingSignal, project
from app.settings import Settings
from app.temporal import Workflows

BATCH = 200
POLL_SECONDS = 0.05
SIGNALS_AT_ONCE = 8
SIGNAL_SECONDS = 5.0
PROBE_SECONDS = 1.0  # after a failure: the batch behind it should not wait long for an engine that is still away
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds, for the engine
# For the database, whose return must not be slept through: until a stored STOP is projected, the gate lets others pass.
LONGEST_DATABASE_WAIT = 2.0
LONGEST_EVENT_WAIT = 300.0  # for an event that cannot be projected: it stays until someone mends what is wrong
MOST_ERROR = 500  # characters
# The engine as a whole does not answer; anything else is about this one workflow.
AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
    }
)
COLLIDED = frozenset({"40001", "40P01"})  # serialization failure, deadlock
COLLISIONS = 3


class EngineAway(Exception):
    """A signal could not be sent because the engine did not answer."""


class WebhookRelay:
    def __init__(self, sessions: Sessions, workflows: Workflows, settings: Settings) -> None:
        self._sessions, self._workflows, self._settings = sessions, workflows, settings
        self._engine_wait = FIRST_WAIT
        self._engine_away_until = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish the batch in hand."""
        wait = FIRST_WAIT
        while not stop.is_set():
            try:
                handled = await self.drain_once()
            except Exception:  # the database is away, or something unexpected: the events are still there
                logger.exception("the webhook relay starts again in {} s", wait)
                await _sleep(stop, wait)
                wait = min(wait * 2, LONGEST_DATABASE_WAIT)
                continue
            wait = FIRST_WAIT
            if handled < BATCH:
                await _sleep(stop, POLL_SECONDS)

    async def drain_once(self) -> int:
        """Take one batch through; how many events it held. Raises when the database does not answer."""
        async with self._sessions.system() as holding:
            events = await webhook_events.take(holding, BATCH)
            if not events:
                return 0
            by_tenant: dict[UUID, list[StoredEvent]] = {}
            for event in events:
                by_tenant.setdefault(event.tenant_id, []).append(event)
            errors: dict[UUID, Exception] = {}
            signals: list[PendingSignal] = []
            for tenant_id, group in by_tenant.items():
                signals += await self._project(tenant_id, group, errors)
            unsent = await self._send_all(signals)
            await webhook_events.postpone(holding, [*self._failed(events, errors), *self._unsignalled(unsent)])
            done = [event.id for event in events if event.id not in errors and event.id not in unsent]
            await webhook_events.mark_processed(holding, done)
        return len(events)

    async def _project(
        self, tenant_id: UUID, events: Sequence[StoredEvent], errors: dict[UUID, Exception]
    ) -> list[PendingSignal]:
        """Project together; when that fails, in halves, until what cannot be projected stands alone in `errors`."""
        try:
            return await _again_after_collision(lambda: self._project_together(tenant_id, events))
        except Exception as error:
            if _lost_database(error):
                raise
            if len(events) == 1:
                logger.opt(exception=error).error("webhook event {} cannot be projected", events[0].id)
                errors[events[0].id] = error
                return []
        middle = len(events) // 2
        first = await self._project(tenant_id, events[:middle], errors)
        return first + await self._project(tenant_id, events[middle:], errors)

    async def _project_together(self, tenant_id: UUID, events: Sequence[StoredEvent]) -> list[PendingSignal]:
        async with self._sessions.begin(tenant_id) as session:
            return await project(session, tenant_id, events, self._settings)

    async def _send_all(self, signals: Sequence[PendingSignal]) -> dict[UUID, str]:
        """Send them, a few at a time; the events whose signals could not be sent, and why.

        When the engine is away the rest is not tried: each try would wait for its time-out.
        """
        if not signals:
            return {}
        unsent: dict[UUID, str] = {}
        places = asyncio.Semaphore(SIGNALS_AT_ONCE)

        async def send(pending: PendingSignal) -> None:
            async with places:
                if monotonic() < self._engine_away_until:
                    unsent.update(dict.fromkeys(pending.event_ids, "the workflow engine is away"))
                    return
                try:
                    await _send(pending, self._workflows, self._patience)
                except EngineAway as error:
                    unsent.update(dict.fromkeys(pending.event_ids, f"the workflow engine is away: {error}"))
                    self._note_away(error)
                except RPCError as error:
                    logger.error("signal {} was refused: {}", pending.signal.key, error)
                    unsent.update(dict.fromkeys(pending.event_ids, f"signal refused: {error}"))
                else:
                    self._engine_wait = FIRST_WAIT

        await asyncio.gather(*(send(pending) for pending in signals))
        return unsent

    @property
    def _patience(self) -> float:
        return SIGNAL_SECONDS if self._engine_wait == FIRST_WAIT else PROBE_SECONDS

    def _note_away(self, error: EngineAway) -> None:
        """Once for all signals that were under way at the same time."""
        if monotonic() < self._engine_away_until:
            return
        logger.warning("the workflow engine is away, signals wait {} s: {}", self._engine_wait, error)
        self._engine_away_until = monotonic() + self._engine_wait
        self._engine_wait = min(self._engine_wait * 2, LONGEST_WAIT)

    def _failed(self, events: Sequence[StoredEvent], errors: dict[UUID, Exception]) -> list[Postponed]:
        attempts = {event.id: event.attempts for event in events}
        return [
            Postponed(id=id, error=_words(error), wait=_back_off(attempts[id], LONGEST_EVENT_WAIT))
            for id, error in errors.items()
        ]

    def _unsignalled(self, unsent: dict[UUID, str]) -> list[Postponed]:
        """Due when the engine is tried again, so that all of them are caught up as soon as it is back."""
        wait = timedelta(seconds=max(self._engine_away_until - monotonic(), FIRST_WAIT))
        return [Postponed(id=id, error=error[:MOST_ERROR], wait=wait) for id, error in unsent.items()]


async def _send(pending: PendingSignal, workflows: Workflows, seconds: float) -> None:
    """Raises EngineAway, or the RPCError of a signal that the engine refused."""
    try:
        async with asyncio.timeout(seconds):
            await pending.signal.send(workflows)
    except RPCError as error:
        if error.status in AWAY:
            raise EngineAway(str(error)) from error
        raise
    except TimeoutError as error:
        raise EngineAway(f"no answer within {seconds} s") from error
    except RuntimeError as error:  # how the client says that it got no connection
        raise EngineAway(str(error)) from error


async def _again_after_collision(
    action: Callable[[], Awaitable[list[PendingSignal]]],
) -> list[PendingSignal]:
    for _ in range(COLLISIONS):
        try:
            return await action()
        except DBAPIError as error:
            if _sqlstate(error) not in COLLIDED:
                raise
    return await action()


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _lost_database(error: Exception) -> bool:
    """Whether the server went away or refuses everybody, which is no fault of an event."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _sqlstate(error)[:2] in {"", "08", "53", "57"}
    return isinstance(error, PoolTimeout)


def _back_off(attempts: int, longest: float) -> timedelta:
    return timedelta(seconds=min(FIRST_WAIT * 2 ** min(attempts, 16), longest))


def _words(error: Exception) -> str:
    """Without what PostgreSQL cannot store: the error may quote the event."""
    words = f"{type(error).__name__}: {error}"[:MOST_ERROR].replace("\0", "")
    return words.encode("utf-8", "replace").decode()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
