"""Short links: written with the message that carries them, followed by whoever has the code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# The code is made from message and address, so what is there already is the same link, or (once in ages) another's.
_ADD = text(
    """
    INSERT INTO short_links (tenant_id, code, url, message_id)
    SELECT :tenant_id, code, url, message_id
    FROM json_to_recordset(CAST(:rows AS json)) AS r(code text, url text, message_id uuid)
    ORDER BY code
    ON CONFLICT (code) DO NOTHING
    RETURNING code
    """
)
_OURS = text(
    """
    SELECT s.code FROM short_links s
    JOIN json_to_recordset(CAST(:rows AS json)) AS r(code text, url text, message_id uuid)
      ON s.code = r.code AND s.url = r.url AND s.message_id = r.message_id
    """
)
_FIND = text("SELECT id, tenant_id, url, message_id FROM short_links WHERE code = :code")
# One statement: the link and its message by their keys, the event, and where the message is not known to have arrived
# the proof that it has, which takes the way of a provider's report.
_COUNT = text(
    """
    WITH sent AS (
        SELECT id, contact_id, campaign_id, channel, status, settings_id, provider FROM messages
        WHERE id = :message_id AND coalesce(sent_at, unresolved_since, created_at) <= now() - CAST(:quiet AS interval)
    ), link AS (
        UPDATE short_links SET clicks = clicks + 1, clicked_at = now()
        FROM sent
        WHERE short_links.id = :id AND (clicked_at IS NULL OR clicked_at <= now() - CAST(:pause AS interval))
        RETURNING short_links.url
    ), seen AS (
        UPDATE messages SET clicked_at = now() FROM link WHERE messages.id = :message_id AND messages.clicked_at IS NULL
    ), told AS (
        INSERT INTO events (tenant_id, source, kind, contact_id, campaign_id, message_id, occurred_at, payload_json)
        SELECT :tenant_id, sent.channel, 'clicked', sent.contact_id, sent.campaign_id, sent.id, now(),
               jsonb_build_object('url', link.url, 'user_agent', CAST(:user_agent AS text))
        FROM link, sent
    ), proof AS (
        INSERT INTO webhook_events (id, tenant_id, settings_id, channel, provider, kind, event_json, occurred_at)
        SELECT :proof_id, :tenant_id, sent.settings_id, sent.channel, sent.provider, 'delivered',
               jsonb_build_object('reference', sent.id, 'data', jsonb_build_object('clicked', link.url)), now()
        FROM link, sent
        WHERE sent.settings_id IS NOT NULL AND sent.status NOT IN ('delivered', 'read')
        ON CONFLICT (id) DO NOTHING
    )
    SELECT count(*) FROM link
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLink:
    message_id: UUID
    code: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownLink:
    id: UUID
    tenant_id: UUID
    url: str
    message_id: UUID


async def add(session: AsyncSession, tenant_id: UUID, links: Sequence[NewLink]) -> set[str]:
    """Write them; the codes that lead where they should. One that is missing belongs to another link."""
    if not links:
        return set()
    rows = orjson.dumps(links).decode()
    added = set((await session.execute(_ADD, {"tenant_id": tenant_id, "rows": rows})).scalars())
    rest = [link for link in links if link.code not in added]
    if not rest:
        return added
    return added | set((await session.execute(_OURS, {"rows": orjson.dumps(rest).decode()})).scalars())


async def find(session: AsyncSession, code: str) -> KnownLink | None:
    """Across tenants: whoever follows a link has nothing but the code."""
    row = (await session.execute(_FIND, {"code": code})).one_or_none()
    if row is None:
        return None
    return KnownLink(id=row.id, tenant_id=row.tenant_id, url=row.url, message_id=row.message_id)


async def count_click(
    session: AsyncSession, link: KnownLink, *, proof_id: UUID, user_agent: str, quiet: timedelta, pause: timedelta
) -> bool:
    """Count a click, unless the message left less than `quiet` ago or the click before it was within `pause`."""
    values = {"id": link.id, "tenant_id": link.tenant_id, "message_id": link.message_id, "proof_id": proof_id}
    counted = await session.execute(_COUNT, {**values, "user_agent": user_agent, "quiet": quiet, "pause": pause})
    return bool(counted.scalar_one())
