"""the updates of a launch touch as few indexes as they can

An update that changes no indexed column stays on its page when there is room, and touches no index. So the state of a
recipient leaves the condition of an index, the pages of what is written and changed at once keep room for the change,
and when a contact was last written to is kept with the conversation, whose row is small and has one index.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "ledger_updates"
down_revision: str | None = "import_verdicts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("last_outbound_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "INSERT INTO conversations (id, tenant_id, contact_id, last_message_at, last_outbound_at) "
        "SELECT id, tenant_id, id, last_outbound_at, last_outbound_at FROM contacts WHERE last_outbound_at IS NOT NULL "
        "ON CONFLICT (id) DO UPDATE SET last_outbound_at = excluded.last_outbound_at"
    )
    op.drop_column("contacts", "last_outbound_at")
    op.drop_index("ix_conversations_contact", table_name="conversations")  # the id is the contact's
    for column in ("contact_id", "tenant_id"):
        op.drop_constraint(f"conversations_{column}_fkey", "conversations", type_="foreignkey")
    op.drop_index("ix_campaign_recipients_held", table_name="campaign_recipients")
    op.create_index(
        "ix_campaign_recipients_held",
        "campaign_recipients",
        ["campaign_id", "hold_until"],
        postgresql_where=sa.text("hold_until IS NOT NULL"),
    )
    for table in ("conversations", "campaign_recipients"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 50)")


def downgrade() -> None:
    op.execute("ALTER TABLE conversations RESET (fillfactor)")
    op.execute("ALTER TABLE campaign_recipients SET (fillfactor = 80)")
    op.drop_index("ix_campaign_recipients_held", table_name="campaign_recipients")
    op.create_index(
        "ix_campaign_recipients_held",
        "campaign_recipients",
        ["campaign_id", "hold_until"],
        postgresql_where=sa.text("state = 'held'"),
    )
    for column, target in (("contact_id", "contacts"), ("tenant_id", "tenants")):
        op.create_foreign_key(f"conversations_{column}_fkey", "conversations", target, [column], ["id"])
    op.create_index("ix_conversations_contact", "conversations", ["contact_id"], unique=True)
    op.add_column("contacts", sa.Column("last_outbound_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE contacts SET last_outbound_at = v.last_outbound_at FROM conversations v WHERE v.id = contacts.id"
    )
    op.drop_column("conversations", "last_outbound_at")
