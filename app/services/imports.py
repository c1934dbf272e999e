"""Contact imports: taking a file in, reading it back row by row, and how an import begins and ends."""

import asyncio
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, Any
from uuid import UUID

import phonenumbers
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.contact_import import ImportInput
from app.db import Sessions
from app.domain.contact_file.cells import ContactRow, RowParser
from app.domain.contact_file.shape import HEAD, Scan, find_shape, open_rows, sniff_format
from app.domain.contact_file.suppression_rows import SuppressionParser, SuppressionRow
from app.domain.contact_file.types import PIECE, Dedupe, FileKind, FileProblem, FileShape, Format, RejectedRow
from app.domain.status import Channel, SuppressionReason
from app.errors import InvalidInput, NotFound
from app.models import Import, ImportStatus, Tenant
from app.repositories import imports
from app.temporal import Workflows

TURN = 50  # rows that are parsed before other threads get theirs

ParsedRow = ContactRow | SuppressionRow | RejectedRow


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """`default_channel` and `default_reason` are of suppressions, `dedupe` is of contacts."""

    kind: FileKind = FileKind.CONTACTS
    default_region: str = ""
    dedupe: Dedupe = Dedupe.PHONE
    default_channel: str = ""
    default_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A whole file, looked through; `digest` is its SHA-256 in hex."""

    file: IO[bytes]
    size: int
    digest: str
    shape: FileShape


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to go on with an import. `now` is the import's own time, the same in every attempt."""

    tenant_id: UUID
    import_id: UUID
    shape: FileShape
    options: ImportOptions
    size: int
    now: datetime
    offset: int
    rows: int


def read_options(given: dict[str, str], tenant: Tenant) -> ImportOptions:
    """`default_region` and `dedupe`, in either spelling. Raises InvalidInput naming the bad one."""
    region = (given.get("default_region") or given.get("defaultRegion") or tenant.default_region).strip().upper()
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInput.at("?default_region", f"{region[:20]!r} is no region: use two letters such as PT.")
    dedupe = given.get("dedupe") or Dedupe.PHONE.value
    if dedupe not in list(Dedupe):
        raise InvalidInput.at("?dedupe", f"{dedupe[:20]!r} is not possible: use phone or email.")
    return ImportOptions(default_region=region, dedupe=Dedupe(dedupe))


def read_suppression_options(given: dict[str, str], tenant: Tenant) -> ImportOptions:
    """`default_region`, `default_channel` and `default_reason`, in either spelling. Raises InvalidInput naming the bad
    one."""
    channel = given.get("default_channel") or given.get("defaultChannel") or ""
    if channel and channel not in list(Channel):
        raise InvalidInput.at("?default_channel", f"{channel[:20]!r} is no channel: use {', '.join(Channel)}.")
    reason = given.get("default_reason") or given.get("defaultReason") or ""
    if reason and reason not in list(SuppressionReason):
        raise InvalidInput.at("?default_reason", f"{reason[:20]!r} is no reason: use {', '.join(SuppressionReason)}.")
    region = read_options({name: text for name, text in given.items() if name != "dedupe"}, tenant).default_region
    return ImportOptions(
        kind=FileKind.SUPPRESSIONS, default_region=region, default_channel=channel, default_reason=reason
    )


def look_through(file: IO[bytes], format: Format | None, kind: FileKind = FileKind.CONTACTS) -> Upload:
    """Read the whole file once and find out what it is; blocks. Raises Malformed or InvalidInput."""
    scan = Scan()
    head = b""
    file.seek(0)
    while piece := file.read(PIECE):
        scan.add(piece)
        if len(head) < HEAD:
            head += piece
    shape = find_shape(
        head, whole=scan.size == len(head), format=format or sniff_format(head), encoding=scan.encoding(), kind=kind
    )
    return Upload(file=file, size=scan.size, digest=scan.digest, shape=shape)


async def store(
    session: AsyncSession, tenant_id: UUID, import_id: UUID, upload: Upload, options: ImportOptions
) -> None:
    """Write the import and its file, all or nothing. A second time under the same id, nothing."""
    values: dict[str, Any] = {
        "id": import_id,
        "tenant_id": tenant_id,
        "format": upload.shape.format.value,
        "options_json": {"shape": asdict(upload.shape), "digest": upload.digest, **asdict(options)},
        "size_bytes": upload.size,
        "offset": upload.shape.start,
    }
    if not await imports.insert_if_new(session, values):
        return
    upload.file.seek(0)
    start = 0
    while piece := await asyncio.to_thread(upload.file.read, PIECE):
        await imports.add_piece(session, tenant_id, import_id, start, piece)
        start += len(piece)


