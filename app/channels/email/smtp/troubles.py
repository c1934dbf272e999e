"""Where to, and what it means that a server did not do as it should."""

from dataclasses import dataclass

from aiosmtplib import SMTPResponseException

from app.channels.email.smtp.faults import Reply, Stage, fault_of_reply
from app.errors import ProviderUnavailable, SendError


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


def refusal(reply: Reply, stage: Stage) -> SendError:
    """The error of a reply other than the expected one."""
    fault = fault_of_reply(reply, stage)
    # a code counts the attempts of a message; what is said of the session is an outage, which nobody counts
    counted = fault.retry_after is not None or not fault.retryable
    return fault.error(reply.words, code=reply.name if counted else "")


def unfinished(server: Server, error: BaseException) -> ProviderUnavailable:
    """Why nothing was handed over. A server that is too slow is not asked again at once."""
    return (ProviderUnavailable if isinstance(error, TimeoutError) else Gone)(described(server, error))


def described(server: Server, error: BaseException) -> str:
    """What happened. Never what a server said that speaks no SMTP: whoever owns the credentials chooses the address."""
    if isinstance(error, SMTPResponseException):
        return f"{server.host}:{server.port} does not speak SMTP."
    if isinstance(error, TimeoutError):
        return f"{server.host}:{server.port} did not answer in time."
    return f"{server.host}:{server.port}: {type(error).__name__}: {error}".rstrip(": ")
