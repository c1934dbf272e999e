"""What an export reads, page by page along a key, so that no page costs more than the one before it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.segment import Segment
from app.models import Contact
from app.repositories import segments

PAGE = 2_000

_CONTACTS = text(
    """
    SELECT c.id, c.phone, c.email, c.first_name, c.last_name, c.lang, c.timezone, c.country, c.tags_json,
           c.attributes_json, c.created_at, c.last_inbound_at,
           w.opt_in_at_utc AS whatsapp_in, w.opt_out_at_utc AS whatsapp_out,
           e.opt_in_at_utc AS email_in, e.opt_out_at_utc AS email_out,
           s.opt_in_at_utc AS sms_in, s.opt_out_at_utc AS sms_out,
           coalesce(nullif(w.source, ''), nullif(e.source, ''), s.source, '') AS consent_source,
           (SELECT string_agg(x.channel || ':' || x.reason, '|' ORDER BY x.channel) FROM suppressions x
            WHERE x.tenant_id = c.tenant_id AND x.lifted_at IS NULL
              AND (x.channel = 'email' AND x.address = c.email OR x.channel <> 'email' AND x.address = c.phone)
           ) AS suppressed
    FROM contacts c
    LEFT JOIN consents w ON w.contact_id = c.id AND w.channel = 'whatsapp'
    LEFT JOIN consents e ON e.contact_id = c.id AND e.channel = 'email'
    LEFT JOIN consents s ON s.contact_id = c.id AND s.channel = 'sms'
    WHERE c.id = ANY(:ids) ORDER BY c.id
    """
)
_ATTRIBUTES = text(
    """
    SELECT DISTINCT jsonb_object_keys(attributes_json) FROM contacts
    WHERE tenant_id = :tenant_id AND deleted_at IS NULL ORDER BY 1
    """
)
_CONSENTS = text(
    """
    SELECT n.contact_id, c.phone, c.email, n.channel, n.opt_in_at_utc, n.opt_out_at_utc, n.source, n.meta_json,
           n.updated_at
    FROM contacts c JOIN consents n ON n.contact_id = c.id
    WHERE c.id = ANY(:ids) ORDER BY n.contact_id, n.channel
    """
)
_HISTORY = text(
    """
    SELECT v.id, v.created_at, v.occurred_at, v.kind, v.payload_json, v.contact_id, c.phone, c.email
    FROM events v LEFT JOIN contacts c ON c.id = v.contact_id
    WHERE v.tenant_id = :tenant_id AND v.kind IN ('opted_in', 'opted_out')
      AND (v.created_at, v.id) > (:after_at, :after_id)
    ORDER BY v.created_at, v.id LIMIT :size
    """
)
_SUPPRESSIONS = text(
    """
    SELECT * FROM suppressions WHERE tenant_id = :tenant_id AND id > :after AND lifted_at IS NULL
    ORDER BY id LIMIT :size
    """
)
BEGINNING = UUID(int=0)


async def contact_ids(
    session: AsyncSession, tenant_id: UUID, segment: Segment, now: datetime, after: UUID
) -> Sequence[UUID]:
    """The next page of the segment's contacts, in the order of their ids."""
    query = (
        select(col(Contact.id))
        .where(
            col(Contact.tenant_id) == tenant_id,
            col(Contact.deleted_at).is_(None),
            col(Contact.id) > after,
            segments.where(segment, now),
        )
        .order_by(col(Contact.id))
        .limit(PAGE)
    )
    return (await session.execute(query)).scalars().all()


async def contacts(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    return (await session.execute(_CONTACTS, {"ids": list(ids)})).all()


async def attribute_names(session: AsyncSession, tenant_id: UUID) -> list[str]:
    return list((await session.execute(_ATTRIBUTES, {"tenant_id": tenant_id})).scalars())


async def consents(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    return (await session.execute(_CONSENTS, {"ids": list(ids)})).all()


async def consent_events(
    session: AsyncSession, tenant_id: UUID, after_at: datetime, after_id: UUID
) -> Sequence[Row[Any]]:
    """Each yes and no in the order in which they were recorded."""
    values = {"tenant_id": tenant_id, "after_at": after_at, "after_id": after_id, "size": PAGE}
    return (await session.execute(_HISTORY, values)).all()


async def suppressions(session: AsyncSession, tenant_id: UUID, after: UUID) -> Sequence[Row[Any]]:
    values = {"tenant_id": tenant_id, "after": after, "size": PAGE}
    return (await session.execute(_SUPPRESSIONS, values)).all()
