"""Single sends in the outbox."""

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import Sessions
from app.ids import fallback_id
from app.repositories import single_sends
from tests import factories

OTHERS = 2_000
_ADD = text(
    """
    INSERT INTO messages (id, tenant_id, conversation_id, contact_id, channel, direction, type, purpose, status)
    SELECT uuidv7(), :tenant_id, contact_id, contact_id, 'sms', 'out', 'text', 'transactional', 'sent'
    FROM (SELECT gen_random_uuid() AS contact_id FROM generate_series(1, :count)) AS people
    """
)
_READ = text(
    """
    SELECT coalesce(sum(pg_stat_get_xact_tuples_fetched(oid) + pg_stat_get_xact_tuples_returned(oid)), 0)
    FROM pg_class WHERE oid = 'messages'::regclass OR oid IN (
        SELECT indexrelid FROM pg_index WHERE indrelid = 'messages'::regclass
    )
    """
)


class TestLock:
    async def test_finds_the_message_and_what_it_fell_back_to(self, sessions: Sessions) -> None:
        async with sessions.system() as session:
            tenant = await factories.make_tenant(session)
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id)
            root = await factories.make_message(session, tenant.id, contact.id)
            await factories.make_message(session, tenant.id, contact.id)
        async with sessions.begin(tenant.id) as session:
            child = fallback_id(root.id, "email")
            await single_sends.fall_back(session, root.id, child, "email")
            assert [row.id for row in await single_sends.lock(session, root.id)] == [root.id, child]

    async def test_does_not_read_the_other_messages_of_the_tenant(self, sessions: Sessions, database_url: str) -> None:
        async with sessions.system() as session:
            tenant = await factories.make_tenant(session)
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id)
            root = await factories.make_message(session, tenant.id, contact.id)
            await session.execute(_ADD, {"tenant_id": tenant.id, "count": OTHERS})
        async with await AsyncConnection.connect(database_url, autocommit=True) as owner:
            await owner.execute("ANALYZE messages")
        async with sessions.begin(tenant.id) as session:
            await session.execute(text("SET LOCAL enable_seqscan = off"))  # as every worker has it
            before = await _read(session)
            assert [row.id for row in await single_sends.lock(session, root.id)] == [root.id]
            assert await _read(session) - before < OTHERS / 10


async def _read(session: AsyncSession) -> int:
    """How many rows of messages this transaction has read."""
    return int((await session.execute(_READ)).scalar_one())
