"""Group commit: the reports of all requests that wait at the same time go into one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

import psycopg
from loguru import logger
from psycopg import AsyncConnection
from psycopg.errors import DataError, DeadlockDetected, OperationalError

from app.db import Sessions, connect_system
from app.errors import AppError, Malformed
from app.repositories import webhook_events

GROUP_ROWS = 500
BUSY_REQUESTS = 4  # a group of at least this many means more are on their way
LINGER_SECONDS = 0.002
COMMIT_SECONDS = 10.0  # providers give up after 15
MOST_WAITING = 20_000  # rows; beyond this the provider's own queue is the better place
# After a connection that broke, perhaps long ago, or a collision with a process that stores the same reports, delivered
# twice, at the same moment. Storing them again changes nothing.
RETRIES = 2


class NotStored(AppError):
    """The provider keeps the report and delivers it again."""

    code, http_status, title = "not_stored", 503, "Not stored"


Told = Callable[[AppError | None], None]


class Entry(NamedTuple):
    rows: Sequence[bytes]
    told: Told


class GroupWriter:
    """`async with` runs its task; leaving writes what still waits."""

    def __init__(self, sessions: Sessions) -> None:
        self._engine = sessions.engine
        self._connection: AsyncConnection | None = None
        self._waiting: list[Entry] = []
        self._rows_waiting = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "GroupWriter":
        self._closing = False
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._connection is not None:
            await self._connection.close()

    async def write(self, rows: Sequence[bytes]) -> None:
        """Return once the rows are committed. Raises NotStored, or Malformed for what PostgreSQL cannot hold."""
        stored = asyncio.get_running_loop().create_future()

        def told(error: AppError | None) -> None:
            if stored.done():  # its request was given up
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

        self.put(rows, told)
        await stored

    def put(self, rows: Sequence[bytes], told: Told) -> None:
        """Have the rows written; `told` is called soon after, with None once they are committed."""
        if not rows:
            _tell([Entry(rows, told)], None)
        elif self._closing or self._task is None or self._task.done() or self._rows_waiting >= MOST_WAITING:
            _tell([Entry(rows, told)], NotStored("The webhook cannot be stored now: deliver it again."))
        else:
            self._waiting.append(Entry(rows, told))
            self._rows_waiting += len(rows)
            self._wake.set()

    async def _run(self) -> None:
        busy = False
        while self._waiting or not self._closing:
            await self._wake.wait()
            if busy and not self._closing:
                await asyncio.sleep(LINGER_SECONDS)
            group = self._take()
            if group:
                await self._write_group(group)
            busy = len(group) >= BUSY_REQUESTS

    def _take(self) -> list[Entry]:
        count = rows = 0
        for entry in self._waiting:
            if count and rows + len(entry.rows) > GROUP_ROWS:
                break
            count, rows = count + 1, rows + len(entry.rows)
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        self._rows_waiting -= rows
        if not self._waiting and not self._closing:
            self._wake.clear()
        return group

    async def _write_group(self, group: Sequence[Entry]) -> None:
        """One transaction for all. Only when PostgreSQL cannot hold a value of one of them does each get its own."""
        try:
            await self._commit([row for entry in group for row in entry.rows])
        except DataError as error:
            if len(group) > 1:
                for entry in group:
                    await self._write_group([entry])
                return
            logger.warning("a webhook holds a value that cannot be stored: {}", error)
            _tell(group, Malformed(f"The webhook holds a value that cannot be stored: {error}"))
        except (psycopg.Error, OSError, TimeoutError) as error:
            logger.error("{} webhooks could not be stored: {!r}", len(group), error)
            _tell(group, NotStored("The webhook could not be stored: deliver it again."))
        except BaseException:  # this task ends, and `write` refuses from now on
            _tell(group, NotStored("The webhook could not be stored: deliver it again."))
            raise
        else:
            _tell(group, None)

    async def _commit(self, rows: Sequence[bytes]) -> None:
        async with asyncio.timeout(COMMIT_SECONDS):
            for _ in range(RETRIES):
                connection = await self._connected()
                try:
                    await webhook_events.add(connection, rows)
                    return
                except OperationalError as error:
                    if not connection.closed and not isinstance(error, DeadlockDetected):
                        raise
            await webhook_events.add(await self._connected(), rows)

    async def _connected(self) -> AsyncConnection:
        """The connection, made anew after it broke."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect_system(self._engine)
        return self._connection


def _tell(group: Sequence[Entry], error: AppError | None) -> None:
    """From the loop, so that nothing that is told can stop the writer."""
    loop = asyncio.get_running_loop()
    for entry in group:
        loop.call_soon(entry.told, error)
