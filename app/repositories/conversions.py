"""Conversions, and the message that one is credited to."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.status import Direction
from app.models import Conversion, Event, Message

# a message is written shortly before it is sent, but a held or retried one may wait
LONGEST_WAIT = timedelta(days=3)


async def by_order(session: AsyncSession, tenant_id: UUID, order_id: str) -> Conversion | None:
    query = select(Conversion).where(col(Conversion.tenant_id) == tenant_id, col(Conversion.order_id) == order_id)
    return (await session.execute(query)).scalar_one_or_none()


async def insert_new(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the order is there already."""
    statement = insert(Conversion).values(values).on_conflict_do_nothing().returning(col(Conversion.id))
    return (await session.execute(statement)).first() is not None


async def last_touch(
    session: AsyncSession, tenant_id: UUID, contact_id: UUID, at: datetime, window: timedelta
) -> Message | None:
    """The campaign message that the contact got last within `window` before `at`."""
    query = (
        select(Message)
        .where(
            col(Message.tenant_id) == tenant_id,
            col(Message.conversation_id) == contact_id,
            col(Message.created_at).between(at - window - LONGEST_WAIT, at),
            col(Message.direction) == Direction.OUT,
            col(Message.campaign_id).is_not(None),
            col(Message.sent_at).between(at - window, at),
        )
        .order_by(col(Message.sent_at).desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def add_event(session: AsyncSession, event: Event) -> None:
    """Once per id."""
    values = event.model_dump(exclude={"created_at", "updated_at"})
    await session.execute(insert(Event).values(values).on_conflict_do_nothing(index_elements=["id"]))
