"""Contacts: one per phone number, changed by merge, deleted down to an empty row."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.consent import is_opted_in
from app.domain.emails import normalize_email
from app.domain.phone import normalize_phone, phone_country
from app.domain.pointers import Problems
from app.domain.segment import parse_segment
from app.domain.status import Channel, StopReason, SuppressionReason
from app.domain.zones import normalize_timezone
from app.errors import AlreadyExists, FieldError, InvalidInput, NotFound
from app.ids import new_id
from app.models import Contact, Tenant
from app.repositories import consents as consent_rows
from app.repositories import contacts, segments
from app.schemas.contacts import ConsentRead, ConsentWrite, ContactCreate, ContactRead, ContactUpdate
from app.services import consents
from app.services.stops import StoppedSequence, stop_recipients

CLOCK_SKEW = timedelta(minutes=5)
OPT_OUT_REASONS = {
    Channel.WHATSAPP: SuppressionReason.STOP,
    Channel.SMS: SuppressionReason.STOP,
    Channel.EMAIL: SuppressionReason.UNSUBSCRIBE,
}


async def create(session: AsyncSession, tenant: Tenant, wanted: ContactCreate, *, id: UUID) -> Contact:
    """Make a contact. Raises InvalidInput that names bad fields, and AlreadyExists for a phone number that is taken."""
    values = _checked(wanted, tenant.default_region)
    phone, email = values.get("phone"), values.get("email")
    if not phone and not email:
        raise InvalidInput.at("/phone", "A contact needs a phone number or an e-mail address.")
    if repeated := await contacts.get(session, tenant.id, id):
        return repeated
    if not await contacts.insert_new(session, {"id": id, "tenant_id": tenant.id, **values}):
        raise _phone_taken(await contacts.by_phone(session, tenant.id, phone) if phone else None)
    contact = await get(session, tenant.id, id)
    await contacts.ensure_conversation(session, tenant.id, id)
    for consent in wanted.consents:
        await record_consent(session, tenant.id, contact, consent)
    return contact


async def get(session: AsyncSession, tenant_id: UUID, contact_id: UUID) -> Contact:
    """Raises NotFound."""
    contact = await contacts.get(session, tenant_id, contact_id)
    if contact is None:
        raise NotFound(f"There is no contact {contact_id}.")
    return contact


async def update(session: AsyncSession, tenant: Tenant, contact_id: UUID, wanted: ContactUpdate) -> Contact:
    """Merge the fields that were given. Raises NotFound, InvalidInput and AlreadyExists."""
    contact = await contacts.get(session, tenant.id, contact_id, lock=True)
    if contact is None:
        raise NotFound(f"There is no contact {contact_id}.")
    values = _checked(wanted, tenant.default_region)
    if "attributes_json" in values:
        merged = {**contact.attributes_json, **values["attributes_json"]} if wanted.attributes is not None else {}
        values["attributes_json"] = {name: value for name, value in merged.items() if value is not None}
    phone = values.get("phone", contact.phone)
    if not phone and not values.get("email", contact.email):
        raise InvalidInput.at("/phone", "A contact needs a phone number or an e-mail address.")
    if phone != contact.phone:
        values["whatsapp_number"] = None  # that of the number before
    try:
        async with session.begin_nested():
            for name, value in values.items():
                setattr(contact, name, value)
            await session.flush()
    except IntegrityError:
        session.expunge(contact)
        raise _phone_taken(await contacts.by_phone(session, tenant.id, phone or "")) from None
    await session.refresh(contact)
    return contact


async def delete(session: AsyncSession, tenant_id: UUID, contact_id: UUID) -> list[StoppedSequence]:
    """Empty the row, remove consents and stop what runs; suppressions stay. Signal the answered sequences after the
    commit. Deleting again does nothing. Raises NotFound for a contact that never was."""
    contact = await contacts.get(session, tenant_id, contact_id, lock=True)
    if contact is None:
        known = await session.get(Contact, contact_id)
        if known is None:
            raise NotFound(f"There is no contact {contact_id}.")
        return []
    now = datetime.now(UTC)
    stopped = await stop_recipients(session, tenant_id, contact_id, StopReason.DELETED, now)
    await contacts.forget(session, contact)
    contact.phone = contact.email = contact.whatsapp_number = None
    contact.first_name = contact.last_name = contact.lang = contact.timezone = contact.country = ""
    contact.tags_json, contact.attributes_json = [], {}
    contact.last_inbound_at = contact.whatsapp_inbound_at = None
    contact.deleted_at = now
    await session.flush()
    return stopped


async def record_consent(
    session: AsyncSession, tenant_id: UUID, contact: Contact, wanted: ConsentWrite
) -> list[StoppedSequence]:
    """Write a yes or a no; a no also ends the contact's marketing sequences. Raises InvalidInput for a future time."""
    now = datetime.now(UTC)
    at = wanted.at or now
    if at > now + CLOCK_SKEW:
        raise InvalidInput.at("/at", "The time of a consent can't lie in the future.")
    if wanted.is_yes:
        await consents.record_opt_in(
            session, tenant_id, contact.id, wanted.channel, at=at, source=wanted.source, meta=wanted.meta
        )
        return []
    await consents.record_opt_out(
        session,
        tenant_id,
        contact.id,
        wanted.channel,
        at=at,
        source=wanted.source,
        reason=OPT_OUT_REASONS[wanted.channel],
        address=address_on(contact, wanted.channel),
        meta=wanted.meta,
    )
    return await stop_recipients(session, tenant_id, contact.id, StopReason.OPTED_OUT, at)


