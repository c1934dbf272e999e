"""Counts over a span of time, per channel."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

_MESSAGES = text(
    """
    SELECT channel,
           count(*) FILTER (WHERE sent_at IS NOT NULL OR status IN ('sent', 'delivered', 'read')) AS sent,
           count(*) FILTER (WHERE delivered_at IS NOT NULL OR status IN ('delivered', 'read')) AS delivered,
           count(*) FILTER (WHERE read_at IS NOT NULL OR status = 'read') AS read,
           count(clicked_at) AS clicked,
           count(replied_at) AS replied,
           count(*) FILTER (WHERE status = 'failed') AS failed
    FROM messages
    WHERE tenant_id = :tenant_id AND created_at >= :start AND created_at < :stop AND direction = 'out'
    GROUP BY channel
    """
)
_SKIPPED = text(
    """
    SELECT channel, count(*) AS skipped FROM decisions
    WHERE tenant_id = :tenant_id AND created_at >= :start AND created_at < :stop AND verdict = 'skip'
    GROUP BY channel
    """
)
_OPTED_OUT = text(
    """
    SELECT source AS channel, count(*) AS opted_out FROM events
    WHERE tenant_id = :tenant_id AND kind = 'opted_out' AND created_at >= :start AND created_at < :stop
      AND source IN ('whatsapp', 'email', 'sms')
    GROUP BY 1
    """
)
_CONVERSIONS = text(
    """
    SELECT m.channel, v.currency, count(*) AS conversions, sum(v.amount) AS revenue
    FROM conversions v LEFT JOIN messages m ON m.id = v.message_id
    WHERE v.tenant_id = :tenant_id AND v.revenue_at_utc >= :start AND v.revenue_at_utc < :stop
    GROUP BY 1, 2
    """
)


class Span:
    """One tenant's rows from `start` up to, but without, `stop`."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, start: datetime, stop: datetime) -> None:
        self._session = session
        self._values = {"tenant_id": tenant_id, "start": start, "stop": stop}

    async def messages(self) -> Sequence[Row[Any]]:
        return (await self._session.execute(_MESSAGES, self._values)).all()

    async def skipped(self) -> Sequence[Row[Any]]:
        return (await self._session.execute(_SKIPPED, self._values)).all()

    async def opted_out(self) -> Sequence[Row[Any]]:
        return (await self._session.execute(_OPTED_OUT, self._values)).all()

    async def conversions(self) -> Sequence[Row[Any]]:
        """Per channel of the credited message (None without one) and currency."""
        return (await self._session.execute(_CONVERSIONS, self._values)).all()
