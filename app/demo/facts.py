"""What the database holds when the campaign is over."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from app.db import Sessions
from app.domain.status import Channel, Direction
from app.models import CampaignRecipient, Contact, Conversion, Decision, Event, Message, Suppression

Row = TypeVar("Row", bound=SQLModel)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The tenant's rows; it is new, so all of them are of this run."""

    contacts: dict[UUID, Contact]
    recipients: dict[UUID, CampaignRecipient]
    sent: list[Message]
    received: list[Message]
    decisions: dict[UUID, list[Decision]]
    suppressions: dict[tuple[Channel, str], Suppression]
    conversions: list[Conversion]
    events_of: dict[UUID | None, list[Event]]

    @property
    def accepted(self) -> list[Message]:
        """What a provider took, whatever came afterwards."""
        return [message for message in self.sent if message.sent_at is not None]


async def read_facts(sessions: Sessions, tenant_id: UUID) -> Facts:
    async with sessions.begin(tenant_id) as session:
        events_of: dict[UUID | None, list[Event]] = defaultdict(list)
        for event in await _all(session, Event):
            events_of[event.contact_id].append(event)
        messages = await _all(session, Message)
        decisions: dict[UUID, list[Decision]] = defaultdict(list)
        for decision in await _all(session, Decision):
            decisions[decision.contact_id].append(decision)
        return Facts(
            contacts={contact.id: contact for contact in await _all(session, Contact)},
            recipients={row.contact_id: row for row in await _all(session, CampaignRecipient)},
            sent=[message for message in messages if message.direction is Direction.OUT],
            received=[message for message in messages if message.direction is Direction.IN],
            decisions=decisions,
            suppressions={
                (row.channel, row.address): row for row in await _all(session, Suppression) if row.lifted_at is None
            },
            conversions=await _all(session, Conversion),
            events_of=events_of,
        )


async def _all(session: AsyncSession, model: type[Row]) -> list[Row]:
    """Every row that the tenant may see, in the order of the ids."""
    rows: Sequence[Row] = (await session.execute(select(model))).scalars().all()
    return sorted(rows, key=lambda row: row.id)  # type: ignore[attr-defined]  # every table has one
