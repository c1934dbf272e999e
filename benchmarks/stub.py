"""The provider of the benchmarks: accepts every WhatsApp message after 20 ms, and counts who got what how often.

`python -m benchmarks.stub PORT [LATENCY_MS]`. It parses no more than it must, so that it is never what is measured: row
`stub` says how fast it is. It answers on `/{version}/{phone number}/messages` in the shape of the Cloud API, on
`/counts` with what it has counted, on `/accepted` with when it accepted each reference, and on `/health`.
"""

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass
from typing import Any, cast

import orjson
import uvloop

LATENCY_MS = 20.0
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True)
class Counts:
    """Requests accepted; how many different (recipient, reference) they were; how many of these came again."""

    accepted: int
    distinct: int
    repeated: int


@dataclass(frozen=True)
class StubClient:
    """What a trial asks the stub."""

    url: str

    async def counts(self) -> Counts:
        return Counts(**await self._get("/counts"))

    async def accepted_at(self) -> dict[str, float]:
        """When the first answer to each reference left, as Unix time."""
        found: dict[str, float] = await self._get("/accepted")
        return found

    async def _get(self, path: str) -> dict[str, Any]:
        """By hand, because trials ask ten times a second and an HTTP client costs more than the answer."""
        host, _, port = self.url.rpartition("/")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"GET %b HTTP/1.1\r\nHost: stub\r\n\r\n" % path.encode())
            head = await reader.readuntil(HEAD_END)
            found: dict[str, Any] = orjson.loads(await reader.readexactly(_length(head)))
        finally:
            writer.close()
        return found


class Ledger:
    """What was accepted."""

    def __init__(self) -> None:
        self.accepted = 0
        self.seen: set[str] = set()
        self.first_at: dict[str, float] = {}
        self.numbers = itertools.count(1)

    def accept(self, body: bytes) -> bytes:
        """Count the message; the answer to it. Raises ValueError or KeyError when it isn't one."""
        message = orjson.loads(body)
        to, reference = message["to"], message["biz_opaque_callback_data"]
        self.accepted += 1
        self.seen.add(f"{to} {reference}")
        self.first_at.setdefault(reference, time.time())
        return (
            b'{"messaging_product":"whatsapp","contacts":[{"input":"%b","wa_id":"%b"}],'
            b'"messages":[{"id":"wamid.bench%012x","message_status":"accepted"}]}'
        ) % (to.encode(), to.encode(), next(self.numbers))

    def counts(self) -> bytes:
        distinct = len(self.seen)
        return orjson.dumps({"accepted": self.accepted, "distinct": distinct, "repeated": self.accepted - distinct})


class Connection(asyncio.Protocol):
    """One keep-alive connection. Answers are as late as the provider's, one timer each."""

    def __init__(self, ledger: Ledger, latency: float) -> None:
        self.ledger, self.latency = ledger, latency
        self.loop = asyncio.get_running_loop()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class is not derived from it

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (head_end := self.buffer.find(HEAD_END)) >= 0:
            head, start = self.buffer[:head_end], head_end + len(HEAD_END)
            end = start + _length(head)
            if len(self.buffer) < end:
                return
            body, self.buffer = self.buffer[start:end], self.buffer[end:]
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/messages"):
            self.loop.call_later(self.latency, self._accept, body)
        elif path == b"/counts":
            self._answer(b"200 OK", self.ledger.counts())
        elif path == b"/accepted":
            self._answer(b"200 OK", orjson.dumps(self.ledger.first_at))
        elif path == b"/health":
            self._answer(b"200 OK", b"{}")
        else:
            self._answer(b"404 Not Found", b"{}")

    def _accept(self, body: bytes) -> None:
        try:
            answer = self.ledger.accept(body)
        except (ValueError, KeyError):
            self._answer(b"400 Bad Request", b'{"error":{"code":100,"message":"Not a message."}}')
        else:
            self._answer(b"200 OK", answer)

    def _answer(self, status: bytes, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
        )


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(LENGTH)
    if at < 0:
        return 0
    end = lowered.find(b"\r\n", at)
    return int(lowered[at + len(LENGTH) : end if end >= 0 else None])


async def serve(port: int, latency_ms: float) -> None:
    ledger = Ledger()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(ledger, latency_ms / 1_000), "127.0.0.1", port, backlog=1_024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else LATENCY_MS))
