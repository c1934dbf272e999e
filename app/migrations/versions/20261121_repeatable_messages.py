"""repeatable messages"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "repeatable_messages"
down_revision: str | None = "row_level_security"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("frozen_json", postgresql.JSONB(), nullable=True))
    op.add_column("messages", sa.Column("repeat_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("messages", "repeat_until")
    op.drop_column("messages", "frozen_json")
