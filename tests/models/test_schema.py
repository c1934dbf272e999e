from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlmodel import SQLModel

from app.db import Sessions
from app.ids import new_id
from app.migrations import runner
from app.models import Tenant
from tests.factories import make_contact

TABLES = sorted(SQLModel.metadata.tables)
NAMED_INDEXES = {
    "ix_messages_conversation_created": ("messages", ["conversation_id", "created_at"], False),
    "ix_contacts_tenant_phone": ("contacts", ["tenant_id", "phone"], True),
    "ix_templates_tenant_name_lang_channel": ("templates", ["tenant_id", "name", "lang", "channel"], True),
    "ix_campaigns_tenant_scheduled": ("campaigns", ["tenant_id", "scheduled_at_utc"], False),
    "ix_events_tenant_created": ("events", ["tenant_id", "created_at"], False),
    "ix_consents_contact_channel": ("consents", ["contact_id", "channel"], True),
}
UNIQUE_RULES = {
    "suppressions": ["tenant_id", "channel", "address"],
    "conversions": ["tenant_id", "order_id"],
    "provider_templates": ["settings_id", "name", "language"],
    "users": ["tenant_id", "email"],
    "campaign_steps": ["campaign_id", "position"],
    "campaign_recipients": ["campaign_id", "contact_id"],
    "api_keys": ["key_hash"],
    "idempotency_keys": ["tenant_id", "key"],
    "import_verdicts": ["import_id", "last_number"],
    "short_links": ["code"],
    "tenants": ["slug"],
}
INDEX_COLUMNS = text(
    """
    SELECT i.relname, t.relname, array_agg(a.attname::text ORDER BY k.place), x.indisunique
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = 'public'
    CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
    GROUP BY 1, 2, 4
    """
)


@pytest.fixture
async def indexes(sessions: Sessions) -> dict[str, tuple[str, list[str], bool]]:
    async with sessions.system() as session:
        rows = (await session.execute(INDEX_COLUMNS)).all()
    return {name: (table, columns, unique) for name, table, columns, unique in rows}


class TestCatalogue:
    async def test_every_table_has_key_tenant_and_times(self, sessions: Sessions) -> None:
        async with sessions.begin(new_id()) as session:
            found = await session.execute(
                text("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
            )
            columns: dict[str, set[str]] = {}
            for table, column in found:
                columns.setdefault(table, set()).add(column)
            keys = await session.execute(
                text(
                    "SELECT conrelid::regclass::text FROM pg_constraint "
                    "WHERE contype = 'p' AND connamespace = 'public'::regnamespace"
                )
            )
            keyed = set(keys.scalars())
        for table in TABLES:
            assert {"id", "tenant_id", "created_at", "updated_at"} <= columns[table], table
            assert table in keyed

    @pytest.mark.parametrize("name", NAMED_INDEXES)
    def test_named_index_is_there(self, name: str, indexes: dict[str, tuple[str, list[str], bool]]) -> None:
        assert indexes[name] == NAMED_INDEXES[name]

    @pytest.mark.parametrize("table", UNIQUE_RULES)
    def test_unique_rule_is_there(self, table: str, indexes: dict[str, tuple[str, list[str], bool]]) -> None:
        assert (table, UNIQUE_RULES[table], True) in indexes.values()

    async def test_models_and_migrations_agree(self, database_url: str) -> None:
        command.check(runner.config(database_url))


class TestRowLevelSecurity:
    async def test_every_table_enforces_it_even_for_its_owner(self, sessions: Sessions) -> None:
        async with sessions.system() as session:
            rows = await session.execute(
                text("SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relkind = 'r'")
            )
            secured = {name: (enabled, forced) for name, enabled, forced in rows}
        assert {name: secured[name] for name in TABLES} == dict.fromkeys(TABLES, (True, True))

    async def test_every_table_has_the_tenant_policy(self, sessions: Sessions) -> None:
        async with sessions.system() as session:
            rows = await session.execute(
                text("SELECT tablename, qual, with_check FROM pg_policies WHERE policyname = 'tenant_isolation'")
            )
            policies = {table: (reads, writes) for table, reads, writes in rows}
        assert sorted(policies) == TABLES
        assert all("relay.tenant_id" in reads and "relay.tenant_id" in writes for reads, writes in policies.values())

    async def test_the_application_roles_cannot_bypass_it(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            rows = await session.execute(
                text(
                    "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles "
                    "WHERE rolname IN (current_user, session_user, 'relay_app', 'relay_system')"
                )
            )
            rights = {row[0]: row[1] for row in rows}
            assert (await session.execute(text("SELECT current_user"))).scalar_one() == "relay_app"
        assert set(rights.values()) == {False}

    async def test_another_tenant_sees_and_writes_nothing(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await make_contact(session, tenant.id)
        async with sessions.begin(new_id()) as stranger:
            assert (await stranger.execute(text("SELECT count(*) FROM contacts"))).scalar_one() == 0
            changed = await stranger.execute(
                text("UPDATE contacts SET first_name = 'x' WHERE id = :id RETURNING id"), {"id": contact.id}
            )
            assert changed.all() == []

    async def test_a_row_for_another_tenant_is_refused(self, sessions: Sessions, tenant: Tenant) -> None:
        async def write(foreign: UUID) -> None:
            async with sessions.begin(new_id()) as stranger:
                await make_contact(stranger, foreign)

        with pytest.raises(ProgrammingError, match="row-level security"):
            await write(tenant.id)

    async def test_without_a_tenant_nothing_is_seen(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            await make_contact(session, tenant.id)
        async with sessions.engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM contacts"))).scalar_one() == 0

    async def test_updated_at_follows_every_change(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await make_contact(session, tenant.id)
        async with sessions.begin(tenant.id) as session:
            await session.execute(text("UPDATE contacts SET first_name = 'Rui' WHERE id = :id"), {"id": contact.id})
            row = await session.execute(
                text("SELECT created_at, updated_at FROM contacts WHERE id = :id"), {"id": contact.id}
            )
            created_at, updated_at = row.one()
        assert updated_at > created_at
