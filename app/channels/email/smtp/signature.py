"""Signatures of the mails that the operator's mail server hands over: `t=<unix>,v1=<hex HMAC-SHA256 of t.body>`."""

import hashlib
import hmac
import re
import time

from app.channels.base import WebhookRequest
from app.channels.webhooks import same
from app.errors import InvalidSignature

HEADER = "x-relay-signature"
FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
TOLERANCE_SECONDS = 300


def verify(secret: str, request: WebhookRequest) -> None:
    """Raises InvalidSignature."""
    found = FORM.fullmatch(request.headers.get(HEADER, ""))
    if found is None:
        raise InvalidSignature("X-Relay-Signature is missing, or is not t=<unix seconds>,v1=<hex>.")
    if abs(time.time() - int(found[1])) > TOLERANCE_SECONDS:
        raise InvalidSignature(f"The signature is not from within {TOLERANCE_SECONDS} seconds of now.")
    expected = hmac.digest(secret.encode(), f"{found[1]}.".encode() + request.body, hashlib.sha256).hex()
    if not same(found[2], expected):
        raise InvalidSignature("The signature does not match the body.")
