"""The consents of a batch of an import: what `services.consents` writes for one, for all that `import_stage` holds."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel, SuppressionReason

_OF = text(
    """
    SELECT CAST(contact_id AS text), channel, opt_in_at_utc, opt_out_at_utc
    FROM unnest(CAST(string_to_array(:ids, ' ') AS uuid[])) AS wanted(id) CROSS JOIN LATERAL (
        SELECT contact_id, channel, opt_in_at_utc, opt_out_at_utc FROM consents
        WHERE tenant_id = :tenant_id AND contact_id = wanted.id
        OFFSET 0 FOR UPDATE
    ) AS found
    """
)

# A contact has one consent per channel, so the contact's id with another last digit names it. To draw a new id would
# cost as much as to insert the row.
_INSERT = """
    INSERT INTO consents AS old (id, tenant_id, contact_id, channel, opt_in_at_utc, opt_out_at_utc, source, meta_json)
    SELECT CAST(left(CAST(staged.id AS text), 35) || said.digit AS uuid), :tenant_id, staged.id, said.channel,
           said.opt_in_at, said.opt_out_at, said.source, CAST(:meta AS jsonb)
    FROM import_stage AS staged CROSS JOIN LATERAL (VALUES
        ('1', 'whatsapp', whatsapp_in, whatsapp_out, whatsapp_source),
        ('2', 'email', email_in, email_out, email_source),
        ('3', 'sms', sms_in, sms_out, sms_source)
    ) AS said (digit, channel, opt_in_at, opt_out_at, source)
    WHERE {whose} AND (said.opt_in_at IS NOT NULL OR said.opt_out_at IS NOT NULL)
"""
_INSERT_OF_NEW = text(_INSERT.format(whose="staged.is_new"))
_UPSERT_OF_KNOWN = text(
    _INSERT.format(whose="NOT staged.is_new")
    + """
    ON CONFLICT (contact_id, channel) DO UPDATE SET
        opt_in_at_utc = greatest(old.opt_in_at_utc, excluded.opt_in_at_utc),
        opt_out_at_utc = greatest(old.opt_out_at_utc, excluded.opt_out_at_utc),
        source = excluded.source,
        meta_json = excluded.meta_json
    """
)

# One event for all the opt-ins of a contact: with a row per channel an import would write more events than all else.
# A contact is new once, so its own id names the event.
_TELL_OPT_INS = text(
    """
    INSERT INTO events (id, tenant_id, contact_id, source, kind, occurred_at, payload_json)
    SELECT CASE WHEN is_new THEN id ELSE uuidv7() END, :tenant_id, id, 'crm', 'opted_in',
           greatest(whatsapp, email, sms), jsonb_strip_nulls(jsonb_build_object(
               'import_id', CAST(:import_id AS text), 'source', source,
               'whatsapp', whatsapp, 'email', email, 'sms', sms
           ))
    FROM (
        SELECT id, is_new, CASE WHEN whatsapp_out IS NULL THEN whatsapp_in END AS whatsapp,
               CASE WHEN email_out IS NULL THEN email_in END AS email, CASE WHEN sms_out IS NULL THEN sms_in END AS sms,
               coalesce(whatsapp_source, email_source, sms_source) AS source
        FROM import_stage
    ) AS opted_in
    WHERE whatsapp IS NOT NULL OR email IS NOT NULL OR sms IS NOT NULL
    """
)

_OPTED_OUT = """
    FROM import_stage AS staged CROSS JOIN LATERAL (VALUES
        ('whatsapp', whatsapp_out, whatsapp_source, phone, CAST(:whatsapp AS text)),
        ('email', email_out, email_source, email, CAST(:email AS text)),
        ('sms', sms_out, sms_source, phone, CAST(:sms AS text))
    ) AS said (channel, opt_out_at, source, address, reason)
    WHERE said.opt_out_at IS NOT NULL
"""
_TELL_OPT_OUTS = text(
    f"""
    INSERT INTO events (tenant_id, contact_id, source, kind, occurred_at, payload_json)
    SELECT :tenant_id, staged.id, said.channel, 'opted_out', said.opt_out_at, jsonb_build_object(
        'channel', said.channel, 'source', said.source, 'reason', said.reason, 'import_id', CAST(:import_id AS text))
    {_OPTED_OUT}
    """
)
_SUPPRESS = text(
    f"""
    INSERT INTO suppressions AS old (tenant_id, channel, address, reason, source)
    SELECT DISTINCT ON (said.channel, said.address) :tenant_id, said.channel, said.address, said.reason, 'import'
    {_OPTED_OUT} AND said.address IS NOT NULL
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


class ConsentTimes(NamedTuple):
    contact_id: str
    channel: Channel
    opt_in_at: datetime | None
    opt_out_at: datetime | None


class DatedOptIn(NamedTuple):
    channel: Channel
    address: str
    opt_in_at: datetime


async def of(session: AsyncSession, tenant_id: UUID, contact_ids: Iterable[str]) -> list[ConsentTimes]:
    """The consents of these contacts, locked."""
    rows = await session.execute(_OF, {"tenant_id": tenant_id, "ids": " ".join(contact_ids)})
    return [ConsentTimes(contact_id, Channel(channel), came, left) for contact_id, channel, came, left in rows]


async def write(session: AsyncSession, tenant_id: UUID, import_id: UUID, *, new: bool, known: bool) -> None:
    """Of those staged: the consents of the new ones and of those known before, and the opt-ins' events."""
    meta = orjson.dumps({"import_id": import_id}).decode()
    for statement, wanted in ((_INSERT_OF_NEW, new), (_UPSERT_OF_KNOWN, known)):
        if wanted:
            await session.execute(statement, {"tenant_id": tenant_id, "meta": meta})
    await session.execute(_TELL_OPT_INS, {"tenant_id": tenant_id, "import_id": str(import_id)})


async def withdraw(
    session: AsyncSession, tenant_id: UUID, import_id: UUID, reasons: Mapping[Channel, SuppressionReason]
) -> None:
    """What follows from the staged opt-outs: an event each, and a suppression of the address."""
    words = {channel.value: reason.value for channel, reason in reasons.items()}
    await session.execute(_TELL_OPT_OUTS, {"tenant_id": tenant_id, "import_id": str(import_id), **words})
    await session.execute(_SUPPRESS, {"tenant_id": tenant_id, **words})


async def lift(session: AsyncSession, tenant_id: UUID, opt_ins: list[DatedOptIn], liftable: Iterable[str]) -> None:
    """End the suppressions that are older than these opt-ins, where their reason is one of `liftable`."""
    rows = orjson.dumps([opt_in._asdict() for opt_in in opt_ins]).decode()
    await session.execute(_LIFT, {"tenant_id": tenant_id, "rows": rows, "liftable": list(liftable)})
