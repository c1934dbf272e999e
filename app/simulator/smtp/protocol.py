"""SMTP as submission servers speak it: aiosmtpd, with delivery reports (RFC 3461) and STARTTLS on any event loop."""

import ssl
from typing import Any

from aiosmtpd.smtp import SMTP, syntax

MAIL_OPTIONS = frozenset({"RET", "ENVID"})
RCPT_OPTIONS = frozenset({"NOTIFY", "ORCPT"})


class SubmissionProtocol(SMTP):
    """`wanted` holds the options of the transaction under way, by the command that gave them."""

    command_size_limit = 1_024

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self.wanted: dict[str, dict[str, str]] = {}

    @property
    def context(self) -> ssl.SSLContext | None:
        context: ssl.SSLContext | None = self.tls_context
        return context

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str) -> None:
        if arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
            return
        if self.context is None or self._tls_protocol:
            await self.push("454 4.7.0 TLS not available")
            return
        if self._reader._buffer:  # type: ignore[attr-defined]  # commands slipped in before the handshake
            await self.push("421 4.7.0 Commands behind STARTTLS")
            self._writer.close()
            return
        await self.push("220 2.0.0 Ready to start TLS")
        await self._writer.start_tls(self.context)
        self.transport = self._writer.transport
        self._tls_protocol = self.transport.get_extra_info("ssl_object")
        self._set_rset_state()  # type: ignore[no-untyped-call]
        session = self._create_session()
        session.peer = self.transport.get_extra_info("peername")
        session.ssl = {"sslcontext": self.context}
        self.session = session

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        rest, options = _without(arg or "", MAIL_OPTIONS)
        self.wanted["MAIL"] = options
        await super().smtp_MAIL(rest or None)

    @syntax("RCPT TO: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        rest, options = _without(arg or "", RCPT_OPTIONS)
        self.wanted["RCPT"] = options
        await super().smtp_RCPT(rest or None)


def _without(arg: str, names: frozenset[str]) -> tuple[str, dict[str, str]]:
    """The argument without these options, and what they say, in their own case."""
    address, end, rest = arg.partition(">")
    kept, taken = [], {}
    for option in rest.split():
        name, _, value = option.partition("=")
        if name.upper() in names and value:
            taken[name.upper()] = value
        else:
            kept.append(option)
    return " ".join([address + end, *kept]), taken
