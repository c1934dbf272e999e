"""Contacts and their consents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query

from app.models import Contact
from app.repositories import contacts as rows
from app.routes.deps import CreatedIdDep, PagingDep, SessionsDep, TemporalDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, CREATING, WITH_BODY, documented
from app.routes.signals import stop_sequences
from app.schemas.base import Page
from app.schemas.contacts import (
    CONSENT_EXAMPLE,
    CREATE_EXAMPLE,
    READ_EXAMPLE,
    UPDATE_EXAMPLE,
    ConsentWrite,
    ContactCreate,
    ContactRead,
    ContactUpdate,
)
from app.schemas.examples import answer, listed
from app.services import contacts

router = APIRouter(prefix="/v1/contacts", tags=["Contacts"], route_class=Endpoint)
FOUND = answer(200, READ_EXAMPLE)


@router.get("", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_contacts(
    tenant: TenantDep,
    paging: PagingDep,
    db: SessionsDep,
    search: Annotated[str, Query(max_length=200, description="Words in names, phone number or e-mail address.")] = "",
) -> Page[ContactRead]:
    """Contacts, newest first."""
    async with db.begin(tenant.id) as session:
        found, total = await rows.page(session, tenant.id, search=search, offset=paging.offset, size=paging.size)
        items = await contacts.show(session, tenant.id, found)
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@router.post("", status_code=201, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def create_contact(
    wanted: Annotated[ContactCreate, Body(examples=[CREATE_EXAMPLE])],
    tenant: TenantDep,
    id: CreatedIdDep,
    db: SessionsDep,
) -> ContactRead:
    """Add a contact. Without consents it gets transactional messages only."""
    async with db.begin(tenant.id) as session:
        contact: Contact = await contacts.create(session, tenant, wanted, id=id)
        return (await contacts.show(session, tenant.id, [contact]))[0]


@router.get("/{contact_id}", responses={**COMMON, **documented(404), **FOUND})
async def get_contact(contact_id: UUID, tenant: TenantDep, db: SessionsDep) -> ContactRead:
    """One contact, with consents and suppressions."""
    async with db.begin(tenant.id) as session:
        contact = await contacts.get(session, tenant.id, contact_id)
        return (await contacts.show(session, tenant.id, [contact]))[0]


@router.patch("/{contact_id}", responses={**WITH_BODY, **documented(404, 409), **FOUND})
async def change_contact(
    contact_id: UUID,
    wanted: Annotated[ContactUpdate, Body(examples=[UPDATE_EXAMPLE])],
    tenant: TenantDep,
    db: SessionsDep,
) -> ContactRead:
    """Change what is given (JSON merge patch): `null` empties a field, `attributes` are merged by name, `tags` are
    replaced."""
    async with db.begin(tenant.id) as session:
        contact = await contacts.update(session, tenant, contact_id, wanted)
        return (await contacts.show(session, tenant.id, [contact]))[0]


@router.delete("/{contact_id}", status_code=204, responses={**COMMON, **documented(404)})
async def delete_contact(contact_id: UUID, tenant: TenantDep, db: SessionsDep, temporal: TemporalDep) -> None:
    """Forget a person: names, addresses, attributes and consents go, running sequences end. Suppressions stay, so that
    nobody writes to that address again, and so do the counts of past campaigns."""
    async with db.begin(tenant.id) as session:
        stopped = await contacts.delete(session, tenant.id, contact_id)
    await stop_sequences(temporal, stopped)


@router.post(
    "/{contact_id}/consents", status_code=201, responses={**CREATING, **documented(404), **answer(201, READ_EXAMPLE)}
)
async def record_consent(
    contact_id: UUID,
    wanted: Annotated[ConsentWrite, Body(examples=[CONSENT_EXAMPLE])],
    tenant: TenantDep,
    db: SessionsDep,
    temporal: TemporalDep,
) -> ContactRead:
    """Record a yes or a no on a channel. A no suppresses the address and ends running marketing sequences; a yes lifts
    an earlier STOP or unsubscribe, never a bounce or a complaint. An older report never overrules a newer one."""
    async with db.begin(tenant.id) as session:
        contact = await contacts.get(session, tenant.id, contact_id)
        stopped = await contacts.record_consent(session, tenant.id, contact, wanted)
        shown = (await contacts.show(session, tenant.id, [contact]))[0]
    await stop_sequences(temporal, stopped)
    return shown
