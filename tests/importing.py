"""Imports for tests, without the engine: a file into the database, batch by batch."""

import io
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db import Sessions
from app.domain.contact_file.types import FileProblem
from app.ids import new_id
from app.models import Import, Tenant
from app.repositories import imports as rows
from app.repositories.imports import Verdict
from app.services import import_batches, imports
from app.services.stops import StoppedSequence


async def store(sessions: Sessions, tenant: Tenant, data: bytes | str, **options: str) -> UUID:
    id = new_id()
    upload = imports.look_through(io.BytesIO(data.encode() if isinstance(data, str) else data), None)
    async with sessions.begin(tenant.id) as session:
        await imports.store(session, tenant.id, id, upload, imports.read_options(options, tenant))
    return id


async def read(sessions: Sessions, tenant: Tenant, id: UUID) -> Import:
    async with sessions.begin(tenant.id) as session:
        return await imports.get(session, tenant.id, id)


async def work(
    sessions: Sessions, tenant: Tenant, id: UUID, *, batch: int = 1_000, batches: int = 10**6
) -> list[StoppedSequence]:
    """Do at most so many batches, and end the import when its file ends."""
    job = imports.job(await read(sessions, tenant, id))
    source = imports.RowSource(sessions, job)
    offset, stopped, error = job.offset, list[StoppedSequence](), ""
    for _ in range(batches):
        try:
            parsed = await source.take(batch)
        except FileProblem as problem:
            parsed, error = [], str(problem)
        if not parsed:
            async with sessions.begin(tenant.id) as session:
                await imports.finish(session, tenant.id, id, error=error)
            break
        stopped += await import_batches.write(sessions, job, parsed, offset=offset)
        offset = parsed[-1].end
    return stopped


async def run(sessions: Sessions, tenant: Tenant, data: bytes | str, *, batch: int = 1_000, **options: str) -> Import:
    """A whole import."""
    id = await store(sessions, tenant, data, **options)
    await work(sessions, tenant, id, batch=batch)
    return await read(sessions, tenant, id)


async def verdicts(sessions: Sessions, tenant: Tenant, id: UUID) -> list[Verdict]:
    async with sessions.begin(tenant.id) as session:
        return await rows.verdicts(session, tenant.id, id, after=0, limit=10_000)


async def query(sessions: Sessions, tenant: Tenant, sql: str, **values: Any) -> Sequence[tuple[Any, ...]]:
    async with sessions.begin(tenant.id) as session:
        return [tuple(row) for row in await session.execute(text(sql), values)]
