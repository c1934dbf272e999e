"""Many contacts in a few statements: what an import reads and writes for one batch.

Values travel as one JSON document per statement, which costs the least on both sides. The caller holds the import lock
of the tenant, so only single writes of the API and of webhooks run beside these.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contact_file.roster import KnownContact, Person
from app.domain.status import Channel, SuppressionReason

# A growing table has no statistics yet: the planner believes that a tenant has a handful of rows, and would read
# all of them for each batch. So each look-up probes its index row by row (LATERAL … OFFSET 0 can't be turned around).
_BY_INDEX_ONLY = text("SELECT set_config('enable_seqscan', 'off', true)")

_FIND_BY = """
    SELECT id, phone, email, last_import_id IS NOT DISTINCT FROM :import_id AS seen
    FROM json_array_elements_text(CAST(:wanted AS json)) AS wanted(address) CROSS JOIN LATERAL (
        SELECT id, phone, email, last_import_id FROM contacts
        WHERE tenant_id = :tenant_id AND {column} = wanted.address AND deleted_at IS NULL
        OFFSET 0 FOR UPDATE
    ) AS found
"""
_FIND_BY_PHONE = text(_FIND_BY.format(column="phone"))
_FIND_BY_EMAIL = text(_FIND_BY.format(column="email"))

_COLUMNS = """(
    id uuid, phone text, email text, first_name text, last_name text, lang text, timezone text, country text,
    tags jsonb, attributes jsonb
)"""

# a number that goes from one contact to another must be free before it is given
_RELEASE_PHONES = text("UPDATE contacts SET phone = NULL WHERE tenant_id = :tenant_id AND id = ANY(:ids)")

_UPSERT = text(
    f"""
    INSERT INTO contacts AS old (id, tenant_id, phone, email, first_name, last_name, lang, timezone, country, tags_json,
                                 attributes_json, last_import_id)
    SELECT id, :tenant_id, nullif(phone, ''), nullif(email, ''), first_name, last_name, lang, timezone, country, tags,
           attributes, :import_id
    FROM json_to_recordset(CAST(:rows AS json)) AS new {_COLUMNS}
    ON CONFLICT (id) DO UPDATE SET
        phone = coalesce(excluded.phone, old.phone),
        email = coalesce(excluded.email, old.email),
        first_name = coalesce(nullif(excluded.first_name, ''), old.first_name),
        last_name = coalesce(nullif(excluded.last_name, ''), old.last_name),
        lang = coalesce(nullif(excluded.lang, ''), old.lang),
        timezone = coalesce(nullif(excluded.timezone, ''), old.timezone),
        country = coalesce(nullif(excluded.country, ''), old.country),
        tags_json = CASE WHEN excluded.tags_json <@ old.tags_json THEN old.tags_json ELSE old.tags_json || (
            SELECT jsonb_agg(tag) FROM jsonb_array_elements(excluded.tags_json) AS tag WHERE NOT old.tags_json @> tag
        ) END,
        attributes_json = old.attributes_json || excluded.attributes_json,
        last_import_id = excluded.last_import_id
    """
)

_CONSENTS = text(
    """
    SELECT contact_id, channel, opt_in_at_utc, opt_out_at_utc
    FROM json_array_elements_text(CAST(:ids AS json)) AS wanted(id) CROSS JOIN LATERAL (
        SELECT contact_id, channel, opt_in_at_utc, opt_out_at_utc FROM consents
        WHERE tenant_id = :tenant_id AND contact_id = CAST(wanted.id AS uuid)
        OFFSET 0 FOR UPDATE
    ) AS found
    """
)

_SET_CONSENTS = text(
    """
    INSERT INTO consents AS old (tenant_id, contact_id, channel, opt_in_at_utc, opt_out_at_utc, source, meta_json)
    SELECT :tenant_id, contact_id, channel, opt_in_at, opt_out_at, source,
           jsonb_build_object('import_id', CAST(:import_id AS text))
    FROM json_to_recordset(CAST(:rows AS json)) AS new (
        contact_id uuid, channel text, opt_in_at timestamptz, opt_out_at timestamptz, source text
    )
    ON CONFLICT (contact_id, channel) DO UPDATE SET
        opt_in_at_utc = greatest(old.opt_in_at_utc, excluded.opt_in_at_utc),
        opt_out_at_utc = greatest(old.opt_out_at_utc, excluded.opt_out_at_utc),
        source = excluded.source,
        meta_json = excluded.meta_json
    """
)

_ADD_EVENTS = text(
    """
    INSERT INTO events (tenant_id, contact_id, source, kind, occurred_at, payload_json)
    SELECT :tenant_id, contact_id, channel, kind, CASE kind WHEN 'opted_out' THEN opt_out_at ELSE opt_in_at END,
           jsonb_build_object('channel', channel, 'source', source, 'import_id', CAST(:import_id AS text))
    FROM json_to_recordset(CAST(:rows AS json)) AS new (
        contact_id uuid, channel text, kind text, opt_in_at timestamptz, opt_out_at timestamptz, source text
    )
    """
)

_SUPPRESS = text(
    """
    INSERT INTO suppressions AS old (tenant_id, channel, address, reason, source)
    SELECT DISTINCT ON (channel, address) :tenant_id, channel, address, reason, 'import'
    FROM json_to_recordset(CAST(:rows AS json)) AS new (channel text, address text, reason text)
    ON CONFLICT ON CONSTRAINT uq_suppressions_tenant_channel_address DO UPDATE SET
        reason = excluded.reason, source = excluded.source, lifted_at = NULL
    WHERE old.lifted_at IS NOT NULL  -- one that holds keeps its own, maybe stronger, reason
    """
)

_LIFT = text(
    """
    UPDATE suppressions SET lifted_at = now()
    WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(
        SELECT id FROM json_to_recordset(CAST(:rows AS json)) AS new (channel text, address text, opt_in_at timestamptz)
        CROSS JOIN LATERAL (
            SELECT id FROM suppressions
            WHERE tenant_id = :tenant_id AND channel = new.channel AND address = new.address
              AND lifted_at IS NULL AND reason = ANY(:liftable) AND updated_at < new.opt_in_at
            OFFSET 0
        ) AS found
    ))
    """
)


class ConsentChange(NamedTuple):
    """A consent as it is after this batch. `address` is the contact's on the channel, or empty."""

    contact_id: UUID
    channel: Channel
    kind: str  # opted_in or opted_out, as events have it
    opt_in_at: datetime | None
    opt_out_at: datetime | None
    source: str
    address: str


