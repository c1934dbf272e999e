"""Return paths that name their message: a report that comes back there needs no reading (VERP)."""

import hashlib
import hmac
import re
from uuid import UUID

TOKEN = re.compile(r"(?<![a-z0-9])bounce\+([0-9a-f]{32})\.([0-9a-f]{16})@", re.IGNORECASE)


def return_path(secret: str, reference: UUID, domain: str) -> str:
    """`bounce+<message>.<proof>@domain`; 56 of the 64 characters that a local part may have."""
    return f"bounce+{reference.hex}.{_proof(secret, reference)}@{domain}"


def reference_in(secret: str, text: str) -> str:
    """Our message id in the first return path of ours that `text` holds; empty where there is none."""
    for found in TOKEN.finditer(text):
        reference = UUID(hex=found[1])
        if hmac.compare_digest(found[2].lower(), _proof(secret, reference)):
            return str(reference)
    return ""


def _proof(secret: str, reference: UUID) -> str:
    return hmac.digest(secret.encode(), b"return path " + reference.bytes, hashlib.sha256).hex()[:16]
