"""Purchases: written once per order, credited to the last message, and the end of the buyer's sequences."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import StopReason
from app.errors import Conflict, FieldError, InvalidInput
from app.models import Contact, Conversion, Event, EventSource, Tenant
from app.repositories import contacts, conversions
from app.schemas.conversions import ConversionCreate
from app.services.contacts import CLOCK_SKEW, resolve
from app.services.stops import StoppedSequence, stop_recipients

ATTRIBUTION_WINDOW = timedelta(days=7)


async def record(
    session: AsyncSession, tenant: Tenant, wanted: ConversionCreate, *, id: UUID
) -> tuple[Conversion, list[StoppedSequence]]:
    """Write a purchase, or find the one that this order already is. Signal the answered sequences after the commit.

    Raises InvalidInput for an unknown contact or a time to come, and Conflict when the order is known otherwise.
    """
    contact = await resolve(session, tenant, contact_id=wanted.contact_id, phone=wanted.phone, email=wanted.email)
    now = datetime.now(UTC)
    at = wanted.occurred_at or now
    if at > now + CLOCK_SKEW:
        raise InvalidInput.at("/occurred_at", "A purchase can't lie in the future.")
    await contacts.lock_address(session, tenant.id, f"order/{wanted.order_id}")
    known = await conversions.by_order(session, tenant.id, wanted.order_id)
    if known is not None:
        _check_same(known, wanted, contact)
    else:
        known = await _write(session, tenant, wanted, contact, at, id)
    stopped = await stop_recipients(
        session, tenant.id, contact.id, StopReason.CONVERTED, known.revenue_at_utc or known.created_at
    )
    return known, stopped


async def _write(
    session: AsyncSession, tenant: Tenant, wanted: ConversionCreate, contact: Contact, at: datetime, id: UUID
) -> Conversion:
    touch = await conversions.last_touch(session, tenant.id, contact.id, at, ATTRIBUTION_WINDOW)
    campaign_id, message_id = (touch.campaign_id, touch.id) if touch else (None, None)
    await conversions.insert_new(
        session,
        {
            "id": id,
            "tenant_id": tenant.id,
            "contact_id": contact.id,
            "campaign_id": campaign_id,
            "message_id": message_id,
            "amount": wanted.amount,
            "currency": wanted.currency,
            "order_id": wanted.order_id,
            "revenue_at_utc": at,
        },
    )
    written = await conversions.by_order(session, tenant.id, wanted.order_id)
    assert written is not None  # nobody deletes conversions
    event = Event(
        id=uuid5(written.id, "converted"),
        tenant_id=tenant.id,
        source=EventSource.SHOP,
        kind="converted",
        contact_id=contact.id,
        campaign_id=campaign_id,
        message_id=message_id,
        occurred_at=at,
        payload_json={
            "order_id": wanted.order_id,
            "amount": format(wanted.amount, "f"),
            "currency": wanted.currency,
        },
    )
    await conversions.add_event(session, event)
    return written


def _check_same(known: Conversion, wanted: ConversionCreate, contact: Contact) -> None:
    differences = [
        FieldError(pointer=pointer, detail=f"The order was recorded with {was}.")
        for pointer, was, now in (
            ("/amount", known.amount.normalize(), wanted.amount.normalize()),
            ("/currency", known.currency, wanted.currency),
            ("/contact_id", known.contact_id, contact.id),
            ("/occurred_at", known.revenue_at_utc, wanted.occurred_at or known.revenue_at_utc),
        )
        if was != now
    ]
    if differences:
        raise Conflict(f"The order {wanted.order_id!r} is there already, with other data.", errors=differences)
