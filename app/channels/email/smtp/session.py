"""One connection to a mail server, and one message over it.

Until the final dot has left nothing is accepted, and sending again is safe. From then on only the server's reply tells.
"""

import asyncio
import re
from typing import cast

import aiosmtplib
from aiosmtplib import SMTPException

from app.channels.email.smtp.composing import Mail
from app.channels.email.smtp.faults import Reply, Stage
from app.channels.email.smtp.opening import open_session
from app.channels.email.smtp.troubles import Gone, Server, described, refusal, unfinished
from app.errors import MessageRejected, OutcomeUnknown, SendError

LINE_START = re.compile(rb"^\.", re.MULTILINE)
FLUSH_SECONDS = 0.005
REFUSED_OPTIONS = frozenset({455, 501, 504, 555})


class Connection:
    """Authenticated and idle, or busy with one message. Not for two at once."""

    @classmethod
    async def open(cls, server: Server) -> "Connection":
        """Raises ProviderMisconfigured, ProviderUnavailable or TooMany."""
        return cls(await open_session(server), server)

    def __init__(self, client: aiosmtplib.SMTP, server: Server) -> None:
        self._client, self._server = client, server
        self.messages = 0
        self.reports = client.supports_extension("dsn")

    @property
    def usable(self) -> bool:
        return self._client.is_connected

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
            raise unfinished(self._server, error) from error
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
        raise refusal(reply, stage)

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
                raise unfinished(self._server, error) from error
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
            return Gone(described(self._server, error))
        said = answer.result()
        return refusal(Reply(said.code, said.message), Stage.MESSAGE)

    def _verdict(self, answer: "asyncio.Future[aiosmtplib.SMTPResponse]") -> Reply:
        """What the server made of the whole message."""
        if not answer.done():
            raise OutcomeUnknown(f"{self._server.host} did not answer within {self._server.after_dot:g} seconds.")
        if (error := answer.exception()) is not None:
            self.close()
            raise OutcomeUnknown(described(self._server, error))
        said = answer.result()
        reply = Reply(said.code, said.message)
        if 200 <= reply.code < 300:
            return reply
        if reply.code == 421 or not 400 <= reply.code < 600:
            self.close()
        if 400 <= reply.code < 600:
            raise refusal(reply, Stage.MESSAGE)
        raise OutcomeUnknown(f"{self._server.host} answered the whole message with {reply.words!r}.")


class _OptionRefused(Exception):
    """The server offers delivery reports, and does not take what they need."""


def _xtext(value: str) -> bytes:
    """As parameters of commands are written (RFC 3461)."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=" else f"+{ord(character):02X}"
        for character in value
    ).encode()
