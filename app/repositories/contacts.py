"""Contacts of a tenant; deleted ones are never found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from app.models import Consent, Contact, Conversation, LeadScore, Suppression
from app.repositories import segments


def _there(tenant_id: UUID) -> list[ColumnElement[bool]]:
    return [col(Contact.tenant_id) == tenant_id, col(Contact.deleted_at).is_(None)]


async def get(session: AsyncSession, tenant_id: UUID, contact_id: UUID, *, lock: bool = False) -> Contact | None:
    query = select(Contact).where(*_there(tenant_id), col(Contact.id) == contact_id)
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()


async def by_phone(session: AsyncSession, tenant_id: UUID, phone: str) -> Contact | None:
    query = select(Contact).where(*_there(tenant_id), col(Contact.phone) == phone)
    return (await session.execute(query)).scalar_one_or_none()


async def by_email(session: AsyncSession, tenant_id: UUID, email: str) -> Contact | None:
    """The oldest of those who share the address."""
    query = select(Contact).where(*_there(tenant_id), col(Contact.email) == email).order_by(col(Contact.id)).limit(1)
    return (await session.execute(query)).scalar_one_or_none()


async def lock_address(session: AsyncSession, tenant_id: UUID, address: str) -> None:
    """Until the end of the transaction nobody else makes a contact with this address through the API."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"contact/{tenant_id}/{address}"}
    )


async def insert_new(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the phone number (or the id) is taken."""
    statement = insert(Contact).values(values).on_conflict_do_nothing().returning(col(Contact.id))
    return (await session.execute(statement)).first() is not None


async def page(
    session: AsyncSession, tenant_id: UUID, *, search: str, offset: int, size: int
) -> tuple[list[Contact], int]:
    """Newest first; `search` looks into names, phone and e-mail."""
    where = _there(tenant_id)
    for word in search.split():
        pattern = f"%{_escaped(word)}%"
        names = func.concat(col(Contact.first_name), " ", col(Contact.last_name))
        where.append(
            or_(
                names.ilike(pattern, escape="\\"),
                col(Contact.email).ilike(pattern, escape="\\"),
                col(Contact.phone).ilike(pattern, escape="\\"),
            )
        )
    query = select(Contact).where(*where).order_by(col(Contact.id).desc()).offset(offset).limit(size)
    rows = list((await session.execute(query)).scalars())
    total = (await session.execute(select(func.count()).select_from(Contact).where(*where))).scalar_one()
    return rows, total


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def in_segment(
    session: AsyncSession, tenant_id: UUID, condition: segments.Clause, *, sample: int
) -> tuple[int, list[Contact]]:
    """How many match, and the newest few of them."""
    where = [*_there(tenant_id), condition]
    count = (await session.execute(select(func.count()).select_from(Contact).where(*where))).scalar_one()
    query = select(Contact).where(*where).order_by(col(Contact.id).desc()).limit(sample)
    return count, list((await session.execute(query)).scalars())


async def forget(session: AsyncSession, contact: Contact) -> None:
    """Remove what is kept about the person in other tables; suppressions stay, so that nobody writes there again."""
    for table in (Consent, LeadScore):
        await session.execute(delete(table).where(col(table.contact_id) == contact.id))


async def ensure_conversation(session: AsyncSession, tenant_id: UUID, contact_id: UUID) -> None:
    statement = insert(Conversation).values(id=contact_id, tenant_id=tenant_id, contact_id=contact_id)
    await session.execute(statement.on_conflict_do_nothing())


async def last_outbound_of(session: AsyncSession, contact_ids: Sequence[UUID]) -> dict[UUID, datetime | None]:
    """When each was last written to; who never was is not in it."""
    query = select(col(Conversation.id), col(Conversation.last_outbound_at)).where(
        col(Conversation.id).in_(contact_ids)
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def suppressions_of(session: AsyncSession, tenant_id: UUID, addresses: set[str]) -> list[Suppression]:
    """Those in force for any of the addresses."""
    if not addresses:
        return []
    query = select(Suppression).where(
        col(Suppression.tenant_id) == tenant_id,
        col(Suppression.address).in_(addresses),
        col(Suppression.lifted_at).is_(None),
    )
    return list((await session.execute(query)).scalars())
