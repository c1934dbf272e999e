"""A load generator: prebuilt HTTP/1.1 requests over keep-alive connections, and how long each answer took.

    report = await drive("127.0.0.1", port, requests, connections=64)                     # as fast as it answers
    report = await drive("127.0.0.1", port, requests, connections=64, per_second=500)     # at a steady pace

Without a pace every connection sends its next request once it has its answer. With one, a request is due at its instant
whether a connection is free or not, and its latency counts from that instant: a server that stalls is not excused from
the requests that would have come meanwhile.
"""

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

from benchmarks.figures import milliseconds

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
TICK_SECONDS = 0.001


@dataclass
class Report:
    """What came of it. `latencies` are seconds, in the order of the answers."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    def facts(self) -> dict[str, float]:
        return milliseconds(self.latencies)


def post(path: str, body: bytes, content_type: str = "application/json", **headers: str) -> bytes:
    """The bytes of one POST; `headers` with `_` for `-`."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + HEAD_END + body


async def drive(
    host: str, port: int, requests: Iterable[bytes], *, connections: int = 64, per_second: float | None = None
) -> Report:
    """Send every request once and read every answer. Raises ConnectionError when the server hangs up."""
    driver = _Driver(iter(requests), per_second)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(driver), host, port) for _ in range(connections)]
    began = time.perf_counter()
    try:
        driver.start([connection for _, connection in opened])
        await driver.done
    finally:
        driver.over = True
        for transport, _ in opened:
            transport.close()
    driver.report.seconds = time.perf_counter() - began
    return driver.report


class _Driver:
    """Hands requests to connections, and knows when all are answered."""

    def __init__(self, requests: Iterator[bytes], per_second: float | None) -> None:
        self.requests, self.per_second = requests, per_second
        self.report = Report()
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.idle: list[_Connection] = []
        self.due: deque[tuple[bytes, float]] = deque()
        self.under_way = 0
        self.made, self.exhausted, self.over = 0, False, False

    def start(self, connections: list["_Connection"]) -> None:
        self.began = time.perf_counter()
        self.idle = list(connections)
        if self.per_second is not None:
            self._tick()
            return
        for connection in connections:
            self.free(connection)

    def free(self, connection: "_Connection") -> None:
        """The connection has nothing to do."""
        if self.per_second is not None:
            if self.due:
                self._give(connection, *self.due.popleft())
            else:
                self.idle.append(connection)
                self._look_for_the_end()
        elif (request := next(self.requests, None)) is not None:
            self._give(connection, request, time.perf_counter())
        else:
            self.exhausted = True
            self._look_for_the_end()

    def _tick(self) -> None:
        """Make the requests whose instant has come."""
        assert self.per_second is not None
        now = time.perf_counter()
        while (instant := self.began + self.made / self.per_second) <= now:
            request = next(self.requests, None)
            if request is None:
                self.exhausted = True
                self._look_for_the_end()
                return
            self.made += 1
            if self.idle:
                self._give(self.idle.pop(), request, instant)
            else:
                self.due.append((request, instant))
        self.loop.call_later(max(TICK_SECONDS, instant - now), self._tick)

    def _give(self, connection: "_Connection", request: bytes, since: float) -> None:
        self.under_way += 1
        connection.send(request, since)

    def answered(self, connection: "_Connection", status: int, since: float) -> None:
        self.under_way -= 1
        self.report.statuses[status] += 1
        self.report.latencies.append(time.perf_counter() - since)
        self.free(connection)

    def lost(self, error: Exception) -> None:
        if not self.over and not self.done.done():
            self.done.set_exception(error)

    def _look_for_the_end(self) -> None:
        if self.exhausted and not self.under_way and not self.due and not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, driver: _Driver) -> None:
        self.driver, self.buffer, self.since = driver, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class is not derived from it

    def connection_lost(self, error: Exception | None) -> None:
        self.driver.lost(error or ConnectionError("the server closed a connection"))

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        head_end = self.buffer.find(HEAD_END)
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        at = head.find(LENGTH)
        if at < 0:
            self.driver.lost(ConnectionError("an answer without Content-Length"))
            return
        length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0])
        if len(self.buffer) < head_end + len(HEAD_END) + length:
            return
        self.buffer = b""
        self.driver.answered(self, int(head[9:12]), self.since)
