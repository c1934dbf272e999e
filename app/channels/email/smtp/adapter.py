"""E-mail over SMTP (RFC 5321), with delivery reports and answers handed over by the operator's mail server."""

import ipaddress
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from app.channels.base import (
    AdapterContext,
    Feature,
    LookupResult,
    OneByOne,
    OutboundMessage,
    Receipt,
    WebhookEvent,
    WebhookRequest,
)
from app.channels.credentials import not_plain, problems
from app.channels.email.smtp import events, signature
from app.channels.email.smtp.composing import From, ascii_domain, compose, mailbox
from app.channels.email.smtp.opening import NONE, STARTTLS, TLS
from app.channels.email.smtp.pool import Pool
from app.channels.email.smtp.troubles import Server
from app.domain.status import Channel
from app.errors import InvalidSignature, MessageRejected, UnsupportedFeature

SECURITIES = (TLS, STARTTLS, NONE)
TIMEOUT_SECONDS = 15.0
SHORTEST_SECRET = 16


class SmtpEmail(OneByOne):
    provider: ClassVar[str] = "smtp"
    channel: ClassVar[Channel] = Channel.EMAIL
    # no key and no look-up: a message whose reply got lost is unknown until a report comes back
    features: ClassVar[frozenset[Feature]] = frozenset({Feature.INBOUND})
    required_credentials: ClassVar[frozenset[str]] = frozenset({"host", "port", "security", "from_email"})
    optional_credentials: ClassVar[frozenset[str]] = frozenset(
        {"username", "password", "from_name", "bounce_domain", "inbound_secret"}
    )
    secret_credentials: ClassVar[frozenset[str]] = frozenset({"password", "inbound_secret"})
    default_messages_per_second: ClassVar[float | None] = None
    recipient_interval: ClassVar[timedelta | None] = None
    idempotency_key_lifetime: ClassVar[timedelta | None] = None

    def __init__(self, credentials: Mapping[str, str], context: AdapterContext) -> None:
        address = mailbox(credentials["from_email"])
        self._secret = credentials.get("inbound_secret", "")
        self._from = From(
            address=address,
            name=credentials.get("from_name", ""),
            bounce_domain=ascii_domain(credentials["bounce_domain"]) if credentials.get("bounce_domain") else "",
            secret=self._secret,
        )
        host, port, security = _place(credentials, context.base_url)
        self._server = Server(
            host=host,
            port=port,
            security=security,
            username=credentials.get("username", ""),
            password=credentials.get("password", ""),
            greeting=self._from.domain,
            timeout=context.http.timeout.read or TIMEOUT_SECONDS,
        )
        self._pool: Pool | None = None

    @classmethod
    def check_credentials(cls, credentials: Mapping[str, str]) -> list[str]:
        found = problems(
            credentials,
            required=cls.required_credentials,
            in_header=("host", "port", "security", "bounce_domain", "inbound_secret"),
        )
        found += _problems_of_place(credentials)
        for name in ("username", "password", "from_name"):
            if not credentials.get(name, "").isprintable():
                found.append(f"credentials.{name} must be printable")
        if bool(credentials.get("username")) != bool(credentials.get("password")):
            missing = "password" if credentials.get("username") else "username"
            found.append(f"credentials.{missing} is missing: give both, or neither where the server asks for none")
        found += _problems_of_addresses(credentials)
        secret = credentials.get("inbound_secret", "")
        if secret and len(secret) < SHORTEST_SECRET:
            found.append(f"credentials.inbound_secret must have at least {SHORTEST_SECRET} characters")
        if credentials.get("bounce_domain") and not secret:
            found.append("credentials.inbound_secret is missing: it signs the return paths at bounce_domain")
        return found

    @classmethod
    def account_hint(cls, credentials: Mapping[str, str]) -> str:
        """Nothing: a mail that comes back says nothing that could be believed before it is verified."""
        return ""

    @classmethod
    def account_hints(cls, request: WebhookRequest) -> list[str]:
        return []

    async def send(self, message: OutboundMessage) -> Receipt:
        """The provider's id is the Message-ID, which answers and reports name; the reply has the server's own."""
        mail = compose(message, self._from)
        if self._pool is None or not self._pool.here:
            self._pool = Pool(self._server)
        reply = await self._pool.deliver(mail)
        return Receipt(provider_message_id=mail.message_id, raw={"reply": reply.words})

    def close(self) -> None:
        """End the connections that rest. They end by themselves after a while."""
        if self._pool is not None:
            self._pool.close_idle()

    def verify(self, request: WebhookRequest) -> None:
        """The mail server signs the mail as it hands it over, so an old signature is a replay."""
        if not self._secret:
            raise InvalidSignature("credentials.inbound_secret is not set, so no mail can be trusted.")
        signature.verify(self._secret, request)

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        return events.parse(request.body, self._secret)

    async def look_up(self, message: OutboundMessage, since: datetime, known: Container[str] = ()) -> LookupResult:
        raise UnsupportedFeature("SMTP cannot be asked what became of a message.")


def _place(credentials: Mapping[str, str], moved_to: str) -> tuple[str, int, str]:
    """Host, port and security: the tenant's, unless the operator moved the provider to `smtp://` or `smtps://`."""
    if not moved_to:
        return credentials["host"], int(credentials["port"]), credentials["security"]
    address = urlsplit(moved_to)
    host = address.hostname or ""
    plain = NONE if _is_loopback(host) else STARTTLS
    security = TLS if address.scheme == "smtps" else plain
    return host, address.port or (465 if security == TLS else 587), security


def _problems_of_place(credentials: Mapping[str, str]) -> list[str]:
    found = []
    port, security = credentials.get("port", ""), credentials.get("security", "")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65_535):
        found.append("credentials.port must be a number between 1 and 65535")
    if security and security not in SECURITIES:
        found.append(f"credentials.security must be one of {', '.join(SECURITIES)}")
    if security == NONE and not _is_loopback(credentials.get("host", "")):
        found.append("credentials.security may be none only for a host on this machine, such as 127.0.0.1")
    return found


def _problems_of_addresses(credentials: Mapping[str, str]) -> list[str]:
    found = []
    if address := credentials.get("from_email"):
        try:
            mailbox(address)
        except MessageRejected:
            found.append("credentials.from_email is not an e-mail address")
    if domain := credentials.get("bounce_domain"):
        try:
            if not_plain(ascii_domain(domain)):
                raise ValueError
        except ValueError:
            found.append("credentials.bounce_domain is not a domain")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
