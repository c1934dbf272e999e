"""Rows for tests. Each maker takes a session of the right tenant, and any column as a keyword."""

import itertools
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.ids import new_id
from app.models import Contact, Tenant

_numbers = itertools.count(910_000_000)


async def make_tenant(session: AsyncSession, **changes: Any) -> Tenant:
    id = new_id()
    tenant = Tenant(**{"id": id, "name": "Tenant", "slug": f"tenant-{id}", "default_region": "PT", **changes})
    session.add(tenant)
    await session.flush()
    return tenant


async def make_contact(session: AsyncSession, tenant_id: UUID, **changes: Any) -> Contact:
    number = next(_numbers)
    contact = Contact(
        **{
            "tenant_id": tenant_id,
            "phone": f"+351{number}",
            "email": f"person{number}@example.com",
            "first_name": "Ana",
            "country": "PT",
            **changes,
        }
    )
    session.add(contact)
    await session.flush()
    return contact
