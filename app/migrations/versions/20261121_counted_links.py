"""short links that are followed by whoever has the code, and count their clicks

They are written as often as messages, so like those they have no constraint to the one row of their tenant.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "counted_links"
down_revision: str | None = "late_fallbacks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("short_links", sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("short_links", "message_id", existing_type=sa.UUID(), nullable=False)
    op.drop_constraint("short_links_tenant_id_fkey", "short_links", type_="foreignkey")
    op.execute("GRANT SELECT ON short_links TO relay_system")
    op.execute("CREATE POLICY system_access ON short_links FOR SELECT TO relay_system USING (true)")


def downgrade() -> None:
    op.execute("DROP POLICY system_access ON short_links")
    op.execute("REVOKE SELECT ON short_links FROM relay_system")
    op.create_foreign_key("short_links_tenant_id_fkey", "short_links", "tenants", ["tenant_id"], ["id"])
    op.alter_column("short_links", "message_id", existing_type=sa.UUID(), nullable=True)
    op.drop_column("short_links", "clicked_at")
