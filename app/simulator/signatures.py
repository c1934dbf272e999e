"""How each provider signs its webhooks."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from functools import lru_cache

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# The order of the P-256 group; a private key is an integer below it.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def meta_signature(app_secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256 for these raw bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def twilio_signature(auth_token: str, url: str, fields: Sequence[tuple[str, str]] = ()) -> str:
    """The value of X-Twilio-Signature for a form POST (or, without fields, a GET) of exactly this URL."""
    signed = [url.partition("#")[0]]
    values: dict[str, set[str]] = {}
    for name, value in fields:
        values.setdefault(name, set()).add(value)
    for name in sorted(values):
        signed.extend(name + value for value in sorted(values[name]))
    digest = hmac.new(auth_token.encode(), "".join(signed).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def messagebird_token(signing_key: str, url: str, body: bytes, now: int) -> str:
    """The value of MessageBird-Signature-JWT for a request to exactly this URL; it is good for a minute."""
    claims = {
        "iss": "MessageBird", "nbf": now, "exp": now + 60, "jti": str(uuid.uuid4()),
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }  # fmt: skip
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    parts = [_base64url(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.new(signing_key.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64url(signature)])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def relay_mail_signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Relay-Signature, as whoever hands mail over to Relay writes it."""
    return f"t={timestamp},v1={hmac.new(secret.encode(), b'%d.' % timestamp + body, hashlib.sha256).hexdigest()}"


def mailgun_signature(signing_key: str, timestamp: str, token: str) -> str:
    """The `signature` that stands beside the two in the body itself; nothing else of the body is signed."""
    return hmac.new(signing_key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()


def resend_secret(api_key: str) -> str:
    """The signing secret of an account. Derived from its API key, so that it is the same after a restart."""
    return "whsec_" + base64.b64encode(hashlib.sha256(b"sandbox webhook " + api_key.encode()).digest()[:24]).decode()


def svix_signature(secret: str, id: str, timestamp: str, body: bytes) -> str:
    """The value of svix-signature for these raw bytes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@lru_cache(maxsize=256)
def sendgrid_key(api_key: str) -> ec.EllipticCurvePrivateKey:
    """The key pair of an account. Derived from its API key, so that the public key is the same after a restart."""
    seed = int.from_bytes(hashlib.sha512(b"sandbox event webhook " + api_key.encode()).digest())
    return ec.derive_private_key(seed % (P256_ORDER - 1) + 1, ec.SECP256R1())


def sendgrid_public_key(api_key: str) -> str:
    """Base64 DER SubjectPublicKeyInfo, as SendGrid's dashboard shows it."""
    public = sendgrid_key(api_key).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def sendgrid_signature(api_key: str, timestamp: str, body: bytes) -> str:
    """The value of X-Twilio-Email-Event-Webhook-Signature: base64 DER ECDSA over the timestamp and the raw bytes."""
    signature = sendgrid_key(api_key).sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return base64.b64encode(signature).decode()