def address_on(contact: Contact, channel: Channel) -> str:
    """The contact's address on the channel, or empty."""
    return (contact.email if channel is Channel.EMAIL else contact.phone) or ""


async def resolve(
    session: AsyncSession, tenant: Tenant, *, contact_id: UUID | None, phone: str | None, email: str | None
) -> Contact:
    """The contact that a request names by exactly one of the three. Raises InvalidInput naming the field."""
    found, pointer, address = await _look_up(session, tenant, contact_id, phone, email)
    if found is None:
        raise InvalidInput.at(pointer, f"There is no contact {address}.")
    return found


async def find_or_create(
    session: AsyncSession, tenant: Tenant, *, contact_id: UUID | None, phone: str | None, email: str | None
) -> Contact:
    """Like `resolve`, but an unknown address makes a new contact, without any consent."""
    found, pointer, address = await _look_up(session, tenant, contact_id, phone, email)
    if found is not None:
        return found
    if pointer == "/contact_id":
        raise InvalidInput.at(pointer, f"There is no contact {address}.")
    if pointer == "/phone":
        return await _make(session, tenant.id, address, phone=address, country=phone_country(address))
    return await _make(session, tenant.id, address, email=address)


async def _look_up(
    session: AsyncSession, tenant: Tenant, contact_id: UUID | None, phone: str | None, email: str | None
) -> tuple[Contact | None, str, str]:
    """The contact, if there is one, the field that names it, and its value, normalized."""
    if [contact_id, phone, email].count(None) != 2:
        raise InvalidInput.at("/contact_id", "Give exactly one of contact_id, phone and email.")
    if contact_id is not None:
        return await contacts.get(session, tenant.id, contact_id), "/contact_id", str(contact_id)
    if phone is not None:
        number = _read("/phone", lambda: normalize_phone(phone, tenant.default_region))
        return await contacts.by_phone(session, tenant.id, number), "/phone", number
    address = _read("/email", lambda: normalize_email(email or ""))
    return await contacts.by_email(session, tenant.id, address), "/email", address


async def _make(session: AsyncSession, tenant_id: UUID, address: str, **values: str) -> Contact:
    await contacts.lock_address(session, tenant_id, address)
    find = contacts.by_email if "email" in values else contacts.by_phone
    if known := await find(session, tenant_id, address):
        return known
    id = new_id()
    if await contacts.insert_new(session, {"id": id, "tenant_id": tenant_id, **values}):
        await contacts.ensure_conversation(session, tenant_id, id)
    made = await find(session, tenant_id, address)  # or the one that an import made meanwhile
    assert made is not None
    return made


