"""API keys `rk_<prefix>_<secret>`: shown once, kept as a hash, looked up through a short cache."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Sessions
from app.errors import Unauthenticated
from app.ids import new_id
from app.models import ApiKey, Role, Tenant
from app.repositories import tenants

MARK = "rk_"
CACHE_SECONDS = 5.0  # a revoked key works at most this much longer
CACHE_SIZE = 10_000
TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks: the tenant and what the credential may do."""

    tenant: Tenant
    role: Role
    key_id: UUID
    key_prefix: str


async def create(
    session: AsyncSession, tenant_id: UUID, *, name: str, role: Role = Role.OWNER, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key; the second value is the key itself, which can't be read again."""
    prefix = secrets.token_hex(4)
    key = f"{MARK}{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        id=new_id(),
        tenant_id=tenant_id,
        name=name,
        prefix=prefix,
        key_hash=hash_key(key),
        role=role,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row, key


async def revoke(session: AsyncSession, tenant_id: UUID, prefix: str) -> bool:
    """End a key by its prefix; False when no live key has it. Takes effect everywhere within CACHE_SECONDS."""
    return await tenants.revoke_key(session, tenant_id, prefix, datetime.now(UTC))


def hash_key(key: str) -> str:
    """Plain SHA-256 is enough: the secret has 256 random bits, so there is nothing to guess from."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Finds the principal of a key; remembers good keys for CACHE_SECONDS."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._cache: dict[str, tuple[float, Principal]] = {}

    async def principal(self, key: str) -> Principal:
        """Raises Unauthenticated for a key that is unknown, revoked, expired, or of a closed tenant."""
        hashed = hash_key(key)
        cached = self._cache.get(hashed)
        if cached and cached[0] > time.monotonic():
            return cached[1]
        principal = await self._look_up(hashed)
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[hashed] = (time.monotonic() + CACHE_SECONDS, principal)
        return principal

    async def knows_tenant(self, named: str) -> bool:
        """Whether there is a tenant of this id or slug."""
        async with self._sessions.system() as session:
            try:
                return await tenants.get(session, UUID(named)) is not None
            except ValueError:
                return await tenants.by_slug(session, named) is not None

    async def _look_up(self, hashed: str) -> Principal:
        now = datetime.now(UTC)
        async with self._sessions.system() as session:
            found = await tenants.key_and_tenant(session, hashed, now)
            if found is None:
                self._cache.pop(hashed, None)
                raise Unauthenticated("This API key is not valid: it is unknown, revoked or expired.")
            key, tenant = found
            if key.last_used_at is None or now - key.last_used_at > TOUCH_EVERY:
                await tenants.touch_key(session, key.id, now)
        return Principal(tenant=tenant, role=key.role, key_id=key.id, key_prefix=key.prefix)
