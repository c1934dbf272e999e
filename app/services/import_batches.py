"""Writing a batch of an import: people, consents, verdicts and the place in the file, in one transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Sessions
from app.domain.contact_file.cells import ContactRow, RejectedRow
from app.domain.contact_file.consent_fold import ConsentState, fold
from app.domain.contact_file.roster import Person, Roster
from app.domain.status import Channel, StopReason, SuppressionReason
from app.models import ImportStatus, RowVerdict
from app.repositories import contact_batches, imports
from app.repositories.contact_batches import ConsentChange
from app.repositories.imports import Verdict
from app.services import stops
from app.services.imports import Job, ParsedRow
from app.services.stops import Stop, StoppedSequence

SOURCE = "import"
COLLISIONS = 5  # how often a batch is tried again when single writes take the numbers it is about to write
WITHDRAWN = {
    Channel.WHATSAPP: SuppressionReason.STOP,
    Channel.SMS: SuppressionReason.STOP,
    Channel.EMAIL: SuppressionReason.UNSUBSCRIBE,
}
UNASKED = ConsentState()
LIFTED = (SuppressionReason.STOP.value, SuppressionReason.UNSUBSCRIBE.value)


class Superseded(Exception):
    """Another attempt has gone on with this import, or it has ended."""


@dataclass(frozen=True, slots=True)
class Consents:
    changes: list[ConsentChange]
    opted_out: list[ConsentChange]
    dated_opt_ins: list[ConsentChange]  # by a date in the file that is later than an opt-out


async def write(sessions: Sessions, job: Job, rows: Sequence[ParsedRow], *, offset: int) -> list[StoppedSequence]:
    """Write `rows`, which begin at byte `offset`. Returns the sequences to tell that their contact opted out.

    A row that PostgreSQL refuses is found by halving and rejected, so that it never stops the file. Raises Superseded.
    """
    for collision in range(COLLISIONS + 1):
        try:
            async with sessions.begin(job.tenant_id) as session:
                return await _write(session, job, rows, offset)
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
            stopped = await write(sessions, job, rows[:half], offset=offset)
            return stopped + await write(sessions, job, rows[half:], offset=rows[half - 1].end)
    raise AssertionError("unreachable")


async def _write(session: AsyncSession, job: Job, rows: Sequence[ParsedRow], offset: int) -> list[StoppedSequence]:
    row = await imports.lock(session, job.tenant_id, job.import_id)
    if row is None or row.offset != offset or row.status not in {ImportStatus.PENDING, ImportStatus.RUNNING}:
        raise Superseded
    await contact_batches.use_indexes(session)
    roster, verdicts = await _place(session, job, rows)
    people = roster.people
    await contact_batches.upsert(session, job.tenant_id, job.import_id, people)
    stopped = await _write_consents(session, job, people)
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
    return stopped


async def _place(session: AsyncSession, job: Job, rows: Sequence[ParsedRow]) -> tuple[Roster, list[Verdict]]:
    good = [row for row in rows if isinstance(row, ContactRow)]
    known = await contact_batches.find(
        session,
        job.tenant_id,
        job.import_id,
        phones=list({row.phone for row in good if row.phone}),
        emails=list({row.email for row in good if row.email}),
    )
    roster = Roster(known, job.options.dedupe)
    verdicts = []
    for row in rows:
        if isinstance(row, RejectedRow):
            verdicts.append(Verdict(row.number, RowVerdict.REJECTED, None, row.field, row.reason))
        else:
            placed = roster.place(row)
            verdicts.append(Verdict(placed.number, placed.verdict, placed.contact_id, placed.field, placed.reason))
    return roster, verdicts


async def _write_consents(session: AsyncSession, job: Job, people: list[Person]) -> list[StoppedSequence]:
    states: dict[tuple[UUID, Channel], ConsentState] = {}
    if asked := [person.id for person in people if person.consents and not person.is_new]:
        for times in await contact_batches.consents_of(session, job.tenant_id, asked):
            states[times.contact_id, times.channel] = ConsentState(times.opt_in_at, times.opt_out_at)
    consents = _fold_consents(people, states, job.now)
    if not consents.changes:
        return []
    await contact_batches.write_consents(session, job.tenant_id, job.import_id, consents.changes)
    if consents.dated_opt_ins:
        await contact_batches.lift(session, job.tenant_id, consents.dated_opt_ins, LIFTED)
    if not consents.opted_out:
        return []
    addresses = [
        (change.channel, change.address, WITHDRAWN[change.channel]) for change in consents.opted_out if change.address
    ]
    await contact_batches.suppress(session, job.tenant_id, addresses)
    new = {person.id for person in people if person.is_new}  # they are in no campaign yet
    leaving = dict.fromkeys(change.contact_id for change in consents.opted_out if change.contact_id not in new)
    return await stops.stop_many(
        session,
        job.tenant_id,
        [Stop(contact_id=contact_id, reason=StopReason.OPTED_OUT, at=job.now) for contact_id in leaving],
    )


def _fold_consents(people: list[Person], states: dict[tuple[UUID, Channel], ConsentState], now: datetime) -> Consents:
    """What the cells of this batch change, one entry per contact and channel."""
    found = Consents([], [], [])
    for person in people:
        after: dict[Channel, tuple[ConsentState, str]] = {}
        for channel, cell, source in person.consents:
            state = after[channel][0] if channel in after else states.get((person.id, channel), UNASKED)
            after[channel] = fold(state, cell, now), source or SOURCE
        for channel, (state, source) in after.items():
            before = states.get((person.id, channel), UNASKED)
            if state == before:
                continue
            change = ConsentChange(
                person.id,
                channel,
                "opted_in" if state.opt_out_at == before.opt_out_at else "opted_out",
                state.opt_in_at,
                state.opt_out_at,
                source,
                person.email if channel is Channel.EMAIL else person.phone,
            )
            found.changes.append(change)
            if state.is_out and not before.is_out:
                found.opted_out.append(change)
            elif state.opt_out_at is not None and state.is_in and change.address:
                found.dated_opt_ins.append(change)
    return found
