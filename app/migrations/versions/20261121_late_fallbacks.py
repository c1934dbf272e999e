"""messages that were not delivered in time"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "late_fallbacks"
down_revision: str | None = "shares_for_tokens"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("fallback_after_seconds", sa.Float(), nullable=True))
    op.add_column("messages", sa.Column("fallback_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_messages_fallback",
        "messages",
        ["fallback_at"],
        postgresql_where=sa.text("fallback_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_messages_fallback", table_name="messages")
    op.drop_column("messages", "superseded_at")
    op.drop_column("messages", "fallback_at")
    op.drop_column("campaigns", "fallback_after_seconds")
