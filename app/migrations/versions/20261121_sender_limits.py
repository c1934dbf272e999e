"""shares of a sender's limit, the pace of a pair, and what was used of a day's quota"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "sender_limits"
down_revision: str | None = "repeatable_messages"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CURRENT_TENANT = "(SELECT nullif(current_setting('relay.tenant_id', true), '')::uuid)"


def upgrade() -> None:
    op.add_column(
        "rate_buckets",
        sa.Column("shares_json", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
    )
    op.add_column("conversations", sa.Column("pair_free_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "daily_usage",
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("subject_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "day", name="uq_daily_usage_subject_day"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON daily_usage TO relay_app")
    op.execute("ALTER TABLE daily_usage ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE daily_usage FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON daily_usage TO relay_app "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    op.execute(
        "CREATE TRIGGER touch_updated_at BEFORE UPDATE ON daily_usage FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
    )


def downgrade() -> None:
    op.drop_table("daily_usage")
    op.drop_column("conversations", "pair_free_at")
    op.drop_column("rate_buckets", "shares_json")
