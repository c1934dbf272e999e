"""Tenants and their API keys. Used in a system transaction: a credential is read before its tenant is known."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models import ApiKey, Tenant


async def insert_if_free(session: AsyncSession, values: dict[str, object]) -> bool:
    """Insert a tenant unless its slug is taken."""
    statement = insert(Tenant).values(values).on_conflict_do_nothing(index_elements=["slug"])
    return (await session.execute(statement.returning(col(Tenant.id)))).first() is not None


async def get(session: AsyncSession, tenant_id: UUID) -> Tenant | None:
    return await session.get(Tenant, tenant_id)


async def by_slug(session: AsyncSession, slug: str) -> Tenant | None:
    return (await session.execute(select(Tenant).where(col(Tenant.slug) == slug))).scalar_one_or_none()


async def key_and_tenant(session: AsyncSession, key_hash: str, now: datetime) -> tuple[ApiKey, Tenant] | None:
    """The live key with this hash, and its active tenant."""
    query = (
        select(ApiKey, Tenant)
        .join(Tenant, col(Tenant.id) == col(ApiKey.tenant_id))
        .where(
            col(ApiKey.key_hash) == key_hash,
            col(ApiKey.revoked_at).is_(None),
            or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > now),
            col(Tenant.is_active),
        )
    )
    row = (await session.execute(query)).first()
    return (row[0], row[1]) if row else None


async def touch_key(session: AsyncSession, key_id: UUID, now: datetime) -> None:
    await session.execute(update(ApiKey).where(col(ApiKey.id) == key_id).values(last_used_at=now))


async def revoke_key(session: AsyncSession, tenant_id: UUID, prefix: str, now: datetime) -> bool:
    statement = (
        update(ApiKey)
        .where(col(ApiKey.tenant_id) == tenant_id, col(ApiKey.prefix) == prefix, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=now)
        .returning(col(ApiKey.id))
    )
    return (await session.execute(statement)).first() is not None
