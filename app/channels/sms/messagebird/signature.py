"""MessageBird's request signatures: a token over the hashes of the address and the body, and the scheme before it.

Both use the account's signing key. Repeats are told by the reports themselves, whose keys are the same every time, so
token ids are not kept.

https://developers.messagebird.com/docs/verify-http-requests
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from app.channels.base import WebhookRequest
from app.channels.webhooks import mapping, same, text
from app.errors import InvalidSignature

TOKEN, OLDER, OLDER_TIME = "messagebird-signature-jwt", "messagebird-signature", "messagebird-request-timestamp"
ALGORITHMS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}  # never `none`
ISSUER = "MessageBird"
LEEWAY_SECONDS = 5  # MessageBird's clock and ours
TOLERANCE_SECONDS = 60  # of the older scheme, either way: as long as a token lives
DIGITS = re.compile("[0-9]{1,12}")


def verify(key: bytes, request: WebhookRequest, now: float) -> None:
    """Raises InvalidSignature unless the owner of `key` signed exactly this request a moment ago."""
    try:
        if token := request.headers.get(TOKEN):
            _check_claims(_claims(key, token), request, now)
        elif given := request.headers.get(OLDER):
            _verify_older(key, request, given, now)
        else:
            raise InvalidSignature("MessageBird-Signature-JWT is missing.")
    except ValueError:  # neither base64, nor JSON, nor an address
        raise InvalidSignature("The signature cannot be read.") from None


def _claims(key: bytes, token: str) -> dict[str, Any]:
    """What a token says that was signed with the key."""
    signed, _, signature = token.rpartition(".")
    head, _, claims = signed.partition(".")
    header = mapping(_decoded(head))
    algorithm = ALGORITHMS.get(text(header.get("alg")))
    if algorithm is None or "crit" in header:  # RFC 7515: extensions that are not understood are refused
        raise InvalidSignature("The token is not signed with HMAC.")
    expected = base64.urlsafe_b64encode(hmac.digest(key, signed.encode(errors="replace"), algorithm))
    # compared as text: several texts decode to the same bytes
    if not same(signature, expected.decode().rstrip("=")):
        raise InvalidSignature("The token is not signed with the signing key.")
    return mapping(_decoded(claims))


def _decoded(part: str) -> Any:
    return orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _check_claims(claims: dict[str, Any], request: WebhookRequest, now: float) -> None:
    if claims.get("iss") != ISSUER:
        raise InvalidSignature("The token is not MessageBird's.")
    earliest, latest = _time(claims, "nbf"), _time(claims, "exp")
    if not earliest - LEEWAY_SECONDS <= now <= latest + LEEWAY_SECONDS:
        raise InvalidSignature("The token is not valid at this time.")
    if not same(text(claims.get("url_hash")), hashlib.sha256(request.url.encode("latin-1")).hexdigest()):
        raise InvalidSignature("The token is for another address.")
    # a claim without a body is as wrong as a body without a claim
    body = hashlib.sha256(request.body).hexdigest() if request.body else ""
    if not same(text(claims.get("payload_hash")), body):
        raise InvalidSignature("The token is for another body.")


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSignature(f"The token has no {name}.")
    return value


def _verify_older(key: bytes, request: WebhookRequest, given: str, now: float) -> None:
    timestamp = request.headers.get(OLDER_TIME, "")
    if not DIGITS.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature(f"The timestamp is not within {TOLERANCE_SECONDS} seconds of now.")
    body = hashlib.sha256(request.body).digest()
    signed = [f"{timestamp}\n{address}\n".encode("latin-1") + body for address in _addresses(request)]
    if not any(same(given, base64.b64encode(hmac.digest(key, data, "sha256")).decode()) for data in signed):
        raise InvalidSignature("MessageBird-Signature does not match the request.")


def _addresses(request: WebhookRequest) -> Iterator[str]:
    """What stands for the address: the query, sorted by name (the SMS API), or all of it (the Channels API)."""
    pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    yield urlencode(sorted(pairs, key=itemgetter(0)))
    yield request.url
