"""Remembered answers by `Idempotency-Key`."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.ids import new_id
from app.models import IdempotencyKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is known of a key. `status_code` None: the first request is not finished; `stale`: it never will be."""

    request_hash: str
    status_code: int | None
    content_type: str
    body: bytes
    stale: bool


async def reserve(session: AsyncSession, tenant_id: UUID, key: str, request_hash: str) -> bool:
    """Take the key; False when somebody has it."""
    statement = insert(IdempotencyKey).values(id=new_id(), tenant_id=tenant_id, key=key, request_hash=request_hash)
    statement = statement.on_conflict_do_nothing(constraint="uq_idempotency_keys_tenant_key")
    return (await session.execute(statement.returning(col(IdempotencyKey.id)))).first() is not None


async def find(session: AsyncSession, tenant_id: UUID, key: str, lease: timedelta) -> Kept | None:
    stale = col(IdempotencyKey.updated_at) < func.now() - lease
    query = select(IdempotencyKey, stale).where(
        col(IdempotencyKey.tenant_id) == tenant_id, col(IdempotencyKey.key) == key
    )
    found = (await session.execute(query)).first()
    if found is None:
        return None
    row: IdempotencyKey = found[0]
    return Kept(
        request_hash=row.request_hash,
        status_code=row.status_code,
        content_type=row.content_type,
        body=row.body or b"",
        stale=row.status_code is None and found[1],
    )


async def take_over(session: AsyncSession, tenant_id: UUID, key: str, lease: timedelta) -> bool:
    """Take the key of a request that died; False when another repeat was faster."""
    statement = (
        update(IdempotencyKey)
        .where(
            col(IdempotencyKey.tenant_id) == tenant_id,
            col(IdempotencyKey.key) == key,
            col(IdempotencyKey.status_code).is_(None),
            col(IdempotencyKey.updated_at) < func.now() - lease,
        )
        .values(request_hash=col(IdempotencyKey.request_hash))
        .returning(col(IdempotencyKey.id))
    )
    return (await session.execute(statement)).first() is not None


async def remember(
    session: AsyncSession, tenant_id: UUID, key: str, *, status_code: int, content_type: str, body: bytes
) -> None:
    await session.execute(
        update(IdempotencyKey)
        .where(col(IdempotencyKey.tenant_id) == tenant_id, col(IdempotencyKey.key) == key)
        .values(status_code=status_code, content_type=content_type, body=body)
    )


async def forget(session: AsyncSession, tenant_id: UUID, key: str) -> None:
    await session.execute(
        delete(IdempotencyKey).where(
            col(IdempotencyKey.tenant_id) == tenant_id,
            col(IdempotencyKey.key) == key,
            col(IdempotencyKey.status_code).is_(None),
        )
    )
