"""Messages that bounced softly, counted by address."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_MARK = text(
    """
    UPDATE messages SET soft_bounced_at = least(soft_bounced_at, (CAST(:ats AS jsonb) ->> id::text)::timestamptz)
    WHERE id = ANY(:ids)
    """
)
# A message is given up within days of being made. Several contacts may share an address.
LONGEST_WAIT = timedelta(days=30)
_COUNT = text(
    """
    SELECT address, count(*) FILTER (WHERE soft_bounced_at > greatest(delivered, :since)) AS bounces
    FROM (
        SELECT m.address, m.soft_bounced_at, max(m.delivered_at) OVER (PARTITION BY m.address) AS delivered
        FROM contacts c JOIN messages m ON m.conversation_id = c.id
        WHERE c.tenant_id = :tenant_id AND c.email = ANY(:addresses)
          AND m.address = c.email AND m.channel = 'email' AND m.direction = 'out'
          AND m.created_at > CAST(:since AS timestamptz) - CAST(:wait AS interval)
          AND (m.soft_bounced_at IS NOT NULL OR m.delivered_at IS NOT NULL)
    ) AS told
    GROUP BY address
    """
)


async def mark(session: AsyncSession, ats: Mapping[UUID, datetime]) -> None:
    """These messages bounced softly; the first report of each counts."""
    values = orjson.dumps({str(id): at for id, at in ats.items()}).decode()
    await session.execute(_MARK, {"ids": list(ats), "ats": values})


async def count(session: AsyncSession, tenant_id: UUID, addresses: Collection[str], since: datetime) -> dict[str, int]:
    """How many messages to each e-mail address bounced softly since, and since the last one that was delivered."""
    values = {"tenant_id": tenant_id, "addresses": list(addresses), "since": since, "wait": LONGEST_WAIT}
    return {row.address: row.bounces for row in await session.execute(_COUNT, values)}
