"""A provider on a real socket that does exactly what a test tells it to, down to the TCP reset."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any = b""  # bytes as they are, anything else as JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)
        headers = {"content-length": str(len(body)), "content-type": "application/json", **self.headers}
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Raw:
    """These bytes, then the end of the connection."""

    data: bytes


@dataclass(frozen=True)
class Close:
    """Read the request, then close without an answer."""


@dataclass(frozen=True)
class Reset:
    """Reset the connection, with the request read or not."""

    unread: bool = False


@dataclass(frozen=True)
class Hang:
    """Read the request and never answer."""


@dataclass(frozen=True)
class Drip:
    """An answer that never ends, a little at a time."""


Step = Reply | Raw | Close | Reset | Hang | Drip


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


class ScriptedProvider:
    """Follows `steps`, one per request; the last one repeats. Whole requests are kept in `requests`."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.url = ""
        self._ended = asyncio.Event()

    def will(self, *steps: Step) -> None:
        self.steps = list(steps)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.steps[0] == Reset(unread=True):
            _reset(writer)
            return False
        self.requests.append(await _read(reader))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        match step:
            case Reply():
                writer.write(step.encode())
                await writer.drain()
                return True
            case Raw():
                writer.write(step.data)
                await writer.drain()
            case Reset():
                _reset(writer)
            case Drip():
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                while not self._ended.is_set():
                    writer.write(b"{")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            case Hang():
                await self._ended.wait()
        return False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["ScriptedProvider"]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self._ended.set()
            server.close()
            await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, target, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
