"""Imports, the pieces of their files, and the verdict on each row."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models import Import, ImportChunk, ImportVerdicts, RowVerdict
from app.repositories.driver import driver_connection

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('import/' || :tenant_id, 0))")

# A growing table has no statistics yet: the planner believes that a tenant has a handful of rows, and would read
# all of them for each batch.
# A batch needn't wait for the disk: should PostgreSQL crash within the next moments, the batch is gone together with
# the place in the file that it had reached, and is imported again. Whatever is built on its rows, the end of the import
# included, is committed behind it in the same log, and thereby puts it on the disk.
_SETTLE_BULK = text("SELECT set_config('enable_seqscan', 'off', true), set_config('synchronous_commit', 'off', true)")
_WAIT_FOR_DISK = text("SELECT set_config('synchronous_commit', 'on', true)")

_ADD_VERDICTS = text(
    """
    INSERT INTO import_verdicts (tenant_id, import_id, first_number, last_number, verdicts, contact_ids, notes_json)
    VALUES (:tenant_id, :import_id, :first, :last, :verdicts, CAST(:contact_ids AS uuid[]), CAST(:notes AS jsonb))
    """
)
_PIECE_AT = """
    SELECT start, data FROM import_chunks
    WHERE tenant_id = %(tenant_id)s AND import_id = %(import_id)s AND start <= %(offset)s
    ORDER BY start DESC LIMIT 1
"""
_LETTERS = {verdict.value: verdict.value[0] for verdict in RowVerdict}
_WORDS = {letter: word for word, letter in _LETTERS.items()}


class Verdict(NamedTuple):
    """`contact_id` is empty for a rejected row."""

    number: int
    verdict: str
    contact_id: str
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
    connection = await driver_connection(session)
    values = {"tenant_id": tenant_id, "import_id": import_id, "offset": offset}
    # in binary: as text, bytes are twice as long, and cost more than the rows in them
    found = await (await connection.execute(_PIECE_AT, values, binary=True)).fetchone()
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


async def settle_bulk(session: AsyncSession) -> None:
    """Fit this transaction for a batch: it finds rows by index, and its commit doesn't wait for the disk."""
    await session.execute(_SETTLE_BULK)


async def wait_for_disk(session: AsyncSession) -> None:
    """Let the commit wait after all, because the world outside of PostgreSQL is told of it."""
    await session.execute(_WAIT_FOR_DISK)


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


async def add_verdicts(session: AsyncSession, tenant_id: UUID, import_id: UUID, verdicts: Sequence[Verdict]) -> None:
    """Keep the verdicts on rows that follow each other, as one row."""
    notes = orjson.dumps([(one.number, one.field, one.reason) for one in verdicts if one.field or one.reason])
    parameters = {
        "tenant_id": tenant_id,
        "import_id": import_id,
        "first": verdicts[0].number,
        "last": verdicts[-1].number,
        "verdicts": "".join([_LETTERS[one.verdict] for one in verdicts]),
        "contact_ids": "{" + ",".join([one.contact_id or "NULL" for one in verdicts]) + "}",
        "notes": notes.decode(),
    }
    await session.execute(_ADD_VERDICTS, parameters)


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
    found: list[Verdict] = []
    while len(found) < limit:
        batch = await _batch_behind(session, tenant_id, import_id, after, only)
        if batch is None:
            break
        found += [one for one in _verdicts_of(batch) if one.number > after and only in (None, one.verdict)]
        after = batch.last_number
    return found[:limit]


async def _batch_behind(
    session: AsyncSession, tenant_id: UUID, import_id: UUID, number: int, only: RowVerdict | None
) -> ImportVerdicts | None:
    query = (
        select(ImportVerdicts)
        .where(
            col(ImportVerdicts.tenant_id) == tenant_id,
            col(ImportVerdicts.import_id) == import_id,
            col(ImportVerdicts.last_number) > number,
        )
        .order_by(col(ImportVerdicts.last_number))
        .limit(1)
    )
    if only is not None:
        query = query.where(func.strpos(col(ImportVerdicts.verdicts), _LETTERS[only]) > 0)
    return (await session.execute(query)).scalar_one_or_none()


def _verdicts_of(batch: ImportVerdicts) -> Iterator[Verdict]:
    notes = {number: (field, reason) for number, field, reason in batch.notes_json}
    rows = zip(batch.verdicts, batch.contact_ids, strict=True)
    for number, (letter, contact_id) in enumerate(rows, batch.first_number):
        yield Verdict(number, _WORDS[letter], str(contact_id or ""), *notes.get(number, ("", "")))


async def mark_started(session: AsyncSession, tenant_id: UUID, import_id: UUID, at: datetime) -> None:
    await session.execute(
        update(Import)
        .where(col(Import.tenant_id) == tenant_id, col(Import.id) == import_id)
        .values(workflow_started_at=at)
    )
