"""Messages that are not delivered in time."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from app.db import Sessions
from app.domain.status import MessageStatus
from app.repositories import deliveries
from tests import factories


class TestSupersede:
    async def test_what_stays_unknown_is_looked_at_less_and_less(self, sessions: Sessions) -> None:
        now = datetime.now(UTC)
        async with sessions.system() as session:
            tenant = await factories.make_tenant(session)
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id)
            changes = {"status": MessageStatus.UNKNOWN, "sent_at": None, "fallback_at": now - timedelta(seconds=1)}
            for age in (timedelta(seconds=5), timedelta(minutes=20), timedelta(days=30)):
                await factories.make_message(session, tenant.id, contact.id, created_at=now - age, **changes)
            ids = (await session.execute(text("SELECT id FROM messages ORDER BY created_at DESC"))).scalars().all()
            assert await deliveries.supersede(session, tenant.id, ids) == []
            waits = (
                await session.execute(
                    text("SELECT round(extract(epoch FROM fallback_at - now()) / 60) FROM messages ORDER BY created_at")
                )
            ).scalars()
            assert [int(wait) for wait in waits] == [60, 20, 1]
