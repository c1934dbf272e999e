"""contacts, consents and suppressions without what each row of an import paid for

The constraints cost a quarter of an import: a look-up of the tenant for each row, and of the contact for each consent,
which that very transaction has written. Row-level security keeps the tenant right, and contacts are emptied, never
deleted. The index of tags was never read: row-level security lets only leakproof operators use an index, and
containment of JSON is none.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "bulk_contacts"
down_revision: str | None = "sender_limits"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

REFERENCES = (
    ("contacts", "tenant_id", "tenants"),
    ("consents", "tenant_id", "tenants"),
    ("consents", "contact_id", "contacts"),
    ("suppressions", "tenant_id", "tenants"),
)


def upgrade() -> None:
    for table, column, _ in REFERENCES:
        op.drop_constraint(f"{table}_{column}_fkey", table, type_="foreignkey")
    op.drop_index("ix_contacts_tags", table_name="contacts")


def downgrade() -> None:
    op.create_index(
        "ix_contacts_tags",
        "contacts",
        ["tags_json"],
        postgresql_using="gin",
        postgresql_ops={"tags_json": "jsonb_path_ops"},
    )
    for table, column, target in REFERENCES:
        op.create_foreign_key(f"{table}_{column}_fkey", table, target, [column], ["id"])
