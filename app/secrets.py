"""Credentials at rest: AES-256-GCM under the master keys, bound to the row that holds them."""

import base64
import binascii
import os
from collections.abc import Mapping
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "v1"
NONCE_BYTES = 12


class UnreadableSecret(Exception):
    """The envelope is damaged, belongs to another row, or its master key is not among RELAY_MASTER_KEYS."""


class Vault:
    """Seals under the first of `keys` (32 bytes each, by key id) and opens under any of them.

    An envelope is `v1:<key id>:<base64url of nonce and ciphertext>`. Tenant and row are authenticated with it, so an
    envelope copied to another row does not open there.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("RELAY_MASTER_KEYS is not set")
        self._current = next(iter(keys))
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}

    def seal(self, values: Mapping[str, str], *, tenant_id: UUID, row_id: UUID) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, orjson.dumps(dict(values)), _bound_to(tenant_id, row_id))
        return f"{VERSION}:{self._current}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, tenant_id: UUID, row_id: UUID) -> dict[str, str]:
        """Raises UnreadableSecret."""
        try:
            version, kid, encoded = sealed.split(":")
            raw = base64.urlsafe_b64decode(encoded)
        except (ValueError, binascii.Error):
            raise UnreadableSecret("the sealed value is damaged") from None
        cipher = self._ciphers.get(kid)
        if version != VERSION or cipher is None:
            raise UnreadableSecret(f"it was sealed with master key {kid!r}, which is not in RELAY_MASTER_KEYS")
        try:
            plain = cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound_to(tenant_id, row_id))
        except (InvalidTag, ValueError):
            raise UnreadableSecret("the sealed value is damaged or belongs to another row") from None
        values: dict[str, str] = orjson.loads(plain)
        return values


def _bound_to(tenant_id: UUID, row_id: UUID) -> bytes:
    return tenant_id.bytes + row_id.bytes


def mask(value: str) -> str:
    """A secret as answers show it: at most its last four characters, and those only of a long one."""
    return f"…{value[-4:]}" if len(value) >= 12 else "…"
