"""The addresses that must not be used: lists of them, and single ones by hand."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.contact_file.suppression_rows import SuppressionRow
from app.domain.status import Channel
from app.models import RowVerdict, Suppression

# One that is in force keeps its reason. In one order, so that two lists do not wait for each other.
_ADD_ALL = text(
    """
    INSERT INTO suppressions AS known (tenant_id, channel, address, reason, source)
    SELECT :tenant_id, channel, address, reason, source
    FROM json_to_recordset(CAST(:rows AS json)) AS r(channel text, address text, reason text, source text)
    ORDER BY channel, address
    ON CONFLICT ON CONSTRAINT uq_suppressions_tenant_channel_address DO UPDATE SET
        reason = excluded.reason, source = excluded.source, lifted_at = NULL
    WHERE known.lifted_at IS NOT NULL
    RETURNING channel, address, old.id IS NULL AS is_new
    """
)


async def add_all(
    session: AsyncSession, tenant_id: UUID, rows: Sequence[SuppressionRow]
) -> dict[tuple[str, str], RowVerdict]:
    """Suppress these addresses, each given once. By channel and address: created, updated (it had been lifted), or
    merged (it was in force)."""
    outcomes = {(row.channel, row.address): RowVerdict.MERGED for row in rows}
    if rows:
        given = [
            {"channel": row.channel, "address": row.address, "reason": row.reason, "source": row.source} for row in rows
        ]
        values = {"tenant_id": tenant_id, "rows": orjson.dumps(given).decode()}
        for channel, address, is_new in await session.execute(_ADD_ALL, values):
            outcomes[channel, address] = RowVerdict.CREATED if is_new else RowVerdict.UPDATED
    return outcomes


async def page(
    session: AsyncSession, tenant_id: UUID, *, channel: Channel | None, search: str, offset: int, size: int
) -> tuple[list[Suppression], int]:
    """Those in force, the newest first; `search` is the beginning of an address."""
    where: list[Any] = [col(Suppression.tenant_id) == tenant_id, col(Suppression.lifted_at).is_(None)]
    if channel is not None:
        where.append(col(Suppression.channel) == channel)
    if search:
        where.append(col(Suppression.address).startswith(search, autoescape=True))
    query = select(Suppression).where(*where).order_by(col(Suppression.id).desc()).offset(offset).limit(size)
    total = (await session.execute(select(func.count()).select_from(Suppression).where(*where))).scalar_one()
    return list((await session.execute(query)).scalars()), total


async def get(session: AsyncSession, tenant_id: UUID, suppression_id: UUID) -> Suppression | None:
    query = select(Suppression).where(col(Suppression.tenant_id) == tenant_id, col(Suppression.id) == suppression_id)
    return (await session.execute(query)).scalar_one_or_none()


async def of_address(session: AsyncSession, tenant_id: UUID, channel: Channel, address: str) -> Suppression:
    query = select(Suppression).where(
        col(Suppression.tenant_id) == tenant_id,
        col(Suppression.channel) == channel,
        col(Suppression.address) == address,
    )
    return (await session.execute(query)).scalar_one()


async def lift(session: AsyncSession, tenant_id: UUID, suppression_id: UUID) -> None:
    await session.execute(
        update(Suppression)
        .where(col(Suppression.tenant_id) == tenant_id, col(Suppression.id) == suppression_id)
        .values(lifted_at=func.now())
    )
