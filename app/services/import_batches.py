"""Writing a batch of an import: people, consents, verdicts and the place in the file, in one transaction."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Sessions
from app.domain.contact_file.cells import ContactRow
from app.domain.contact_file.consent_fold import ConsentState, Folded, fold_all
from app.domain.contact_file.roster import Person, Roster
from app.domain.contact_file.suppression_rows import SuppressionRow
from app.domain.contact_file.types import FileKind, RejectedRow
from app.domain.status import Channel, StopReason, SuppressionReason
from app.models import ImportStatus, RowVerdict
from app.repositories import consent_batches, contact_batches, import_stage, imports, suppressions
from app.repositories.consent_batches import DatedOptIn
from app.repositories.imports import Verdict
from app.services import stops
from app.services.imports import Job, ParsedRow
from app.services.stops import Stop, StoppedSequence

COLLISIONS = 5  # how often a batch is tried again when single writes take the numbers it is about to write
WITHDRAWN = {
    Channel.WHATSAPP: SuppressionReason.STOP,
    Channel.SMS: SuppressionReason.STOP,
    Channel.EMAIL: SuppressionReason.UNSUBSCRIBE,
}
LIFTED = (SuppressionReason.STOP.value, SuppressionReason.UNSUBSCRIBE.value)


class Superseded(Exception):
    """Another attempt has gone on with this import, or it has ended."""


async def write(
    sessions: Sessions, job: Job, rows: Sequence[ParsedRow], *, offset: int, staged: Callable[[], None] = lambda: None
) -> list[StoppedSequence]:
    """Write `rows`, which begin at byte `offset`. Returns the sequences to tell that their contact opted out.

    `staged` is called when PostgreSQL has the rows and this process has next to nothing to do until it is through with
    them; more than once, if they are tried again.
    A row that PostgreSQL refuses is found by halving and rejected, so that it never stops the file. Raises Superseded.
    """
    for collision in range(COLLISIONS + 1):
        try:
            async with sessions.begin(job.tenant_id) as session:
                return await _write(session, job, rows, offset, staged)
        except IntegrityError:
            if collision == COLLISIONS:
                raise
        except DataError as error:
            only = rows[0] if len(rows) == 1 else None
            if isinstance(only, RejectedRow):
                raise
            if only is not None:
                logger.warning("import {}: the database refused row {}: {}", job.import_id, only.number, error.orig)
                rejected = RejectedRow(only.number, only.end, "", "The database can't store this row.")
                return await write(sessions, job, [rejected], offset=offset)
            half = len(rows) // 2
            stopped = await write(sessions, job, rows[:half], offset=offset, staged=staged)
            return stopped + await write(sessions, job, rows[half:], offset=rows[half - 1].end, staged=staged)
    raise AssertionError("unreachable")


async def _write(
    session: AsyncSession, job: Job, rows: Sequence[ParsedRow], offset: int, staged: Callable[[], None]
) -> list[StoppedSequence]:
    row = await imports.lock(session, job.tenant_id, job.import_id)
    if row is None or row.offset != offset or row.status not in {ImportStatus.PENDING, ImportStatus.RUNNING}:
        raise Superseded
    await imports.settle_bulk(session)
    if job.options.kind is FileKind.SUPPRESSIONS:
        staged()
        verdicts = await _suppress(session, job, rows)
        stopped: list[StoppedSequence] = []
    else:
        verdicts, stopped = await _write_people(session, job, rows, staged)
    await imports.add_verdicts(session, job.tenant_id, job.import_id, verdicts)
    counts = Counter(verdict.verdict for verdict in verdicts)
    row.status = ImportStatus.RUNNING
    row.offset = rows[-1].end
    row.rows += len(verdicts)
    row.created += counts[RowVerdict.CREATED]
    row.updated += counts[RowVerdict.UPDATED]
    row.merged += counts[RowVerdict.MERGED]
    row.rejected += counts[RowVerdict.REJECTED]
    await session.flush()
    if stopped:
        await imports.wait_for_disk(session)
    return stopped


async def _write_people(
    session: AsyncSession, job: Job, rows: Sequence[ParsedRow], staged: Callable[[], None]
) -> tuple[list[Verdict], list[StoppedSequence]]:
    people, verdicts = await _place(session, job, rows)
    folded = await _fold(session, job, people)
    await import_stage.fill(session, zip(people, folded, strict=True))
    staged()
    await contact_batches.write(session, job.tenant_id, job.import_id, people)
    return verdicts, await _write_consents(session, job, people, folded)


async def _suppress(session: AsyncSession, job: Job, rows: Sequence[ParsedRow]) -> list[Verdict]:
    """Whatever is queued for these addresses is refused at the gate from this commit on, so it waits for the disk."""
    good = [row for row in rows if isinstance(row, SuppressionRow)]
    first = {(row.channel, row.address): row for row in reversed(good)}
    outcomes = await suppressions.add_all(session, job.tenant_id, list(first.values()))
    await imports.wait_for_disk(session)
    verdicts = []
    for row in rows:
        if isinstance(row, RejectedRow):
            verdicts.append(Verdict(row.number, RowVerdict.REJECTED, "", row.field, row.reason))
        elif isinstance(row, SuppressionRow):
            key = row.channel, row.address
            verdict = outcomes[key] if first[key] is row else RowVerdict.MERGED
            verdicts.append(Verdict(row.number, verdict, "", "", ""))
    return verdicts


async def _place(session: AsyncSession, job: Job, rows: Sequence[ParsedRow]) -> tuple[list[Person], list[Verdict]]:
    good = [row for row in rows if isinstance(row, ContactRow)]
    known = await contact_batches.find(
        session,
        job.tenant_id,
        job.import_id,
        phones=[row.phone for row in good if row.phone],
        emails=[row.email for row in good if row.email],
    )
    roster = Roster(known, job.options.dedupe)
    verdicts = [
        Verdict._make(roster.place(row))
        if isinstance(row, ContactRow)
        else Verdict(row.number, RowVerdict.REJECTED, "", row.field, row.reason)
        for row in rows
        if not isinstance(row, SuppressionRow)
    ]
    return roster.people, verdicts


async def _fold(session: AsyncSession, job: Job, people: list[Person]) -> list[Folded | None]:
    """What the consents of each become. None: as its only row says, for who is new and said nothing before."""
    before: dict[str, dict[Channel, ConsentState]] = defaultdict(dict)
    if asked := [person.id for person in people if person.answers and not person.is_new]:
        for times in await consent_batches.of(session, job.tenant_id, asked):
            before[times.contact_id][times.channel] = ConsentState(times.opt_in_at, times.opt_out_at)
    return [
        None
        if len(person.answers) < 2 and person.is_new
        else fold_all(person.answers, before.get(person.id, {}), job.now)
        for person in people
    ]


async def _write_consents(
    session: AsyncSession, job: Job, people: list[Person], folded: list[Folded | None]
) -> list[StoppedSequence]:
    changing = [
        (person, done)
        for person, one in zip(people, folded, strict=True)
        if any(done := one.times if one else person.answers[0][0].first if person.answers else ())
    ]
    if not changing:
        return []
    new = any(person.is_new for person, _ in changing)
    known = any(not person.is_new for person, _ in changing)
    await consent_batches.write(session, job.tenant_id, job.import_id, new=new, known=known)
    opt_ins = [
        DatedOptIn(channel, address, at)
        for person, one in zip(people, folded, strict=True)
        for channel, at in (one.ends if one else ())
        if (address := person.email if channel is Channel.EMAIL else person.phone)
    ]
    if opt_ins:
        await consent_batches.lift(session, job.tenant_id, opt_ins, LIFTED)
    leaving = [person for person, times in changing if any(times[1::2])]
    if not leaving:
        return []
    await consent_batches.withdraw(session, job.tenant_id, job.import_id, WITHDRAWN)
    return await stops.stop_many(
        session,
        job.tenant_id,
        [
            Stop(contact_id=UUID(person.id), reason=StopReason.OPTED_OUT, at=job.now)
            for person in leaving
            if not person.is_new  # who is new is in no campaign yet
        ],
    )
