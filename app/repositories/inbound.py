"""What people write to us, in bulk: the contact, its conversation, the message, and what it answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel, MessageType

# Locked in the order of their ids, as every projection does.
_FIND = text(
    """
    SELECT id, phone, email, whatsapp_number FROM contacts
    WHERE tenant_id = :tenant_id AND (phone = ANY(:phones) OR email = ANY(:emails) OR whatsapp_number = ANY(:phones))
      AND deleted_at IS NULL
    ORDER BY id FOR NO KEY UPDATE
    """
)
_KNOWN_AS = text(
    """
    UPDATE contacts c SET whatsapp_number = found.number
    FROM (
        SELECT id, CAST(:numbers AS jsonb) ->> id::text AS number FROM contacts
        WHERE id = ANY(:ids) AND whatsapp_number IS DISTINCT FROM CAST(:numbers AS jsonb) ->> id::text
          AND deleted_at IS NULL
        ORDER BY id FOR NO KEY UPDATE
    ) AS found
    WHERE c.id = found.id
    """
)
_BY_PROVIDER_ID = text(
    """
    SELECT provider_message_id, contact_id FROM messages
    WHERE provider_message_id = ANY(:ids) AND provider_message_id <> '' AND tenant_id = :tenant_id
      AND direction = 'out'
    """
)
# E-mail addresses are not unique: whoever makes contacts for unknown writers does it one after the other.
_ONE_MAKER = text("SELECT pg_advisory_xact_lock(hashtextextended('new contacts of ' || :tenant_id, 0))")
_CREATE = text(
    """
    INSERT INTO contacts (tenant_id, phone, email, first_name, country)
    SELECT :tenant_id, phone, email, first_name, country
    FROM json_to_recordset(CAST(:rows AS json)) AS r(phone text, email text, first_name text, country text)
    ON CONFLICT (tenant_id, phone) DO NOTHING
    """
)
_CREATE_WITHOUT_ADDRESS = text(
    """
    INSERT INTO contacts (id, tenant_id, first_name, attributes_json)
    SELECT id, :tenant_id, first_name, attributes
    FROM json_to_recordset(CAST(:rows AS json)) AS r(id uuid, first_name text, attributes jsonb)
    ON CONFLICT (id) DO UPDATE SET deleted_at = NULL
    """
)
_ADD_MESSAGES = text(
    """
    INSERT INTO messages (id, created_at, tenant_id, conversation_id, contact_id, channel, direction, type, purpose,
                          address, payload_json, status, settings_id, provider, provider_message_id)
    SELECT id, received_at, :tenant_id, contact_id, contact_id, channel, 'in', type, 'transactional', address, payload,
           'received', settings_id, provider, provider_message_id
    FROM json_to_recordset(CAST(:rows AS json))
         AS r(id uuid, received_at timestamptz, contact_id uuid, channel text, type text, address text, payload jsonb,
              settings_id uuid, provider text, provider_message_id text)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
    """
)
_OPEN_CONVERSATIONS = text(
    """
    INSERT INTO conversations (id, tenant_id, contact_id, unread_count, last_message_at)
    SELECT contact_id, :tenant_id, contact_id, count(*), max(received_at)
    FROM json_to_recordset(CAST(:rows AS json)) AS r(contact_id uuid, received_at timestamptz)
    GROUP BY contact_id ORDER BY contact_id
    ON CONFLICT (id) DO UPDATE SET
        unread_count = conversations.unread_count + excluded.unread_count,
        last_message_at = greatest(conversations.last_message_at, excluded.last_message_at),
        status = 'active'
    """
)
_HEARD_FROM = text(
    """
    UPDATE contacts c SET
        last_inbound_at = greatest(c.last_inbound_at, r.at),
        whatsapp_inbound_at = greatest(c.whatsapp_inbound_at, r.window_at)
    FROM (
        SELECT contact_id, max(at) AS at, max(at) FILTER (WHERE opens_window) AS window_at
        FROM json_to_recordset(CAST(:rows AS json)) AS r(contact_id uuid, at timestamptz, opens_window boolean)
        GROUP BY contact_id
    ) r
    WHERE c.id = r.contact_id
    """
)
# The message it names, else the last one on the channel; a minute of grace for the provider's clock.
_ANSWERED = text(
    """
    UPDATE messages m SET replied_at = least(m.replied_at, a.at)
    FROM (
        SELECT coalesce(
                   (SELECT o.id FROM messages o
                    WHERE r.context_id <> '' AND o.provider_message_id = r.context_id AND o.provider_message_id <> ''
                      AND o.conversation_id = r.contact_id AND o.direction = 'out' LIMIT 1),
                   (SELECT o.id FROM messages o
                    WHERE o.conversation_id = r.contact_id AND o.direction = 'out' AND o.channel = r.channel
                      AND o.status NOT IN ('queued', 'skipped', 'failed')
                      AND o.created_at BETWEEN r.at - interval '7 days' AND r.at + interval '1 minute'
                    ORDER BY o.created_at DESC LIMIT 1)
               ) AS id,
               min(r.at) AS at
        FROM json_to_recordset(CAST(:rows AS json))
             AS r(contact_id uuid, channel text, context_id text, at timestamptz)
        GROUP BY 1
    ) a
    WHERE m.id = a.id
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """Someone without a contact yet; one of the two addresses is set."""

    phone: str | None
    email: str | None
    first_name: str
    country: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NamelessWriter:
    """Someone whom the provider knows only by an id of its own."""

    id: UUID
    first_name: str
    attributes: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message that came in. `opens_window`: free text may answer it over WhatsApp for a day."""

    id: UUID
    received_at: datetime
    at: datetime
    contact_id: UUID
    channel: Channel
    type: MessageType
    address: str
    payload: dict[str, Any]
    settings_id: UUID
    provider: str
    provider_message_id: str
    context_id: str
    opens_window: bool


async def find_contacts(
    session: AsyncSession, tenant_id: UUID, phones: Collection[str], emails: Collection[str]
) -> dict[str, list[UUID]]:
    """The contacts of each address, oldest first; several may share an e-mail address. Those that WhatsApp knows by
    the number come after the one whose number it is."""
    found: dict[str, list[UUID]] = {}
    if not phones and not emails:
        return found
    query = {"tenant_id": tenant_id, "phones": list(phones), "emails": list(emails)}
    rows = (await session.execute(_FIND, query)).all()
    for row in rows:
        for address in (row.phone, row.email):
            if address and (address in phones or address in emails):
                found.setdefault(address, []).append(row.id)
    for row in rows:
        if row.whatsapp_number in phones and row.whatsapp_number != row.phone:
            found.setdefault(row.whatsapp_number, []).append(row.id)
    return found


async def known_as(session: AsyncSession, numbers: Mapping[UUID, str]) -> None:
    """WhatsApp calls these contacts by these numbers."""
    if numbers:
        known = orjson.dumps({str(id): number for id, number in numbers.items()}).decode()
        await session.execute(_KNOWN_AS, {"ids": list(numbers), "numbers": known})


async def contacts_written_to(
    session: AsyncSession, tenant_id: UUID, provider_message_ids: Collection[str]
) -> dict[str, UUID]:
    """Whom our messages with these provider ids went to."""
    if not provider_message_ids:
        return {}
    rows = await session.execute(_BY_PROVIDER_ID, {"ids": list(provider_message_ids), "tenant_id": tenant_id})
    return {row.provider_message_id: row.contact_id for row in rows}


async def pairs_written_to(
    session: AsyncSession, tenant_id: UUID, provider_message_ids: Collection[str]
) -> set[tuple[str, UUID]]:
    """Each of these provider ids with everybody it went to: the messages of a batch have one in common."""
    if not provider_message_ids:
        return set()
    rows = await session.execute(_BY_PROVIDER_ID, {"ids": list(provider_message_ids), "tenant_id": tenant_id})
    return {(row.provider_message_id, row.contact_id) for row in rows}


async def lock_making(session: AsyncSession, tenant_id: UUID) -> None:
    """Until the transaction ends, nobody else makes contacts of this tenant's unknown writers."""
    await session.execute(_ONE_MAKER, {"tenant_id": str(tenant_id)})


