"""What the workers of one sender share: its permits, and the pause that its provider asked for."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.permits import GRACE_SECONDS, LEASE_SECONDS, Settlement, Share, Window, settle

_BLOCKED = text(
    "SELECT id, extract(epoch FROM blocked_until - clock_timestamp())::float FROM rate_buckets "
    "WHERE id = ANY(:ids) AND blocked_until > clock_timestamp()"
)
_CREATE = text("INSERT INTO rate_buckets (id, tenant_id) VALUES (:id, :tenant_id) ON CONFLICT (id) DO NOTHING")
_SHARES = text(
    "SELECT shares_json, extract(epoch FROM clock_timestamp())::float FROM rate_buckets WHERE id = :id FOR UPDATE"
)
_SHARE = text("UPDATE rate_buckets SET shares_json = CAST(:shares AS jsonb) WHERE id = :id")
_BLOCK = text(
    """
    INSERT INTO rate_buckets (id, tenant_id, blocked_until) VALUES (:id, :tenant_id, clock_timestamp() + :length)
    ON CONFLICT (id) DO UPDATE SET blocked_until = greatest(rate_buckets.blocked_until, excluded.blocked_until)
    """
)


async def renew(
    session: AsyncSession,
    *,
    tenant_id: UUID,
    settings_id: UUID,
    holder: str,
    held: int,
    want: int,
    window: Window,
    leaving: bool = False,
) -> Settlement:
    """Settle what `holder` may hold of the sender's permits for the next LEASE_SECONDS. The row is locked until the
    commit, so this is a transaction of its own, and a short one.

    `leaving`: it uses none any more, and those it holds are free once their second is over.
    """
    row = (await session.execute(_SHARES, {"id": settings_id})).first()
    if row is None:
        await session.execute(_CREATE, {"id": settings_id, "tenant_id": tenant_id})
        row = (await session.execute(_SHARES, {"id": settings_id})).one()
    known, now = {name: Share(**share) for name, share in row[0].items()}, row[1]
    length = window.seconds if leaving else LEASE_SECONDS + window.seconds + GRACE_SECONDS
    settled = settle(known, holder, held=held, want=want, permits=window.permits, now=now, length=length)
    shares = orjson.dumps({name: asdict(share) for name, share in settled.shares.items()}).decode()
    await session.execute(_SHARE, {"id": settings_id, "shares": shares})
    return settled


async def blocked(session: AsyncSession, settings_ids: Iterable[UUID]) -> dict[UUID, timedelta]:
    """Those of the senders that may not send now, and for how long."""
    rows = await session.execute(_BLOCKED, {"ids": list(settings_ids)})
    return {row[0]: timedelta(seconds=row[1]) for row in rows}


async def block(session: AsyncSession, *, tenant_id: UUID, settings_id: UUID, length: timedelta) -> None:
    """Slow the whole sender: nothing leaves before `length` is over."""
    await session.execute(_BLOCK, {"id": settings_id, "tenant_id": tenant_id, "length": length})
