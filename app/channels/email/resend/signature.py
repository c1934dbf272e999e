"""Signatures of Resend's webhooks: the Svix scheme, which is also Standard Webhooks under other header names.

https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

import base64
import hashlib
import hmac
import re
import time

from app.channels.base import WebhookRequest
from app.channels.webhooks import same
from app.errors import InvalidSignature

PREFIXES = ("svix-", "webhook-")
DIGITS = re.compile("[0-9]{1,12}")
TOLERANCE_SECONDS = 300  # either way, as the reference libraries have it


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`. Raises ValueError when it is none."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("empty")
    return key


def event_id(request: WebhookRequest) -> str:
    """The same on every attempt to deliver an event: the one that the signature covers."""
    return request.headers.get(f"{_prefix(request)}id", "")


def verify(key: bytes, request: WebhookRequest) -> None:
    """Raises InvalidSignature."""
    prefix = _prefix(request)
    id, timestamp, given = (request.headers.get(f"{prefix}{name}", "") for name in ("id", "timestamp", "signature"))
    if not id or not timestamp or not given:
        raise InvalidSignature("The signature, its id or its timestamp is missing.")
    if not DIGITS.fullmatch(timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature(f"The timestamp is not within {TOLERANCE_SECONDS} seconds of now.")
    signed = f"{id}.{timestamp}.".encode(errors="replace") + request.body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    # several while the secret is being rotated; other versions are not ours to judge
    if not any(same(one, expected) for one in given.split(" ")):
        raise InvalidSignature("The signature does not match the id, the timestamp and the body.")


def _prefix(request: WebhookRequest) -> str:
    """The scheme's own names, unless the signature is under the standard's."""
    return next((prefix for prefix in PREFIXES if f"{prefix}signature" in request.headers), PREFIXES[0])
