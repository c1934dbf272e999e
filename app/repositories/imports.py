"""Imports, the pieces of their files, and the verdict on each row."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models import Import, ImportChunk, ImportRow, RowVerdict

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('import/' || :tenant_id, 0))")

_ADD_ROWS = text(
    """
    INSERT INTO import_rows (tenant_id, import_id, number, verdict, contact_id, field, reason)
    SELECT :tenant_id, :import_id, number, verdict, contact_id, field, reason
    FROM json_to_recordset(CAST(:rows AS json)) AS new (
        number bigint, verdict text, contact_id uuid, field text, reason text
    )
    """
)


class Verdict(NamedTuple):
    number: int
    verdict: str
    contact_id: UUID | None
    field: str
    reason: str


async def insert_if_new(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when there is an import of that id already. Waits for one that is being written."""
    statement = insert(Import).values(**values).on_conflict_do_nothing(index_elements=["id"])
    return (await session.execute(statement.returning(col(Import.id)))).one_or_none() is not None


async def add_piece(session: AsyncSession, tenant_id: UUID, import_id: UUID, start: int, data: bytes) -> None:
    values = {"tenant_id": tenant_id, "import_id": import_id, "start": start, "data": data}
    await session.execute(insert(ImportChunk).values(**values))


async def piece_at(session: AsyncSession, tenant_id: UUID, import_id: UUID, offset: int) -> bytes:
    """The bytes of the file from `offset` to the end of the piece it lies in; empty behind the last one."""
    query = (
        select(col(ImportChunk.start), col(ImportChunk.data))
        .where(
            col(ImportChunk.tenant_id) == tenant_id,
            col(ImportChunk.import_id) == import_id,
            col(ImportChunk.start) <= offset,
        )
        .order_by(col(ImportChunk.start).desc())
        .limit(1)
    )
    found = (await session.execute(query)).one_or_none()
    return bytes(found[1])[offset - found[0] :] if found else b""


async def delete_pieces(session: AsyncSession, tenant_id: UUID, import_id: UUID) -> None:
    await session.execute(
        delete(ImportChunk).where(col(ImportChunk.tenant_id) == tenant_id, col(ImportChunk.import_id) == import_id)
    )


async def get(session: AsyncSession, tenant_id: UUID, import_id: UUID) -> Import | None:
    query = select(Import).where(col(Import.tenant_id) == tenant_id, col(Import.id) == import_id)
    return (await session.execute(query)).scalar_one_or_none()


async def lock(session: AsyncSession, tenant_id: UUID, import_id: UUID) -> Import | None:
    """The import, for writing. One transaction per tenant holds this at a time, so imports of a tenant take turns."""
    await session.execute(_LOCK, {"tenant_id": str(tenant_id)})
    query = select(Import).where(col(Import.tenant_id) == tenant_id, col(Import.id) == import_id)
    return (await session.execute(query.with_for_update())).scalar_one_or_none()


async def page(session: AsyncSession, tenant_id: UUID, *, offset: int, size: int) -> tuple[list[Import], int]:
    """Newest first, and how many there are."""
    owned = col(Import.tenant_id) == tenant_id
    query = (
        select(Import)
        .where(owned)
        .order_by(col(Import.created_at).desc(), col(Import.id).desc())
        .limit(size)
        .offset(offset)
    )
    total = (await session.execute(select(func.count()).select_from(Import).where(owned))).scalar_one()
    return list((await session.execute(query)).scalars()), total


async def add_verdicts(session: AsyncSession, tenant_id: UUID, import_id: UUID, verdicts: Iterable[Verdict]) -> None:
    rows = orjson.dumps([verdict._asdict() for verdict in verdicts]).decode()
    await session.execute(_ADD_ROWS, {"tenant_id": tenant_id, "import_id": import_id, "rows": rows})


async def verdicts(
    session: AsyncSession,
    tenant_id: UUID,
    import_id: UUID,
    *,
    after: int,
    limit: int,
    only: RowVerdict | None = None,
) -> list[Verdict]:
    """The verdicts behind row `after`, in the order of the file."""
    query = (
        select(
            col(ImportRow.number),
            col(ImportRow.verdict),
            col(ImportRow.contact_id),
            col(ImportRow.field),
            col(ImportRow.reason),
        )
        .where(
            col(ImportRow.tenant_id) == tenant_id, col(ImportRow.import_id) == import_id, col(ImportRow.number) > after
        )
        .order_by(col(ImportRow.number))
        .limit(limit)
    )
    if only is not None:
        query = query.where(col(ImportRow.verdict) == only)
    rows = await session.execute(query)
    return [
        Verdict(number, verdict.value, contact_id, field, reason) for number, verdict, contact_id, field, reason in rows
    ]


async def mark_started(session: AsyncSession, tenant_id: UUID, import_id: UUID, at: datetime) -> None:
    await session.execute(
        update(Import)
        .where(col(Import.tenant_id) == tenant_id, col(Import.id) == import_id)
        .values(workflow_started_at=at)
    )
