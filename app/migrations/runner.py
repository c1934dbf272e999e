"""Alembic, called from code: no ini file, the address comes from the caller."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from app.db import sqlalchemy_url

HERE = Path(__file__).parent


def config(database_url: str) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(HERE))
    settings.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    settings.attributes["database_url"] = sqlalchemy_url(database_url)
    return settings


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`. Safe to call at every start and from several processes at once."""
    command.upgrade(config(database_url), revision)


def new_revision(database_url: str, message: str) -> str:
    """Write a migration from the difference between models and database; the path of the new file."""
    script = command.revision(config(database_url), message=message, autogenerate=True)
    assert script is not None
    return str(script[0].path if isinstance(script, list) and script[0] else script.path)  # type: ignore[union-attr]


def head() -> str:
    """The newest revision in the code."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(HERE)).get_current_head() or ""
