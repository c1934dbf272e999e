"""Alembic's entry: one connection as the schema's owner, one lock, one transaction."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

import app.models  # noqa: F401  (fills the metadata)

MIGRATION_LOCK = 7_265_617_921  # any constant: two processes that migrate at once take turns


def run() -> None:
    engine = create_engine(context.config.attributes["database_url"])
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()
    engine.dispose()


run()
