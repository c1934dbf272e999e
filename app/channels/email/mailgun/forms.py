"""Messages as the form that Mailgun's `messages` takes, alone or many in one.

In a batch everything that differs from person to person stands in `recipient-variables`, and the form refers to it.
That variables are taken as they are, neither escaped nor looked through for further references, is UNCONFIRMED.

https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.channels.base import OutboundMessage
from app.channels.email.mailboxes import written
from app.domain.status import MessageType
from app.errors import MessageRejected, UnsupportedFeature

SUPPORTED = frozenset({MessageType.TEXT, MessageType.TEMPLATE})
REFERENCE = "%recipient"  # what would be replaced in a batch
MOST_BYTES = 20_000_000  # of the variables of a batch: a message may have 25 MB, and JSON escapes some of it
UNSAFE = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # in the name of a field

Form = list[tuple[str, str]]


def encoded(form: Form) -> tuple[str, bytes]:
    """The content type and the body. As parts: to percent-encode an HTML mail takes longer than all else of a send."""
    boundary = secrets.token_hex(16)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="'
    parts = [f'{head}{name.translate(UNSAFE)}"\r\n\r\n{value}\r\n' for name, value in form]
    return f"multipart/form-data; boundary={boundary}", "".join([*parts, f"--{boundary}--\r\n"]).encode()


def single(message: OutboundMessage, common: Form, own_message_id: str) -> Form:
    """One message; `common` is who sends it. Its Message-Id is its own, so that it can be looked up, and people's
    answers name it.

    Raises MessageRejected or UnsupportedFeature."""
    content = _checked(message)
    form = [*common, ("to", written(message.to_name, message.to)), ("subject", content["subject"])]
    form += [(name, content[name]) for name in ("text", "html") if content.get(name)]
    form += [(f"h:{name}", value) for name, value in _headers(message).items()]
    form.append(("h:Message-Id", f"<{own_message_id}>"))
    return [*form, *_variables(message, str(message.reference))]


def batch(messages: Sequence[OutboundMessage], common: Form) -> Form:
    """Several messages of one part, see `parts`. They get one Message-Id, Mailgun's, which is the answer's."""
    first = messages[0]
    form = [*common, ("to", ", ".join(written(message.to_name, message.to) for message in messages))]
    form += [(name, f"%recipient.{name}%") for name in ("subject", "text", "html") if first.content.get(name)]
    form += [(f"h:{name}", f"%recipient.h{index}%") for index, name in enumerate(_headers(first))]
    variables = {message.to: _own(message) for message in messages}
    form.append(("recipient-variables", orjson.dumps(variables).decode()))
    return [*form, *_variables(first, "%recipient.mid%")]


@dataclass(slots=True)
class Part:
    """Messages that fit into one request: alike in shape, to different people."""

    indices: list[int] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    size: int = 0

    def takes(self, address: str, size: int) -> bool:
        return address not in self.addresses and self.size + size <= MOST_BYTES

    def add(self, index: int, address: str, size: int) -> None:
        self.indices.append(index)
        self.addresses.add(address)
        self.size += size


def parts(messages: Sequence[OutboundMessage]) -> list[list[int]]:
    """Which messages go into one request, by their place in the list; what can't be in a batch is alone."""
    open_parts: dict[Any, Part] = {}
    closed: list[list[int]] = []
    for index, message in enumerate(messages):
        if not _fits_a_batch(message):
            closed.append([index])
            continue
        shape = _shape(message)
        size = len(orjson.dumps(_own(message)))
        part = open_parts.setdefault(shape, Part())
        if not part.takes(message.to, size):
            closed.append(part.indices)
            part = open_parts[shape] = Part()
        part.add(index, message.to, size)
    return [*closed, *(part.indices for part in open_parts.values())]


def _checked(message: OutboundMessage) -> Mapping[str, Any]:
    if message.type not in SUPPORTED:
        raise UnsupportedFeature(f"E-mail cannot carry {message.type}.")
    for name in ("subject", "text"):
        if not message.content.get(name):
            raise MessageRejected(f"content.{name} is missing.")
    return message.content


def _fits_a_batch(message: OutboundMessage) -> bool:
    if message.type not in SUPPORTED or not all(message.content.get(name) for name in ("subject", "text")):
        return False
    return not any(REFERENCE in value for value in _own(message).values())


def _shape(message: OutboundMessage) -> tuple[Any, ...]:
    return (message.tenant_id, message.settings_id, bool(message.content.get("html")), *_headers(message))


def _own(message: OutboundMessage) -> dict[str, str]:
    """What of it is nobody else's."""
    own = {name: message.content[name] for name in ("subject", "text", "html") if message.content.get(name)}
    own |= {f"h{index}": value for index, value in enumerate(_headers(message).values())}
    return {**own, "mid": str(message.reference)}


def _headers(message: OutboundMessage) -> dict[str, str]:
    return dict(sorted((message.content.get("headers") or {}).items()))


def _variables(message: OutboundMessage, reference: str) -> Form:
    """They come back with every event."""
    return [
        ("v:message_id", reference),
        ("v:tenant_id", str(message.tenant_id)),
        ("v:settings_id", str(message.settings_id)),
    ]
