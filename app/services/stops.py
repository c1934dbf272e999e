"""The one place that stops contacts: replied, converted, opted out or deleted.

The stop is written here, in the caller's transaction; from its commit on nothing more can leave. The signals to the
sequences that are answered only make them end sooner: send them after the commit.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import StopReason
from app.repositories import stops
from app.repositories.stops import Stop, StoppedSequence

__all__ = ["Stop", "StoppedSequence", "stop_many", "stop_recipients"]


async def stop_recipients(
    session: AsyncSession, tenant_id: UUID, contact_id: UUID, reason: StopReason, at: datetime
) -> list[StoppedSequence]:
    """Stop the contact in every campaign it is in play in, as the campaign's `exit_on` has it; an opt-out ends every
    marketing campaign, a deletion all of them.

    The first reason stays. Repeated with the same `at` it changes nothing and answers the same list, so a caller that
    died before its signals sends them the next time.
    """
    return await stops.stop(session, tenant_id, [Stop(contact_id=contact_id, reason=reason, at=at)])


async def stop_many(session: AsyncSession, tenant_id: UUID, wanted: Iterable[Stop]) -> list[StoppedSequence]:
    """`stop_recipients` for many, in as few statements as there are stops of one contact.

    The stops of one contact are applied in the order given.
    """
    answered: list[StoppedSequence] = []
    rest = list(wanted)
    while rest:
        first: dict[UUID, Stop] = {}
        later: list[Stop] = []
        for stop in rest:
            if stop.contact_id in first:
                later.append(stop)
            else:
                first[stop.contact_id] = stop
        answered += await stops.stop(session, tenant_id, list(first.values()))
        rest = later
    return answered
