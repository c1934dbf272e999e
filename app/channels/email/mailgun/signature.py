"""Signatures of Mailgun's webhooks and routes: an HMAC over a time and a random token, and over nothing else.

It proves that Mailgun speaks, not what it says: TLS keeps the body whole. Whether a repeated delivery has the token of
the first one is UNCONFIRMED, so a token is not refused the second time; the event's own key makes it harmless.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from typing import Any

from app.channels.webhooks import same, text
from app.errors import InvalidSignature

DIGITS = re.compile("[0-9]{1,12}")
OLDEST_SECONDS = 24 * 3_600  # deliveries are repeated for eight hours
MOST_AHEAD_SECONDS = 300


def verify(key: bytes, signed: Mapping[str, Any]) -> None:
    """Raises InvalidSignature. An event of a subaccount is signed with the key of its parent account as well."""
    timestamp, token = text(signed.get("timestamp")), text(signed.get("token"))
    given = [text(signed.get(name)) for name in ("signature", "parent-signature")]
    if not timestamp or not token or not any(given):
        raise InvalidSignature("The signature, its token or its timestamp is missing.")
    if not DIGITS.fullmatch(timestamp) or not -MOST_AHEAD_SECONDS <= time.time() - int(timestamp) <= OLDEST_SECONDS:
        raise InvalidSignature("The timestamp is neither of the last 24 hours nor of now.")
    expected = hmac.digest(key, (timestamp + token).encode(errors="replace"), hashlib.sha256).hex()
    if not any(same(one, expected) for one in given):
        raise InvalidSignature("The signature does not match the timestamp and the token.")
