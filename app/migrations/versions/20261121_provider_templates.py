"""templates that a provider approved or refused"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "provider_templates"
down_revision: str | None = "delivery_rules"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CURRENT_TENANT = "(SELECT nullif(current_setting('relay.tenant_id', true), '')::uuid)"
TEXTS = ("account", "provider_id", "name", "language", "category", "status", "reason", "quality")


def upgrade() -> None:
    op.create_table(
        "provider_templates",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("settings_id", sa.UUID(), nullable=False),
        *(sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False) for name in TEXTS),
        sa.Column("components_json", postgresql.JSONB(), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.ForeignKeyConstraint(["settings_id"], ["channel_settings.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("settings_id", "name", "language", name="uq_provider_templates_settings_name_language"),
    )
    op.create_index("ix_provider_templates_tenant_name", "provider_templates", ["tenant_id", "name", "language"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON provider_templates TO relay_app")
    op.execute("ALTER TABLE provider_templates ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE provider_templates FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON provider_templates TO relay_app "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    op.execute(
        "CREATE TRIGGER touch_updated_at BEFORE UPDATE ON provider_templates "
        "FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
    )


def downgrade() -> None:
    op.drop_table("provider_templates")
