"""The least time between two messages from one sender to one recipient, whatever they belong to.

The pair is taken with the claim, for its interval and a little longer. A message that could not leave soon after its
claim does not leave at all, so that from one departure to the next claim the interval is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ProviderUnavailable
from app.repositories import outbox
from app.services.senders import Sender

LEAVE_WITHIN_SECONDS = 1.0
# That, and half a second for the way to the provider.
MARGIN_SECONDS = LEAVE_WITHIN_SECONDS + 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """`leave_by` and `taken_until` are instants of this process's clock."""

    leave_by: float
    taken_until: float

    def check(self) -> None:
        """Raises ProviderUnavailable when it is too late to leave."""
        if monotonic() > self.leave_by:
            raise ProviderUnavailable("It could not leave in its turn, within the limit of its recipient.")


async def take(
    session: AsyncSession, tenant_id: UUID, wanted: Mapping[UUID, Sender]
) -> tuple[Mapping[UUID, Turn], Mapping[UUID, datetime]]:
    """Open the conversations of these contacts and take the pairs: the turns, and until when others have theirs."""
    began = monotonic()
    paces = {id: _pace(sender) for id, sender in wanted.items()}
    busy = await outbox.open_conversations(session, tenant_id, paces)
    turns = {
        id: Turn(began + LEAVE_WITHIN_SECONDS, began + pace)
        for id, pace in paces.items()
        if pace is not None and id not in busy
    }
    return turns, busy


def _pace(sender: Sender) -> float | None:
    interval = sender.recipient_interval
    return interval.total_seconds() + MARGIN_SECONDS if interval else None
