"""until when a provider takes no marketing for a contact, and which messages bounced softly"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "delivery_rules"
down_revision: str | None = "counted_links"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("contacts", sa.Column("whatsapp_limited_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("soft_bounced_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("messages", "soft_bounced_at")
    op.drop_column("contacts", "whatsapp_limited_until")
