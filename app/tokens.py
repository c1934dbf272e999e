"""What the links of a message carry.

Unsubscribe tokens: who, on which channel, because of which message; signed, so they need no table. Short codes: too
short to say anything, so a table has what they stand for.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.domain.status import Channel
from app.errors import NotFound

CHANNELS = {Channel.WHATSAPP: b"w", Channel.EMAIL: b"e", Channel.SMS: b"s"}
BY_CODE = {code: channel for channel, code in CHANNELS.items()}
IDS_BYTES = 48
SIGNATURE_BYTES = 16
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CODE_LENGTH = 10  # 59 bits: with a billion links, one guess in 800 million hits one of them
CODES = len(ALPHABET) ** CODE_LENGTH


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsubscribeToken:
    tenant_id: UUID
    contact_id: UUID
    channel: Channel
    message_id: UUID


class UnsubscribeTokens:
    """Signs with a key derived from the first of `keys` and reads under any of them.

    A token is base64url of: channel code, three ids, key id, signature (HMAC-SHA-256, cut to 128 bits). It does not
    expire: a link in an old e-mail has to work.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("RELAY_MASTER_KEYS is not set")
        # a key of its own, so that signatures say nothing about what seals credentials
        self._keys = {kid.encode(): hmac.digest(key, b"relay/unsubscribe", "sha256") for kid, key in keys.items()}
        self._current, self._current_key = next(iter(self._keys.items()))

    def issue(self, *, tenant_id: UUID, contact_id: UUID, channel: Channel, message_id: UUID) -> str:
        payload = CHANNELS[channel] + tenant_id.bytes + contact_id.bytes + message_id.bytes + self._current
        signature = hmac.digest(self._current_key, payload, "sha256")[:SIGNATURE_BYTES]
        return base64.urlsafe_b64encode(payload + signature).rstrip(b"=").decode()

    def read(self, token: str) -> UnsubscribeToken:
        """Raises NotFound for anything that `issue` did not make under one of the keys."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise _unknown() from None
        payload, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
        key = self._keys.get(payload[1 + IDS_BYTES :])
        if key is None or len(payload) <= 1 + IDS_BYTES:
            raise _unknown()
        expected = hmac.digest(key, payload, "sha256")[:SIGNATURE_BYTES]
        if not hmac.compare_digest(expected, signature) or payload[:1] not in BY_CODE:
            raise _unknown()
        return UnsubscribeToken(
            channel=BY_CODE[payload[:1]],
            tenant_id=UUID(bytes=payload[1:17]),
            contact_id=UUID(bytes=payload[17:33]),
            message_id=UUID(bytes=payload[33:49]),
        )


class ShortCodes:
    """Makes the code of a link in a message: the same whenever the message is rendered again, and not to be guessed
    without the first of `keys`."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("RELAY_MASTER_KEYS is not set")
        self._key = hmac.digest(next(iter(keys.values())), b"relay/short-links", "sha256")

    def code(self, message_id: UUID, url: str) -> str:
        digest = hmac.digest(self._key, message_id.bytes + url.encode(), "sha256")
        number = int.from_bytes(digest[:8]) % CODES
        code = ""
        for _ in range(CODE_LENGTH):
            number, place = divmod(number, len(ALPHABET))
            code += ALPHABET[place]
        return code


def _unknown() -> NotFound:
    return NotFound("This unsubscribe link is not valid: it is incomplete or was changed.")
