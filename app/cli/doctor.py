"""`relay doctor`: what Relay needs on this machine, what is missing, and how to mend it."""

import typer
from rich.console import Console
from rich.text import Text

from app.cli.checks import Finding, data_directory, database, engine, packages, ports
from app.settings import load_settings


def doctor() -> None:
    """Check versions, ports, data directory, keys, database and engine. Exits with 1 when anything fails."""
    settings = load_settings()
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    for check in (packages, data_directory, ports, database, engine):
        for finding in check(settings):
            console.print(_line(finding))
            failed += not finding.ok
    if failed:
        console.print(f"\n{failed} to mend.")
        raise typer.Exit(1)
    console.print("\nAll is well.")


def _line(finding: Finding) -> Text:
    mark = Text("ok    ", style="green") if finding.ok else Text("FAIL  ", style="bold red")
    mend = "" if finding.ok else f"\n      mend: {finding.mend}"
    return mark.append(f"{finding.name}: {finding.detail}{mend}", style="default")
