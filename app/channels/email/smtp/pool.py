"""The connections of one sender: a bounded number, used again and again, closed when nobody needs them."""

import asyncio
from contextlib import suppress

from app.channels.email.smtp.composing import Mail
from app.channels.email.smtp.faults import Reply
from app.channels.email.smtp.session import Connection
from app.channels.email.smtp.troubles import Gone, Server, TooMany
from app.errors import ProviderUnavailable, SendError

MOST_CONNECTIONS = 10
MOST_MESSAGES = 100  # over one connection: many servers end longer sessions
IDLE_SECONDS = 10.0
FEWER_SECONDS = 60.0  # after a server said that there are too many
WAIT_SECONDS = 20.0  # for a connection that is free; with the rest of a send less than what makes a row stale


class Pool:
    """Belongs to the event loop in which it is made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)
        self._idle: list[tuple[Connection, asyncio.TimerHandle]] = []
        self._busy = 0

    @property
    def here(self) -> bool:
        """Whether it can be used in the running loop."""
        return self._loop is asyncio.get_running_loop()

    async def deliver(self, mail: Mail) -> Reply:
        """Hand the message over on any connection. Raises a SendError."""
        connection = await self._take()
        used_before = connection.messages > 0
        try:
            return await self._over(connection, mail)
        except Gone:
            if not used_before:
                raise
        # it had ended while it was idle, and nothing was handed over: the others are no better
        self.close_idle()
        return await self._over(await self._take(), mail)

    def close_idle(self) -> None:
        for connection, timer in self._idle:
            timer.cancel()
            connection.quit()
        self._idle.clear()

    async def _over(self, connection: Connection, mail: Mail) -> Reply:
        try:
            return await connection.deliver(mail)
        except SendError:
            raise
        except BaseException:
            connection.close()  # nobody knows where it stopped
            raise
        finally:
            self._give_back(connection)

    async def _take(self) -> Connection:
        while True:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._places.acquire()
            except TimeoutError:
                raise ProviderUnavailable(f"No connection to {self._server.host} became free in time.") from None
            self._busy += 1
            try:
                return self._rested() or await Connection.open(self._server)
            except BaseException as error:
                self._busy -= 1
                if not isinstance(error, TooMany) or not self._busy:
                    self._places.release()
                    raise
                self._loop.call_later(FEWER_SECONDS, self._places.release)  # make do with those there are

    def _rested(self) -> Connection | None:
        while self._idle:
            connection, timer = self._idle.pop()
            timer.cancel()
            if connection.usable:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        self._busy -= 1
        self._places.release()
        if not connection.usable or connection.messages >= MOST_MESSAGES:
            connection.quit()
            return
        timer = self._loop.call_later(IDLE_SECONDS, self._end, connection)
        self._idle.append((connection, timer))

    def _end(self, connection: Connection) -> None:
        with suppress(StopIteration):
            entry = next(entry for entry in self._idle if entry[0] is connection)
            self._idle.remove(entry)
            connection.quit()
