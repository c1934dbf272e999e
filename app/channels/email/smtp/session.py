"""One connection to a mail server, and one message over it.

Until the final dot has left nothing is accepted, and sending again is safe. From then on only the server's reply tells.
"""

import asyncio
import re
import ssl
from dataclasses import dataclass
from functools import cache
from typing import cast

import aiosmtplib
import httpx
from aiosmtplib import SMTPException, SMTPResponseException

from app.channels.email.smtp.composing import Mail
from app.channels.email.smtp.faults import Reply, Stage, fault_of_reply
from app.errors import MessageRejected, OutcomeUnknown, ProviderMisconfigured, ProviderUnavailable, SendError

TLS, STARTTLS, NONE = "tls", "starttls", "none"
NOT_SMTP = Reply(0, "")
LINE_START = re.compile(rb"^\.", re.MULTILINE)
FLUSH_SECONDS = 0.005
REFUSED_OPTIONS = frozenset({455, 501, 504, 555})
DEAF = frozenset({"WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "HTTP_REQUEST"})  # no TLS where TLS was wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where to, how, and as whom; `username` empty: without authentication. `greeting` is our name in EHLO."""

    host: str
    port: int
    security: str
    username: str
    password: str
    greeting: str
    timeout: float

    @property
    def after_dot(self) -> float:
        """How long the reply to a whole message is waited for. RFC 5321 asks for ten minutes, which is longer than a
        send may take here; what is not answered by then is unknown."""
        return 2 * self.timeout


class Gone(ProviderUnavailable):
    """The connection broke, or the server ended the session, before the message was handed over."""


class TooMany(ProviderUnavailable):
    """The server takes no further connection."""


@cache
def tls_context() -> ssl.SSLContext:
    """Certificate and host name are verified; `SSL_CERT_FILE` names other authorities than the usual ones."""
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Connection:
    """Authenticated and idle, or busy with one message. Not for two at once."""

    def __init__(self, client: aiosmtplib.SMTP, server: Server) -> None:
        self._client, self._server = client, server
        self.messages = 0
        self.reports = client.supports_extension("dsn")

    @property
    def usable(self) -> bool:
        return self._client.is_connected

    @classmethod
    async def open(cls, server: Server) -> "Connection":
        """Raises ProviderMisconfigured, ProviderUnavailable or TooMany."""
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=server.greeting,
            timeout=server.timeout,
            use_tls=server.security == TLS,
            start_tls=False,  # below, where it is clear what to do without it
            tls_context=None if server.security == NONE else tls_context(),
        )
        try:
            async with asyncio.timeout(server.timeout):
                await _set_up(client, server)
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise _unopened(server, error) from error
        except BaseException:
            client.close()
            raise
        return cls(client, server)

    async def deliver(self, mail: Mail) -> Reply:
        """The server's reply that accepts the message. Raises a SendError; Gone when nothing was said of it."""
        try:
            async with asyncio.timeout(self._server.timeout):
                self._check_fit(mail)
                await self._envelope(mail)
                await self._command(Stage.MESSAGE, b"DATA", expected=354)
        except SendError:
            await self._start_over()
            raise
        except (SMTPException, OSError, ValueError) as error:
            self.close()
            raise _unfinished(self._server, error) from error
        self.messages += 1
        return await self._hand_over(mail)

    def quit(self) -> None:
        """Say goodbye without waiting for the answer."""
        protocol = self._client.protocol
        if protocol is not None and protocol.is_connected:
            protocol.write(b"QUIT\r\n")
        self.close()

    def close(self) -> None:
        self._client.close()

    def _check_fit(self, mail: Mail) -> None:
        most = self._client.esmtp_extensions.get("size", "").strip()
        if most.isascii() and most.isdigit() and 0 < int(most[:18]) < len(mail.content):
            words = f"The message has {len(mail.content)} bytes, and the server takes {most}."
            raise MessageRejected(words, provider_code="5.3.4")
        if mail.international and not self._client.supports_extension("smtputf8"):
            words = "The address is beyond ASCII, and the server has no SMTPUTF8."
            raise MessageRejected(words, provider_code="5.6.7")

    async def _envelope(self, mail: Mail) -> None:
        try:
            await self._mail_and_rcpt(mail)
        except _OptionRefused:
            self.reports = False
            await self._command(Stage.SESSION, b"RSET")
            await self._mail_and_rcpt(mail)

    async def _mail_and_rcpt(self, mail: Mail) -> None:
        options, wanted = [], []
        if self._client.supports_extension("size"):
            options.append(b"SIZE=%d" % len(mail.content))
        if mail.international:
            options.append(b"SMTPUTF8")
        if self.reports:
            options += [b"RET=HDRS", b"ENVID=" + mail.envelope_id.encode()]
            wanted.append(b"NOTIFY=FAILURE,DELAY")
            if mail.recipient.isascii():
                wanted.append(b"ORCPT=rfc822;" + _xtext(mail.recipient))
        await self._command(Stage.SENDER, b"MAIL", b"FROM:<%s>" % mail.return_path.encode(), *options)
        await self._command(Stage.RECIPIENT, b"RCPT", b"TO:<%s>" % mail.recipient.encode(), *wanted)

    async def _command(self, stage: Stage, *words: bytes, expected: int = 250) -> None:
        answer = await self._client.execute_command(*words)
        if answer.code == expected or (expected == 250 and 250 <= answer.code < 260):
            return
        reply = Reply(answer.code, answer.message)
        if reply.code in REFUSED_OPTIONS and self.reports and stage in (Stage.SENDER, Stage.RECIPIENT):
            raise _OptionRefused(reply.words)
        if reply.code == 421:
            raise Gone(reply.words)
        raise _refusal(reply, stage)

    async def _start_over(self) -> None:
        """After a refusal the server waits for the rest of its transaction; a connection that won't forget it ends."""
        if not self.usable:
            return
        try:
            async with asyncio.timeout(self._server.timeout):
                if (await self._client.execute_command(b"RSET")).code != 250:
                    self.close()
        except (SMTPException, OSError):
            self.close()

    async def _hand_over(self, mail: Mail) -> Reply:
        protocol = self._client.protocol
        assert protocol is not None  # it has just answered
        content = LINE_START.sub(b"..", mail.content)
        # waited for from now on, because a server may refuse, or leave, in the middle
        answer = asyncio.ensure_future(protocol.read_response())
        try:
            await asyncio.sleep(0)
            try:
                protocol.write(content)
                async with asyncio.timeout(self._server.timeout):
                    await self._flushed(answer)
            except (SMTPException, OSError) as error:
                raise _unfinished(self._server, error) from error
            if answer.done():
                raise self._refused_early(answer)
            protocol.write(b".\r\n")
            await asyncio.wait({answer}, timeout=self._server.after_dot)
            return self._verdict(answer)
        except BaseException:
            if not answer.done():
                answer.cancel()
                self.close()
            elif not answer.cancelled():
                answer.exception()  # seen; what is raised says it already
            raise

    async def _flushed(self, answer: "asyncio.Future[aiosmtplib.SMTPResponse]") -> None:
        """Until the message has left this process, or is of no use any more."""
        transport = cast(asyncio.WriteTransport, self._client.transport)
        while not answer.done() and transport.get_write_buffer_size():
            await asyncio.wait({answer}, timeout=FLUSH_SECONDS)

    def _refused_early(self, answer: "asyncio.Future[aiosmtplib.SMTPResponse]") -> SendError:
        self.close()  # it is in the middle of a message
        if (error := answer.exception()) is not None:
            return Gone(_described(self._server, error))
        said = answer.result()
        return _refusal(Reply(said.code, said.message), Stage.MESSAGE)

    def _verdict(self, answer: "asyncio.Future[aiosmtplib.SMTPResponse]") -> Reply:
        """What the server made of the whole message."""
        if not answer.done():
            raise OutcomeUnknown(f"{self._server.host} did not answer within {self._server.after_dot:g} seconds.")
        if (error := answer.exception()) is not None:
            self.close()
            raise OutcomeUnknown(_described(self._server, error))
        said = answer.result()
        reply = Reply(said.code, said.message)
        if 200 <= reply.code < 300:
            return reply
        if reply.code == 421 or not 400 <= reply.code < 600:
            self.close()
        if 400 <= reply.code < 600:
            raise _refusal(reply, Stage.MESSAGE)
        raise OutcomeUnknown(f"{self._server.host} answered the whole message with {reply.words!r}.")


class _OptionRefused(Exception):
    """The server offers delivery reports, and does not take what they need."""


async def _set_up(client: aiosmtplib.SMTP, server: Server) -> None:
    await client.connect()
    await client.ehlo()
    if server.security == STARTTLS:
        if not client.supports_extension("starttls"):
            words = f"{server.host} does not offer STARTTLS; without it nothing is sent."
            raise ProviderMisconfigured(words, provider_code="starttls")
        await client.starttls()
        await client.ehlo()  # what was said in the clear is forgotten
    if not server.username:
        return
    if "plain" in client.server_auth_methods:
        await client.auth_plain(server.username, server.password)
    elif "login" in client.server_auth_methods:
        await client.auth_login(server.username, server.password)
    else:
        offered = ", ".join(client.server_auth_methods)[:100] or "none"
        words = f"{server.host} offers no way to authenticate that is known here (it offers: {offered})."
        raise ProviderMisconfigured(words, provider_code="auth")


def _unopened(server: Server, error: BaseException) -> SendError:
    """Why there is no connection."""
    if isinstance(error, SMTPResponseException) and 400 <= error.code < 600:
        reply = Reply(error.code, str(error.message))
        return TooMany(reply.words) if reply.code == 421 else _refusal(reply, Stage.SESSION)
    trouble = _tls_trouble(error)
    if trouble is not None:
        words = f"{server.host} has no certificate or protocol to trust: {trouble}"
        return ProviderMisconfigured(words, provider_code="tls")
    return ProviderUnavailable(_described(server, error))


def _unfinished(server: Server, error: BaseException) -> ProviderUnavailable:
    """Why nothing was handed over. A server that is too slow is not asked again at once."""
    return (ProviderUnavailable if isinstance(error, TimeoutError) else Gone)(_described(server, error))


def _tls_trouble(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError) and (
            isinstance(error, ssl.SSLCertVerificationError) or error.reason in DEAF
        ):
            return error
        error = error.__cause__ or error.__context__
    return None


def _refusal(reply: Reply, stage: Stage) -> SendError:
    fault = fault_of_reply(reply, stage)
    # a code counts the attempts of a message; what is said of the session is an outage, which nobody counts
    counted = fault.retry_after is not None or not fault.retryable
    return fault.error(reply.words, code=reply.name if counted else "")


def _described(server: Server, error: BaseException) -> str:
    """Never what a server said that speaks no SMTP: whoever owns the credentials chooses the address."""
    if isinstance(error, SMTPResponseException):
        return f"{server.host}:{server.port} does not speak SMTP."
    if isinstance(error, TimeoutError):
        return f"{server.host}:{server.port} did not answer in time."
    return f"{server.host}:{server.port}: {type(error).__name__}: {error}".rstrip(": ")


def _xtext(value: str) -> bytes:
    """As parameters of commands are written (RFC 3461)."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=" else f"+{ord(character):02X}"
        for character in value
    ).encode()
