"""A rendered message as an Internet message (RFC 5322) and its envelope."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Any

from app.channels.base import OutboundMessage
from app.channels.email.smtp import verp
from app.domain.status import MessageType, Purpose
from app.errors import MessageRejected, UnsupportedFeature

REFERENCE_HEADER = "X-Relay-Message-Id"
SUPPORTED = frozenset({MessageType.TEXT, MessageType.TEMPLATE})
# no quoted local parts or address literals: no mailbox of a person has them
MAILBOX = re.compile(r"([^\s@<>()\[\]\\,;:\"\x00-\x20\x7f]{1,64})@([^\s@<>()\[\]\\,;:\"\x00-\x20\x7f]{1,253})")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,76}")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
OURS = frozenset(
    ("from", "to", "cc", "bcc", "sender", "subject", "date", "message-id", "return-path", "received", "mime-version",
     REFERENCE_HEADER.lower())
)  # fmt: skip
LONGEST_LINE = 990  # of 998


class PlainPolicy(EmailPolicy):
    """For headers that are composed here, in ASCII: written on one line as they are, or with encoded words on several.

    The standard library would parse each of them, which is most of the work, and break a long URL into encoded words,
    and then `List-Unsubscribe` is none.
    """

    def header_max_count(self, name: str) -> int | None:
        return super().header_max_count(name) if _is_of_a_body(name) else None

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        return super().header_store_parse(name, value) if _is_of_a_body(name) else (name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if _is_of_a_body(name):
            return super().fold_binary(name, value)
        return f"{name}: {value}".replace("?= =?", "?=\r\n =?").encode() + b"\r\n"


# bodies in ASCII, so that no server on the way has to change them and break a signature
PLAIN = PlainPolicy(linesep=SMTP.linesep, cte_type="7bit")
INTERNATIONAL = EmailPolicy(linesep=SMTP.linesep, cte_type="7bit", utf8=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class From:
    """Who sends; the domain is in ASCII. With `bounce_domain` and `secret` return paths name their message."""

    address: str
    name: str
    bounce_domain: str = ""
    secret: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    return_path: str
    recipient: str
    envelope_id: str
    message_id: str  # without angle brackets
    international: bool  # an address is beyond ASCII: SMTPUTF8 (RFC 6531)
    content: bytes  # lines end in CRLF; dots are not doubled yet


def compose(message: OutboundMessage, sender: From) -> Mail:
    """Raises MessageRejected or UnsupportedFeature for what no mail can be made of."""
    if message.type not in SUPPORTED:
        raise UnsupportedFeature(f"E-mail cannot carry {message.type}.")
    content = message.content
    for name in ("subject", "text"):
        if not content.get(name):
            raise MessageRejected(f"content.{name} is missing.")
    recipient = mailbox(message.to)
    international = not (recipient + sender.address).isascii()
    message_id = f"{message.reference}@{sender.domain}"
    mail = EmailMessage(policy=INTERNATIONAL if international else PLAIN)
    spell = str if international else _in_ascii
    mail["From"] = _address(sender.name, sender.address, spell)
    mail["To"] = _address(message.to_name, recipient, spell)
    mail["Subject"] = spell(_one_line(str(content["subject"])))
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message_id}>"
    mail[REFERENCE_HEADER] = str(message.reference)
    if message.purpose is Purpose.TRANSACTIONAL:
        mail["Auto-Submitted"] = "auto-generated"  # keeps out-of-office answers away
    _add_headers(mail, content.get("headers") or {})
    mail.set_content(str(content["text"]))
    if html := content.get("html"):
        mail.add_alternative(str(html), subtype="html")
    path = sender.address
    if sender.bounce_domain:
        path = verp.return_path(sender.secret, message.reference, sender.bounce_domain)
    return Mail(
        return_path=path,
        recipient=recipient,
        envelope_id=str(message.reference),
        message_id=message_id,
        international=international,
        content=mail.as_bytes(),
    )


def mailbox(address: str) -> str:
    """The address with its domain in ASCII (IDNA). Raises MessageRejected when it is none."""
    found = MAILBOX.fullmatch(address)
    if found is None:
        raise MessageRejected(f"{address[:100]!r} is not an e-mail address.")
    try:
        return f"{found[1]}@{ascii_domain(found[2])}"
    except ValueError:
        raise MessageRejected(f"{found[2][:100]!r} is not a domain.") from None


def ascii_domain(domain: str) -> str:
    """Raises ValueError."""
    encoded = domain.encode("idna").decode().lower()
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", encoded):
        raise ValueError("no domain name")
    return encoded


def _is_of_a_body(name: str) -> bool:
    """Whether the standard library sets it, and asks for it again."""
    return name.lower().startswith(("content-", "mime-"))


def _address(name: str, address: str, spell: Callable[[str], str]) -> str:
    name = _one_line(name)
    if not name or name.isascii() or spell is str:
        local, _, domain = address.rpartition("@")
        return str(Address(display_name=name, username=local, domain=domain))
    return f"{spell(name)} <{address}>"


def _in_ascii(text: str) -> str:
    """With encoded words (RFC 2047), each short enough for a line of its own, where there is more than ASCII, or what
    would be read as one."""
    if text.isascii() and "=?" not in text and len(text) <= LONGEST_LINE:
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=70, header_name="Subject").encode().split())


def _one_line(text: str) -> str:
    """Without line breaks and control characters: nothing in a value may begin another header."""
    return UNPRINTABLE.sub(" ", text.encode(errors="replace").decode()).strip()


def _add_headers(mail: EmailMessage, headers: Mapping[str, Any]) -> None:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in OURS or name.lower().startswith("content-"):
            raise MessageRejected(f"content.headers may not hold {name[:80]!r}.")
        text = str(value)
        if UNPRINTABLE.search(text) or len(text) > LONGEST_LINE:
            raise MessageRejected(f"content.headers.{name} is too long, or has a line break or control characters.")
        del mail[name]
        mail[name] = text if text.isascii() else _in_ascii(text)
