"""the number that WhatsApp knows a contact by, where it is not the one we write to"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "whatsapp_numbers"
down_revision: str | None = "provider_templates"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("contacts", sa.Column("whatsapp_number", sa.Text(), nullable=True))
    op.create_index(
        "ix_contacts_whatsapp_number",
        "contacts",
        ["tenant_id", "whatsapp_number"],
        postgresql_where=sa.text("whatsapp_number IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_contacts_whatsapp_number", table_name="contacts")
    op.drop_column("contacts", "whatsapp_number")