async def get(session: AsyncSession, tenant_id: UUID, import_id: UUID) -> Import:
    found = await imports.get(session, tenant_id, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id}.")
    return found


async def start(sessions: Sessions, workflows: Workflows, tenant_id: UUID, import_id: UUID) -> None:
    """Hand the import to the engine and note that it has it."""
    await workflows.start_import(ImportInput(tenant_id=tenant_id, import_id=import_id))
    async with sessions.begin(tenant_id) as session:
        await imports.mark_started(session, tenant_id, import_id, datetime.now(UTC))


def job(row: Import) -> Job:
    options, shape = row.options_json, row.options_json["shape"]
    return Job(
        tenant_id=row.tenant_id,
        import_id=row.id,
        shape=FileShape(**{**shape, "format": Format(shape["format"]), "header": tuple(shape["header"])}),
        options=ImportOptions(
            kind=FileKind(options.get("kind", FileKind.CONTACTS)),
            default_region=options["default_region"],
            dedupe=Dedupe(options["dedupe"]),
            default_channel=options.get("default_channel", ""),
            default_reason=options.get("default_reason", ""),
        ),
        size=row.size_bytes,
        now=row.created_at,
        offset=row.offset,
        rows=row.rows,
    )


async def finish(session: AsyncSession, tenant_id: UUID, import_id: UUID, *, error: str = "") -> Import:
    """End the import: done, or failed with `error`. The file is no longer needed and goes; the verdicts stay."""
    row = await imports.lock(session, tenant_id, import_id)
    if row is None:
        raise NotFound(f"There is no import {import_id}.")
    if row.status in {ImportStatus.PENDING, ImportStatus.RUNNING}:
        row.status = ImportStatus.FAILED if error else ImportStatus.DONE
        row.error = error
        row.finished_at = datetime.now(UTC)
        if not error:
            row.offset = row.size_bytes
        await imports.delete_pieces(session, tenant_id, import_id)
        await session.flush()
    return row


def _parser(job: Job) -> RowParser | SuppressionParser:
    options = job.options
    if options.kind is FileKind.SUPPRESSIONS:
        return SuppressionParser(
            job.shape,
            default_region=options.default_region,
            channel=options.default_channel,
            reason=options.default_reason,
        )
    return RowParser(job.shape, default_region=options.default_region, now=job.now)


class RowSource:
    """The rows of an import from where it stands. Holds one piece of the file at a time."""

    def __init__(self, sessions: Sessions, job: Job) -> None:
        self.sessions, self.job = sessions, job
        self._rows = open_rows(job.shape, offset=job.offset, number=job.rows)
        self._parser = _parser(job)
        self._fed = job.offset
        self._last = False
        self._problem: FileProblem | None = None

    async def take(self, limit: int) -> list[ParsedRow]:
        """The next `limit` rows, fewer at the end, then none. Raises FileProblem once the rows before it are given."""
        batch: list[ParsedRow] = []
        while len(batch) < limit and self._problem is None:
            try:
                parsed = await asyncio.to_thread(self._parse, limit - len(batch))
            except FileProblem as problem:
                self._problem = problem
                break
            batch += parsed
            if not parsed:
                if self._last:
                    break
                await self._feed()
        if self._problem is not None and not batch:
            raise self._problem
        return batch

    async def _feed(self) -> None:
        async with self.sessions.begin(self.job.tenant_id) as session:
            piece = await imports.piece_at(session, self.job.tenant_id, self.job.import_id, self._fed)
        self._fed += len(piece)
        self._last = self._fed >= self.job.size
        if not piece and not self._last:
            raise FileProblem("A part of the uploaded file is missing; upload it again.")
        await asyncio.to_thread(self._rows.feed, piece, last=self._last)

    def _parse(self, limit: int) -> list[ParsedRow]:
        """In a thread: beside the event loop, so that sending goes on, and beside the database's own work."""
        parsed: list[ParsedRow] = []
        try:
            while len(parsed) < limit and (raw := self._rows.take(min(limit - len(parsed), TURN))):
                parsed += map(self._parser.parse, raw)
                time.sleep(0)  # else the event loop, which has a dozen answers to take per batch, waits 5 ms for each
        except FileProblem:
            if not parsed:
                raise  # else the next call meets it again
        return parsed
