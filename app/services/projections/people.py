"""Whom an event is about: the contact of our message, of the address, or a new one for an unknown writer."""

import re
from collections.abc import Sequence
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.phone import phone_country
from app.domain.status import Channel
from app.repositories import inbound
from app.repositories.deliveries import Sent
from app.repositories.inbound import NamelessWriter, Writer
from app.repositories.webhook_events import StoredEvent

E164 = re.compile(r"\+[1-9]\d{6,14}")


async def learn_numbers(session: AsyncSession, reports: Sequence[StoredEvent], sent: dict[UUID, Sent]) -> None:
    """WhatsApp may know a person by another number than the one we wrote to, and what they write comes from that."""
    numbers = {
        sent[event.id].contact_id: number
        for event in reports
        if event.channel is Channel.WHATSAPP and event.id in sent and not event.data.get("participant")
        if E164.fullmatch(number := event.text("address")) and number != sent[event.id].address
    }
    await inbound.known_as(session, numbers)


async def find_people(
    session: AsyncSession,
    tenant_id: UUID,
    events: Sequence[StoredEvent],
    sent: dict[UUID, Sent],
) -> dict[UUID, list[UUID]]:
    """The contacts each event is about, by event id. Writers that are unknown become contacts; nobody else does."""
    by_address = await _by_address(session, tenant_id, events)
    people = {event.id: by_address[address] for event in events if (address := event.text("address")) in by_address}
    people |= {event.id: [sent[event.id].contact_id] for event in events if event.id in sent}
    nameless = [event for event in events if event.id not in people and is_written(event) and _user_id(event)]
    people |= await _nameless(session, tenant_id, nameless)
    return people


def is_written(event: StoredEvent) -> bool:
    """Whether it is a message of a person, whatever it means."""
    return event.kind is EventKind.INBOUND or bool(event.text("message_type"))


async def _by_address(session: AsyncSession, tenant_id: UUID, events: Sequence[StoredEvent]) -> dict[str, list[UUID]]:
    phones = {address for event in events if event.channel is not Channel.EMAIL and (address := event.text("address"))}
    emails = {address for event in events if event.channel is Channel.EMAIL and (address := event.text("address"))}
    found = await inbound.find_contacts(session, tenant_id, phones, emails)
    unknown = {
        event.text("address"): event
        for event in events
        if is_written(event) and _can_be_contact(event) and event.text("address") not in found
    }
    if not unknown:
        return found
    await inbound.lock_making(session, tenant_id)
    found = await inbound.find_contacts(session, tenant_id, phones, emails)  # another relay may have been first
    await inbound.create_contacts(
        session, tenant_id, [_writer(event) for address, event in unknown.items() if address not in found]
    )
    return await inbound.find_contacts(session, tenant_id, phones, emails)


def _can_be_contact(event: StoredEvent) -> bool:
    """A short code or a sender's name can write to us, but is nobody to write to."""
    address = event.text("address")
    return "@" in address if event.channel is Channel.EMAIL else E164.fullmatch(address) is not None


def _writer(event: StoredEvent) -> Writer:
    address, name = event.text("address"), event.text("profile_name")
    if event.channel is Channel.EMAIL:
        return Writer(phone=None, email=address, first_name=name, country="")
    return Writer(phone=address, email=None, first_name=name, country=phone_country(address))


async def _nameless(session: AsyncSession, tenant_id: UUID, events: Sequence[StoredEvent]) -> dict[UUID, list[UUID]]:
    """WhatsApp users who hide their number: known by what they answer, else by the provider's id for them."""
    if not events:
        return {}
    answered = await inbound.contacts_written_to(
        session, tenant_id, {context for event in events if (context := event.text("context_id"))}
    )
    people: dict[UUID, list[UUID]] = {}
    new: dict[UUID, NamelessWriter] = {}
    for event in events:
        known = answered.get(event.text("context_id"))
        if known is not None:
            people[event.id] = [known]
            continue
        user_id = _user_id(event)
        contact_id = uuid5(tenant_id, f"{event.channel}/{user_id}")
        people[event.id] = [contact_id]
        new[contact_id] = NamelessWriter(
            id=contact_id,
            first_name=event.text("profile_name"),
            attributes={f"{event.channel}_user_id": user_id},
        )
    await inbound.create_nameless(session, tenant_id, list(new.values()))
    return people


def _user_id(event: StoredEvent) -> str:
    return str(event.data.get("user_id", ""))
