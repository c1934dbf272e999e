"""The mail server beside the sandbox's HTTP server: a port of its own, in the same process and event loop."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.simulator.accounts import SMTP
from app.simulator.sandbox import Sandbox
from app.simulator.smtp.certificate import make_certificate, server_context
from app.simulator.smtp.protocol import SubmissionProtocol
from app.simulator.smtp.submission import MailServer

HOST_NAME = "mx.sandbox.example"
LARGEST_MESSAGE = 10_000_000
# aiosmtpd warns of its own use of what it will remove, at every login
logging.getLogger("mail.log").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class ServingMail:
    """`certificate`, in PEM, is what STARTTLS shows: its own authority, made at this start."""

    url: str
    port: int
    certificate: bytes


class Connections(set[SubmissionProtocol]):
    """Those that are open, to be ended with the server."""

    def make(self, handler: MailServer, tls: ssl.SSLContext) -> SubmissionProtocol:
        protocol = OneOf(
            handler,
            hostname=HOST_NAME,
            ident="ESMTP sandbox",
            data_size_limit=LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
            tls_context=tls,
            auth_require_tls=False,  # the sandbox is on loopback, where Relay allows a plain connection
            authenticator=handler.authenticate,
            loop=asyncio.get_running_loop(),
        )
        protocol.siblings = self
        return protocol

    def end(self) -> None:
        for protocol in list(self):
            if protocol.transport is not None:
                protocol.transport.abort()  # type: ignore[attr-defined]


class OneOf(SubmissionProtocol):
    siblings: Connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.siblings.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.siblings.discard(self)
        super().connection_lost(error)


@asynccontextmanager
async def serving_mail(sandbox: Sandbox, host: str, port: int) -> AsyncIterator[ServingMail]:
    """Serve until the block ends. Port 0 takes a free one. Raises OSError when the port is taken."""
    certificate, key = make_certificate(host, "localhost")
    handler, tls, connections = MailServer(sandbox), server_context(certificate, key), Connections()
    server = await asyncio.get_running_loop().create_server(lambda: connections.make(handler, tls), host, port)
    bound: int = server.sockets[0].getsockname()[1]
    sandbox.accounts.default(SMTP).credentials |= {"host": host, "port": str(bound)}
    try:
        yield ServingMail(f"smtp://{host}:{bound}", bound, certificate)
    finally:
        server.close()
        connections.end()
        await server.wait_closed()
