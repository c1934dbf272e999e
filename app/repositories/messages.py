"""Single messages and conversations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.models import Conversation, Decision, Message


async def get(session: AsyncSession, tenant_id: UUID, message_id: UUID) -> Message | None:
    query = select(Message).where(col(Message.tenant_id) == tenant_id, col(Message.id) == message_id)
    return (await session.execute(query)).scalar_one_or_none()


async def fallbacks(session: AsyncSession, tenant_id: UUID, message: Message) -> list[Message]:
    """The messages that went out instead of this one; they are in the same conversation and not older."""
    query = (
        select(Message)
        .where(
            col(Message.tenant_id) == tenant_id,
            col(Message.conversation_id) == message.conversation_id,
            col(Message.created_at) >= message.created_at,
            col(Message.fallback_of) == message.id,
        )
        .order_by(col(Message.created_at), col(Message.id))
    )
    return list((await session.execute(query)).scalars())


async def decisions(session: AsyncSession, tenant_id: UUID, contact_id: UUID, messages: list[UUID]) -> list[Decision]:
    query = (
        select(Decision)
        .where(
            col(Decision.tenant_id) == tenant_id,
            col(Decision.contact_id) == contact_id,
            col(Decision.message_id).in_(messages),
        )
        .order_by(col(Decision.created_at), col(Decision.id))
    )
    return list((await session.execute(query)).scalars())


async def conversation(session: AsyncSession, tenant_id: UUID, contact_id: UUID) -> Conversation | None:
    query = select(Conversation).where(col(Conversation.tenant_id) == tenant_id, col(Conversation.id) == contact_id)
    return (await session.execute(query)).scalar_one_or_none()


async def latest(
    session: AsyncSession, tenant_id: UUID, contact_id: UUID, *, before: datetime | None, limit: int
) -> tuple[list[Message], int]:
    """The newest `limit` messages of the conversation, the newest last, and how many there are in all."""
    where = [col(Message.tenant_id) == tenant_id, col(Message.conversation_id) == contact_id]
    total = (await session.execute(select(func.count()).select_from(Message).where(*where))).scalar_one()
    if before is not None:
        where.append(col(Message.created_at) < before)
    query = select(Message).where(*where).order_by(col(Message.created_at).desc(), col(Message.id).desc()).limit(limit)
    return list((await session.execute(query)).scalars())[::-1], total
