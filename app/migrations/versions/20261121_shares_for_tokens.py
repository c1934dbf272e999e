"""shares in place of tokens"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "shares_for_tokens"
down_revision: str | None = "sender_troubles"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_column("rate_buckets", "tokens")
    op.drop_column("rate_buckets", "refilled_at")


def downgrade() -> None:
    op.add_column("rate_buckets", sa.Column("refilled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("rate_buckets", sa.Column("tokens", sa.Float(), server_default=sa.text("0"), nullable=False))
