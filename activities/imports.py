"""What an import workflow has done: rows into the database, batch by batch."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities import failures
from activities.campaigns import heartbeats
from app.contracts.contact_import import ImportFailed, ImportInput, ImportResult
from app.db import Sessions
from app.domain.contact_file.types import FileProblem
from app.domain.status import StopReason
from app.models import Import, ImportStatus
from app.services import import_batches, imports
from app.services.import_batches import Superseded
from app.services.stops import StoppedSequence
from app.temporal import Workflows

BATCH = 4_000  # rows of one transaction
SLICE_SECONDS = 20.0  # then the workflow is told how far it is, and goes on
OPEN = frozenset({ImportStatus.PENDING, ImportStatus.RUNNING})


class ImportActivities:
    def __init__(self, sessions: Sessions, workflows: Workflows) -> None:
        self.sessions, self.workflows = sessions, workflows

    @activity.defn
    async def import_rows(self, input: ImportInput) -> ImportResult:
        """Import rows from where the last batch ended, for one slice of time or to the end of the file.

        A batch is one transaction together with the place in the file: a crash at any moment leaves no row out and
        none in twice. A problem of the file itself is a result (failed), not an error.
        """
        async with self.sessions.begin(input.tenant_id) as session:
            row = await imports.get(session, input.tenant_id, input.import_id)
        if row.status not in OPEN:
            return _result(row)
        async with heartbeats():
            try:
                ended = await self._import_slice(imports.job(row))
            except FileProblem as problem:
                return await self._finish(input, str(problem))
            except Superseded:
                ended = False  # the attempt that is ahead reports; this one only says how far it is
        if ended:
            return await self._finish(input)
        async with self.sessions.begin(input.tenant_id) as session:
            return _result(await imports.get(session, input.tenant_id, input.import_id))

    @activity.defn
    async def fail_import(self, input: ImportFailed) -> ImportResult:
        """End the import as failed; what was imported stays."""
        return await self._finish(input, input.error)

    async def _import_slice(self, job: imports.Job) -> bool:
        """Whether the end of the file is reached."""
        ahead = _ReadAhead(imports.RowSource(self.sessions, job))
        deadline = asyncio.get_running_loop().time() + SLICE_SECONDS
        offset = job.offset
        try:
            while rows := await ahead.rows():
                stopped = await failures.finish(
                    import_batches.write(self.sessions, job, rows, offset=offset, staged=ahead.start)
                )
                offset = rows[-1].end
                await self._tell(stopped)
                if activity.is_worker_shutdown():
                    raise failures.handed_back()
                if asyncio.get_running_loop().time() > deadline:
                    return False
        finally:
            await ahead.close()
        return True

    async def _tell(self, stopped: Sequence[StoppedSequence]) -> None:
        """The stop is committed, so nothing more leaves; the signal only ends the sequence sooner."""
        for sequence in stopped:
            await self.workflows.stop_sequence(
                sequence.tenant_id, sequence.campaign_id, sequence.contact_id, StopReason.OPTED_OUT
            )

    async def _finish(self, input: ImportInput | ImportFailed, error: str = "") -> ImportResult:
        async with self.sessions.begin(input.tenant_id) as session:
            return _result(await imports.finish(session, input.tenant_id, input.import_id, error=error))


class _ReadAhead:
    """Reads the next batch beside PostgreSQL's work on the one before: parsed any earlier, the two would wait for each
    other in this process."""

    def __init__(self, source: imports.RowSource) -> None:
        self._source = source
        self._reading: asyncio.Task[list[imports.ParsedRow]] | None = None

    def start(self) -> None:
        if self._reading is None:
            self._reading = asyncio.create_task(self._source.take(BATCH))

    async def rows(self) -> list[imports.ParsedRow]:
        self.start()
        assert self._reading is not None, "just started"
        rows = await self._reading
        self._reading = None
        return rows

    async def close(self) -> None:
        """What was read ahead was read for nothing."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


def _result(row: Import) -> ImportResult:
    return ImportResult(
        status=row.status.value,
        rows=row.rows,
        created=row.created,
        updated=row.updated,
        merged=row.merged,
        rejected=row.rejected,
        offset=row.offset,
        size=row.size_bytes,
        error=row.error,
    )
