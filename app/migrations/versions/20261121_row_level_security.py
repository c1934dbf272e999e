"""row level security"""

from collections.abc import Sequence

from alembic import op

revision: str = "row_level_security"
down_revision: str | None = "initial_schema"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TENANT_TABLES = (
    "tenants users api_keys contacts consents suppressions lead_scores conversations messages short_links templates "
    "campaigns campaign_steps campaign_recipients decisions webhook_events events conversions audit_log "
    "channel_settings rate_buckets idempotency_keys imports import_chunks import_rows"
).split()

# What finding the tenant of a credential or a webhook, and finding the work that waits, needs across tenants.
SYSTEM_GRANTS = {
    "tenants": "SELECT, INSERT",
    "api_keys": "SELECT, INSERT, UPDATE",
    "users": "SELECT, INSERT",
    "channel_settings": "SELECT",
    "webhook_events": "SELECT, INSERT, UPDATE",
    "messages": "SELECT",
    "campaigns": "SELECT",
    "imports": "SELECT",
}

# in a sub-select, so that it is evaluated once a statement and not once a row
CURRENT_TENANT = "(SELECT nullif(current_setting('relay.tenant_id', true), '')::uuid)"


def upgrade() -> None:
    for role in ("relay_app", "relay_system"):
        op.execute(
            f"""
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
                END IF;
            END $$
            """
        )
        op.execute(f"GRANT {role} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE")
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    op.execute("GRANT SELECT ON alembic_version TO relay_app")
    op.execute(
        """
        CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.updated_at := now(); RETURN NEW; END $$
        """
    )
    for table in TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO relay_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table} TO relay_app "
            f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
        )
        op.execute(
            f"CREATE TRIGGER touch_updated_at BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
        )
    for table, rights in SYSTEM_GRANTS.items():
        op.execute(f"GRANT {rights} ON {table} TO relay_system")
        op.execute(f"CREATE POLICY system_access ON {table} TO relay_system USING (true) WITH CHECK (true)")
    # the audit log is append-only for the application
    op.execute("REVOKE UPDATE, DELETE ON audit_log FROM relay_app")


def downgrade() -> None:
    for table in TENANT_TABLES:
        op.execute(f"DROP TRIGGER touch_updated_at ON {table}")
        op.execute(f"DROP POLICY tenant_isolation ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM relay_app")
    for table in SYSTEM_GRANTS:
        op.execute(f"DROP POLICY system_access ON {table}")
        op.execute(f"REVOKE ALL ON {table} FROM relay_system")
    op.execute("DROP FUNCTION touch_updated_at()")
    op.execute("REVOKE SELECT ON alembic_version FROM relay_app")