class ConsentTimes(NamedTuple):
    contact_id: UUID
    channel: Channel
    opt_in_at: datetime | None
    opt_out_at: datetime | None


async def use_indexes(session: AsyncSession) -> None:
    await session.execute(_BY_INDEX_ONLY)


async def find(
    session: AsyncSession, tenant_id: UUID, import_id: UUID, *, phones: list[str], emails: list[str]
) -> list[KnownContact]:
    """The contacts with any of these addresses, oldest first, locked."""
    found = {}
    for statement, wanted in ((_FIND_BY_PHONE, phones), (_FIND_BY_EMAIL, emails)):
        parameters = {"tenant_id": tenant_id, "import_id": import_id, "wanted": orjson.dumps(wanted).decode()}
        for id, phone, email, seen in await session.execute(statement, parameters):
            found[id] = KnownContact(id, phone or "", email or "", seen)
    return [found[id] for id in sorted(found)]


async def upsert(session: AsyncSession, tenant_id: UUID, import_id: UUID, people: list[Person]) -> None:
    """Insert the new ones; on the others non-empty fields overwrite, tags and attributes are added.

    Raises IntegrityError when somebody else took a number meanwhile.
    """
    if moved := [person.id for person in people if person.moved]:
        await session.execute(_RELEASE_PHONES, {"tenant_id": tenant_id, "ids": moved})
    parameters = {"tenant_id": tenant_id, "import_id": import_id, "rows": _document(map(_contact, people))}
    await session.execute(_UPSERT, parameters)


async def consents_of(session: AsyncSession, tenant_id: UUID, ids: list[UUID]) -> list[ConsentTimes]:
    """The consents of these contacts, locked."""
    rows = await session.execute(_CONSENTS, {"tenant_id": tenant_id, "ids": orjson.dumps(ids).decode()})
    return [ConsentTimes(contact_id, Channel(channel), came, left) for contact_id, channel, came, left in rows]


async def write_consents(session: AsyncSession, tenant_id: UUID, import_id: UUID, changes: list[ConsentChange]) -> None:
    """What `services.consents` writes for each change: the consent, its event, and what follows for the address."""
    rows = _document(change._asdict() for change in changes)
    parameters = {"tenant_id": tenant_id, "import_id": str(import_id), "rows": rows}
    await session.execute(_SET_CONSENTS, parameters)
    await session.execute(_ADD_EVENTS, parameters)


async def suppress(
    session: AsyncSession, tenant_id: UUID, addresses: list[tuple[Channel, str, SuppressionReason]]
) -> None:
    rows = _document({"channel": channel, "address": address, "reason": why} for channel, address, why in addresses)
    await session.execute(_SUPPRESS, {"tenant_id": tenant_id, "rows": rows})


async def lift(session: AsyncSession, tenant_id: UUID, changes: list[ConsentChange], liftable: Iterable[str]) -> None:
    """End the suppressions that are older than these opt-ins, where their reason is one of `liftable`."""
    rows = _document(change._asdict() for change in changes)
    await session.execute(_LIFT, {"tenant_id": tenant_id, "rows": rows, "liftable": list(liftable)})


def _contact(person: Person) -> dict[str, Any]:
    texts = person.texts
    return {
        "id": person.id,
        "phone": person.phone,
        "email": person.email,
        "first_name": texts.get("first_name", ""),
        "last_name": texts.get("last_name", ""),
        "lang": texts.get("lang", ""),
        "timezone": texts.get("timezone", ""),
        "country": person.country,
        "tags": person.tags,
        "attributes": person.attributes,
    }


def _document(rows: Iterable[dict[str, Any]]) -> str:
    return orjson.dumps(list(rows)).decode()
