"""`relay migrate`: the schema, brought up to date or extended."""

from typing import Annotated

import typer

from app.embedded import database
from app.embedded.parts import migrate as upgrade
from app.migrations import runner
from app.settings import load_settings


def migrate(
    message: Annotated[
        str, typer.Option(help="Write a new migration with this title, from what the models have and the schema lacks.")
    ] = "",
) -> None:
    """Bring the schema up to date. Starts the embedded database for the duration when it is not running."""
    with database(load_settings()) as url:
        upgrade(url)
        if message:
            typer.echo(runner.new_revision(url, message))
        else:
            typer.echo(f"The schema is up to date ({runner.head() or 'no migrations'}).")
