"""A mail server on a real socket that does exactly what a test tells it to, and keeps what it was told."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

OFFERED = ("SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "AUTH PLAIN LOGIN")
ANSWERS = {
    "EHLO": "250", "HELO": "250", "MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok", "RSET": "250 2.0.0 Ok",
    "DATA": "354 End with a dot", ".": "250 2.0.0 Ok: queued as 4BzX1", "QUIT": "221 2.0.0 Bye",
    "AUTH": "235 2.7.0 Welcome", "STARTTLS": "220 2.0.0 Go",
}  # fmt: skip


class Act(Enum):
    """In place of an answer."""

    DROP = auto()
    RESET = auto()
    HANG = auto()


@dataclass
class Peer:
    """`script[verb]` holds what is answered to it, one after the other; then the usual. Verbs besides the commands:
    `CONNECT` is the greeting, `BODY` comes while a message is on its way, `.` after it."""

    script: dict[str, list[str | bytes | Act]] = field(default_factory=dict)
    offered: tuple[str, ...] = OFFERED
    offered_in_tls: tuple[str, ...] = OFFERED
    tls: ssl.SSLContext | None = None
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, verb: str, *answers: str | bytes | Act) -> None:
        self.script[verb] = list(answers)

    def verbs(self) -> list[str]:
        return [command.partition(" ")[0] for command in self.commands]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if await self._answer(writer, "CONNECT", "220 mx.example.net ESMTP"):
                await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ssl.SSLError):
            pass  # the client left, or the test is over
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = (await reader.readuntil(b"\r\n")).decode().rstrip("\r\n")
            self.commands.append(line)
            verb = line.partition(" ")[0].upper()
            usual = ANSWERS.get(verb, "500 5.5.1 What?")
            if verb == "EHLO":
                offered = self.offered_in_tls if writer.get_extra_info("sslcontext") else self.offered
                usual = "\r\n".join([f"250-{item}" for item in ("mx.example.net", *offered)] + ["250 HELP"])
            said = await self._answer(writer, verb, usual)
            if not said:
                return
            if verb == "STARTTLS" and said.startswith(b"220") and self.tls is not None:
                await writer.start_tls(self.tls)
            if verb == "DATA" and said.startswith(b"354") and not await self._take(reader, writer):
                return
            if verb == "QUIT":
                return

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if self.script.get("BODY"):
            await reader.read(1)
            if await self._answer(writer, "BODY", ""):
                await self.ended.wait()  # and reads no further
            return b""
        content = b""
        while not content.endswith(b"\r\n.\r\n"):
            content += await reader.readuntil(b"\r\n")
        self.messages.append(content.removesuffix(b".\r\n"))
        return await self._answer(writer, ".", ANSWERS["."])

    async def _answer(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> bytes:
        """What was said; empty when the conversation is over."""
        waiting = self.script.get(verb, [])
        answer = waiting.pop(0) if waiting else usual
        if isinstance(answer, Act):
            if answer is Act.HANG:
                await self.ended.wait()
            if answer is Act.RESET:
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return b""
        said = answer if isinstance(answer, bytes) else answer.encode() + b"\r\n"
        writer.write(said)
        await writer.drain()
        return b"" if said.startswith(b"421") else said

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Peer"]:
        """With `tls`: from the first byte."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.ended.set()
            server.close()