async def create_contacts(session: AsyncSession, tenant_id: UUID, writers: Sequence[Writer]) -> None:
    if writers:
        await session.execute(_CREATE, {"tenant_id": tenant_id, "rows": _json(writers)})


async def create_nameless(session: AsyncSession, tenant_id: UUID, writers: Sequence[NamelessWriter]) -> None:
    if writers:
        await session.execute(_CREATE_WITHOUT_ADDRESS, {"tenant_id": tenant_id, "rows": _json(writers)})


async def add_messages(session: AsyncSession, tenant_id: UUID, received: Sequence[Received]) -> set[UUID]:
    """Store what isn't stored yet, and count it as unread; answers the ids that are new."""
    if not received:
        return set()
    rows = await session.execute(_ADD_MESSAGES, {"tenant_id": tenant_id, "rows": _json(received)})
    new = set(rows.scalars())
    unread = [message for message in received if message.id in new]
    if unread:
        await session.execute(_OPEN_CONVERSATIONS, {"tenant_id": tenant_id, "rows": _json(unread)})
    await session.execute(_HEARD_FROM, {"rows": _json(received)})
    return new


async def mark_answered(session: AsyncSession, replies: Sequence[Received]) -> None:
    if replies:
        await session.execute(_ANSWERED, {"rows": _json(replies)})


def _json(rows: Sequence[Any]) -> str:
    return orjson.dumps(rows).decode()
