"""senders that a provider refuses, and since when a campaign is paused"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "sender_troubles"
down_revision: str | None = "ledger_updates"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CURRENT_TENANT = "(SELECT nullif(current_setting('relay.tenant_id', true), '')::uuid)"


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "sender_troubles",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON sender_troubles TO relay_app")
    op.execute("ALTER TABLE sender_troubles ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE sender_troubles FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON sender_troubles TO relay_app "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    op.execute(
        "CREATE TRIGGER touch_updated_at BEFORE UPDATE ON sender_troubles "
        "FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
    )


def downgrade() -> None:
    op.drop_table("sender_troubles")
    op.drop_column("campaigns", "paused_at")
