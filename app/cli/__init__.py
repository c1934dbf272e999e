"""The `relay` command. A command is a plain function in a module of its own; this one lists them."""

import sys

import typer

from app.cli.campaign import campaign
from app.cli.contacts import contacts
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.errors import CommandError
from app.cli.migrate import migrate
from app.cli.serve import api, worker
from app.cli.suppressions import suppressions
from app.cli.tenant import tenant
from app.cli.up import up
from app.embedded.errors import PlatformError

__all__ = ["CommandError", "app", "main"]

app = typer.Typer(
    name="relay",
    help="Relay: omni-channel messaging and revenue engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(demo)
app.command()(migrate)
app.command()(api)
app.command()(worker)
app.command()(doctor)
app.add_typer(tenant)
app.add_typer(contacts)
app.add_typer(suppressions)
app.add_typer(campaign)


def main() -> None:
    """Run the command line. An expected failure is one line on standard error and exit code 1."""
    try:
        app()
    except (CommandError, PlatformError) as error:
        typer.echo(f"relay: {error}", err=True)
        sys.exit(1)
