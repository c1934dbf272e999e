"""Until when WhatsApp takes no marketing for a contact."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Locked in the order of their ids, as every projection does.
_LIMIT = text(
    """
    UPDATE contacts c SET whatsapp_limited_until = greatest(c.whatsapp_limited_until, found.until)
    FROM (
        SELECT id, (CAST(:untils AS jsonb) ->> id::text)::timestamptz AS until FROM contacts
        WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
    ) AS found
    WHERE c.id = found.id
    """
)


async def limit(session: AsyncSession, untils: Mapping[UUID, datetime]) -> None:
    """A later end is never brought forward, so a report may come twice."""
    if untils:
        ends = orjson.dumps({str(id): until for id, until in untils.items()}).decode()
        await session.execute(_LIMIT, {"ids": list(untils), "untils": ends})
