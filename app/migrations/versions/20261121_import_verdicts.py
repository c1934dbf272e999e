"""the verdicts of an import as one row per batch"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "import_verdicts"
down_revision: str | None = "bulk_contacts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CURRENT_TENANT = "(SELECT nullif(current_setting('relay.tenant_id', true), '')::uuid)"
MOVE = """
    INSERT INTO import_verdicts (tenant_id, import_id, first_number, last_number, verdicts, contact_ids, notes_json)
    SELECT tenant_id, import_id, min(number), max(number), string_agg(left(verdict, 1), '' ORDER BY number),
           array_agg(contact_id ORDER BY number),
           coalesce(jsonb_agg(jsonb_build_array(number, field, reason) ORDER BY number)
                    FILTER (WHERE field <> '' OR reason <> ''), '[]')
    FROM import_rows GROUP BY tenant_id, import_id, (number - 1) / 2000
"""
MOVE_BACK = """
    INSERT INTO import_rows (tenant_id, import_id, number, verdict, contact_id, field, reason)
    SELECT tenant_id, import_id, one.number,
           CASE one.letter WHEN 'c' THEN 'created' WHEN 'u' THEN 'updated' WHEN 'm' THEN 'merged' ELSE 'rejected' END,
           one.contact_id, coalesce(note.value ->> 1, ''), coalesce(note.value ->> 2, '')
    FROM import_verdicts
    CROSS JOIN LATERAL (
        SELECT first_number + place - 1 AS number, letter, contact_id
        FROM unnest(string_to_array(verdicts, NULL), contact_ids) WITH ORDINALITY AS r (letter, contact_id, place)
    ) AS one
    LEFT JOIN LATERAL jsonb_array_elements(notes_json) AS note ON (note.value ->> 0)::bigint = one.number
"""


def upgrade() -> None:
    op.create_table(
        "import_verdicts",
        *_ledger_columns(),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("verdicts", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("contact_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("notes_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_import_verdicts_import_last", "import_verdicts", ["import_id", "last_number"], unique=True)
    op.execute("ALTER TABLE import_rows NO FORCE ROW LEVEL SECURITY")
    op.execute(MOVE)
    op.drop_table("import_rows")
    _secure("import_verdicts")


def downgrade() -> None:
    verdict = sa.Enum(
        "created",
        "updated",
        "merged",
        "rejected",
        name="import_rows_verdict",
        native_enum=False,
        create_constraint=True,
        length=24,
    )
    op.create_table(
        "import_rows",
        *_ledger_columns(),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("verdict", verdict, nullable=False),
        sa.Column("contact_id", sa.UUID(), nullable=True),
        sa.Column("field", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_import_rows_import_number", "import_rows", ["import_id", "number"], unique=True)
    op.execute("ALTER TABLE import_verdicts NO FORCE ROW LEVEL SECURITY")
    op.execute(MOVE_BACK)
    op.drop_table("import_verdicts")
    _secure("import_rows")


def _ledger_columns() -> list[sa.Column[object]]:
    now = sa.text("now()")
    return [
        sa.Column("id", sa.UUID(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("import_id", sa.UUID(), nullable=False),
    ]


def _secure(table: str) -> None:
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO relay_app")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_isolation ON {table} TO relay_app "
        f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"
    )
    op.execute(
        f"CREATE TRIGGER touch_updated_at BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
    )
