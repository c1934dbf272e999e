"""Twilio's request signature: HMAC-SHA1 over the public URL and the form fields.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit, urlunsplit

from app.channels.base import WebhookRequest
from app.channels.webhooks import form_pairs, same

BODY_HASH = "bodySHA256"
DEFAULT_PORTS = {"https": 443, "http": 80}


def is_signed(request: WebhookRequest, auth_token: str) -> bool:
    """Whether the account that owns `auth_token` signed exactly this request."""
    given = request.headers.get("x-twilio-signature", "")
    if not given:
        return False
    key = auth_token.encode()
    try:
        signed_fields = _signed_fields(request)
        return signed_fields is not None and any(
            same(given, _sign(key, address.encode(errors="replace") + signed_fields))
            for address in _spellings(request.url)
        )
    except ValueError:  # neither the form nor the address can be read
        return False


def _sign(key: bytes, data: bytes) -> str:
    return base64.b64encode(hmac.digest(key, data, "sha1")).decode()


def _signed_fields(request: WebhookRequest) -> bytes | None:
    """What the body adds to the signed bytes; None when a body that is signed by its hash has another one."""
    hashes = parse_qs(urlsplit(request.url).query).get(BODY_HASH) if BODY_HASH in request.url else None
    if hashes:
        return b"" if same(hashes[0].lower(), hashlib.sha256(request.body).hexdigest()) else None
    if request.method == "GET":
        return b""
    return _form_fields(request.body)


def _form_fields(body: bytes) -> bytes:
    """Names in byte order, each followed by its values; a repeated name gives its distinct values, sorted."""
    # surrogateescape carries bytes that are not UTF-8 through to the HMAC unchanged
    pairs = {(_bytes(name), _bytes(value)) for name, value in form_pairs(body)}
    return b"".join([name + value for name, value in sorted(pairs)])


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _spellings(url: str) -> Iterator[str]:
    """The address as configured, and with and without its port: Twilio is not consistent about it."""
    yield url.partition("#")[0]
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if parts.port is not None:
        yield urlunsplit(parts._replace(netloc=user + at + host.rpartition(":")[0], fragment=""))
    elif port := DEFAULT_PORTS.get(parts.scheme):
        yield urlunsplit(parts._replace(netloc=f"{user}{at}{host.removesuffix(':')}:{port}", fragment=""))
