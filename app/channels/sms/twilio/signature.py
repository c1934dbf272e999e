"""Twilio's request signature: HMAC-SHA1 over the public URL and the form fields.

https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from app.channels.base import WebhookRequest
from app.channels.webhooks import MAX_FORM_FIELDS, same

DEFAULT_PORTS = {"https": 443, "http": 80}


def is_signed(request: WebhookRequest, auth_token: str) -> bool:
    """Whether the account that owns `auth_token` signed exactly this request."""
    given = request.headers.get("x-twilio-signature", "")
    if not given:
        return False
    try:
        signed_fields = _signed_fields(request)
        addresses = list(_spellings(request.url))
    except ValueError:
        return False
    if signed_fields is None:
        return False
    key = auth_token.encode()
    return any(same(given, _sign(key, address.encode(errors="replace") + signed_fields)) for address in addresses)


def _sign(key: bytes, data: bytes) -> str:
    return base64.b64encode(hmac.new(key, data, hashlib.sha1).digest()).decode()


def _signed_fields(request: WebhookRequest) -> bytes | None:
    """What the body adds to the signed bytes; None when a body that is signed by its hash has another one."""
    hashes = parse_qs(urlsplit(request.url).query).get("bodySHA256")
    if hashes:
        return b"" if same(hashes[0].lower(), hashlib.sha256(request.body).hexdigest()) else None
    if request.method == "GET":
        return b""
    return _form_fields(request.body)


def _form_fields(body: bytes) -> bytes:
    """Names in byte order, each followed by its values; a repeated name gives its distinct values, sorted."""
    # surrogateescape carries bytes that are not UTF-8 through to the HMAC unchanged
    pairs = parse_qsl(
        body.decode("utf-8", "surrogateescape"),
        keep_blank_values=True,
        errors="surrogateescape",
        max_num_fields=MAX_FORM_FIELDS,
    )
    values: dict[bytes, set[bytes]] = {}
    for name, value in pairs:
        values.setdefault(_bytes(name), set()).add(_bytes(value))
    return b"".join(name + value for name in sorted(values) for value in sorted(values[name]))


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
