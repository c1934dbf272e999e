"""Answers to keywords: single messages that wait for their workflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.keywords import Keyword
from app.domain.status import Channel

_LANGUAGES = text("SELECT id, lang FROM contacts WHERE id = ANY(:ids) AND lang <> ''")
_ADD = text(
    """
    INSERT INTO messages (id, tenant_id, conversation_id, contact_id, channel, direction, type, purpose, lang, address,
                          payload_json, status)
    SELECT r.id, :tenant_id, r.contact_id, r.contact_id, r.channel, 'out', 'text', 'transactional', r.lang,
           r.address, jsonb_build_object(
               'text', r.text,
               'answers', jsonb_build_object('keyword', r.keyword, 'at', r.at, 'webhook_event_id', r.event_id)
           ), 'queued'
    FROM json_to_recordset(CAST(:rows AS json))
         AS r(id uuid, event_id text, contact_id uuid, channel text, keyword text, at text, lang text, address text,
              text text, again_after float8)
    WHERE NOT EXISTS (
        SELECT FROM messages m
        WHERE m.conversation_id = r.contact_id AND m.created_at > now() - r.again_after * interval '1 second'
          AND m.direction = 'out' AND m.channel = r.channel AND m.payload_json -> 'answers' ->> 'keyword' = r.keyword
    )
    ON CONFLICT (id) DO NOTHING
    """
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """To the keyword that came in as `event_id`; its id is made from that, so a redelivery is answered once."""

    id: UUID
    event_id: str
    contact_id: UUID
    channel: Channel
    keyword: Keyword
    at: datetime
    lang: str
    address: str
    text: str
    again_after: timedelta


async def languages(session: AsyncSession, contact_ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = await session.execute(_LANGUAGES, {"ids": list(contact_ids)})
    return {row.id: row.lang for row in rows}


async def add(session: AsyncSession, tenant_id: UUID, answers: Sequence[Answer]) -> None:
    """Queue them; who got the same answer on the same channel a while ago gets none."""
    if not answers:
        return
    rows = [
        {
            "id": answer.id,
            "event_id": answer.event_id,
            "contact_id": answer.contact_id,
            "channel": answer.channel.value,
            "keyword": answer.keyword.value,
            "at": answer.at.isoformat(),
            "lang": answer.lang,
            "address": answer.address,
            "text": answer.text,
            "again_after": answer.again_after.total_seconds(),
        }
        for answer in answers
    ]
    await session.execute(_ADD, {"tenant_id": tenant_id, "rows": orjson.dumps(rows).decode()})