async def preview_segment(session: AsyncSession, tenant_id: UUID, tree: Any) -> tuple[int, list[Contact]]:
    """How many contacts a segment has now, and ten of them. Raises InvalidInput with pointers into the tree."""
    condition = segments.where(parse_segment(tree), datetime.now(UTC))
    return await contacts.in_segment(session, tenant_id, condition, sample=10)


async def show(session: AsyncSession, tenant_id: UUID, found: Sequence[Contact]) -> list[ContactRead]:
    """Contacts as answers show them, with their consents and suppressions."""
    said: dict[UUID, list[Any]] = {}
    for consent in await consent_rows.of_contacts(session, tenant_id, [contact.id for contact in found]):
        said.setdefault(consent.contact_id, []).append(consent)
    addresses = {address for contact in found for address in (contact.phone, contact.email) if address}
    suppressed = {
        (row.channel, row.address): row.reason for row in await contacts.suppressions_of(session, tenant_id, addresses)
    }
    written_to = await contacts.last_outbound_of(session, [contact.id for contact in found])
    return [_shown(contact, said.get(contact.id, []), suppressed, written_to.get(contact.id)) for contact in found]


def _shown(
    contact: Contact,
    said: list[Any],
    suppressed: dict[tuple[Channel, str], SuppressionReason],
    last_outbound_at: datetime | None,
) -> ContactRead:
    by_channel = {consent.channel: consent for consent in said}
    reads = []
    for channel in Channel:
        consent = by_channel.get(channel)
        reason = suppressed.get((channel, address_on(contact, channel)))
        if consent is None and reason is None:
            continue
        opt_in, opt_out = (consent.opt_in_at_utc, consent.opt_out_at_utc) if consent else (None, None)
        reads.append(
            ConsentRead(
                channel=channel,
                opted_in=is_opted_in(opt_in, opt_out),
                opt_in_at=opt_in,
                opt_out_at=opt_out,
                source=consent.source if consent else "",
                suppressed=reason,
            )
        )
    return ContactRead(
        **contact.model_dump(exclude={"tags_json", "attributes_json"}),
        tags=contact.tags_json,
        attributes=contact.attributes_json,
        consents=reads,
        last_outbound_at=last_outbound_at,
    )


def _checked(wanted: ContactCreate | ContactUpdate, default_region: str) -> dict[str, Any]:
    """The columns that were given, normalized. Raises InvalidInput naming every bad field."""
    given, problems, values = wanted.model_fields_set, Problems(), dict[str, Any]()
    readers: dict[str, Callable[[str], str]] = {
        "phone": lambda raw: normalize_phone(raw, default_region),
        "email": normalize_email,
        "timezone": normalize_timezone,
        "first_name": str,
        "last_name": str,
        "lang": str,
    }
    for name, read in readers.items():
        if name not in given:
            continue
        raw = getattr(wanted, name)
        empty = None if name in {"phone", "email"} else ""
        try:
            values[name] = read(raw) if raw else empty
        except ValueError as error:
            problems.add(f"/{name}", str(error))
    problems.raise_any()
    if "phone" in values:
        values["country"] = phone_country(values["phone"]) if values["phone"] else ""
    if "tags" in given:
        values["tags_json"] = list(dict.fromkeys(wanted.tags or []))
    if "attributes" in given:
        values["attributes_json"] = wanted.attributes or {}
    return values


def _read(pointer: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except ValueError as error:
        raise InvalidInput.at(pointer, str(error)) from None


def _phone_taken(holder: Contact | None) -> AlreadyExists:
    who = f" ({holder.id})" if holder else ""
    detail = f"Another contact{who} has this phone number: change that one instead."
    return AlreadyExists(detail, errors=[FieldError(pointer="/phone", detail=detail)])
