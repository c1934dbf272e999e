"""The beginning of a session: TLS before anything that is worth hiding, then the password."""

import asyncio
import ssl
from functools import cache

import aiosmtplib
import httpx
from aiosmtplib import SMTPException, SMTPResponseException

from app.channels.email.smtp.faults import Reply, Stage
from app.channels.email.smtp.troubles import Server, TooMany, described, refusal
from app.errors import ProviderMisconfigured, ProviderUnavailable, SendError

TLS, STARTTLS, NONE = "tls", "starttls", "none"
DEAF = frozenset({"WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "HTTP_REQUEST"})  # no TLS where TLS was wanted


@cache
def tls_context() -> ssl.SSLContext:
    """Certificate and host name are verified; `SSL_CERT_FILE` names other authorities than the usual ones."""
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def open_session(server: Server) -> aiosmtplib.SMTP:
    """An authenticated client. Raises ProviderMisconfigured, ProviderUnavailable or TooMany."""
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
    return client


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
        return TooMany(reply.words) if reply.code == 421 else refusal(reply, Stage.SESSION)
    trouble = _tls_trouble(error)
    if trouble is not None:
        words = f"{server.host} has no certificate or protocol to trust: {trouble}"
        return ProviderMisconfigured(words, provider_code="tls")
    return ProviderUnavailable(described(server, error))


def _tls_trouble(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError) and (
            isinstance(error, ssl.SSLCertVerificationError) or error.reason in DEAF
        ):
            return error
        error = error.__cause__ or error.__context__
    return None
