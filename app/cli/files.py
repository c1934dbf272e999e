"""Files to and from the API of a running Relay: imports that are followed to their end, exports that are streamed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.errors import CommandError
from app.cli.remote import call, connected, download, local_url
from app.cli.tenant import find_tenant, in_transaction
from app.models import Role
from app.services import api_keys
from app.settings import load_settings

PIECE = 1 << 20
POLL_SECONDS = 0.25
LINE_SECONDS = 2.0  # where there is no terminal, a line this often
KEY_LIFE = timedelta(hours=12)
OPEN = {"pending", "running"}

FileToRead = Annotated[Path, typer.Argument(help="CSV or JSON.", exists=True, dir_okay=False, readable=True)]
FileToWrite = Annotated[Path, typer.Argument(help="CSV, written anew.", dir_okay=False, writable=True)]
Key = Annotated[str, typer.Option("--api-key", envvar="RELAY_API_KEY", help="An API key (rk_…).")]
OfTenant = Annotated[
    str, typer.Option(help="Slug or id. Without an API key one is made for this command, on the API's own machine.")
]
Url = Annotated[str, typer.Option(envvar="RELAY_URL", help="Address of the API; this machine's if absent.")]
Region = Annotated[str, typer.Option(help="Two letters such as PT: the country of numbers without one.")]


@contextmanager
def client(api_key: str, tenant: str, url: str) -> Iterator[httpx.Client]:
    """A client of the API, with the key given or one that lasts for this block."""
    settings = load_settings()
    if not api_key and not tenant:
        raise CommandError("give an API key (RELAY_API_KEY or --api-key), or the --tenant on the API's own machine")
    with _key(api_key, tenant) as key, connected(url or local_url(settings), key, tenant) as found:
        yield found


def import_through(opened: httpx.Client, path: str, file: Path, options: dict[str, str], *, quiet: bool) -> None:
    """Send the file to `path`, wait for the end, and say what became of the rows."""
    accepted = call(
        opened,
        "POST",
        path,
        content=_pieces(file),
        params={name: value for name, value in options.items() if value},
        headers={"content-type": _media_type(file), "content-length": str(file.stat().st_size)},
    )
    done = _follow(opened, accepted["import_id"], quiet=quiet)
    _show(done, quiet)
    if done["status"] == "failed":
        raise CommandError(f"the import failed: {done['error']}")


def export_through(opened: httpx.Client, path: str, file: Path) -> None:
    """Write what `path` answers into the file; a file that was begun and not finished does not stay."""
    begun = file.with_name(f".{file.name}.part")
    try:
        with begun.open("wb") as target:
            size = sum(target.write(piece) for piece in download(opened, path))
        begun.replace(file)
    finally:
        begun.unlink(missing_ok=True)
    typer.echo(f"{size:,} bytes in {file}")


def _media_type(file: Path) -> str:
    return "application/json" if file.suffix.lower() == ".json" else "text/csv"


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


@contextmanager
def _key(api_key: str, tenant: str) -> Iterator[str]:
    """The key given, else one of the tenant that lasts for this block."""
    if api_key:
        yield api_key
        return

    async def make(session: AsyncSession) -> tuple[UUID, str, str]:
        owner = await find_tenant(session, tenant)
        row, key = await api_keys.create(
            session, owner.id, name="relay command", role=Role.MANAGER, expires_at=datetime.now(UTC) + KEY_LIFE
        )
        return owner.id, row.prefix, key

    tenant_id, prefix, key = in_transaction(make)
    try:
        yield key
    finally:
        in_transaction(lambda session: api_keys.revoke(session, tenant_id, prefix))


def _follow(client: httpx.Client, import_id: str, *, quiet: bool) -> dict[str, Any]:
    """Wait for the end of the import, with a bar on a terminal and plain lines elsewhere."""
    with _reporter(quiet) as report:
        while True:
            found = call(client, "GET", f"/v1/contacts/imports/{import_id}")
            report(found)
            if found["status"] not in OPEN:
                return found
            time.sleep(POLL_SECONDS)


@contextmanager
def _reporter(quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Something to call with each answer about the import."""
    console = Console()
    if quiet:
        yield lambda found: None
    elif console.is_terminal:
        columns = (TextColumn("Importing"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"))
        with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
            task = bar.add_task("", rows=0)
            yield lambda found: bar.update(
                task, total=found["size_bytes"], completed=found["read_bytes"], rows=found["counts"]["rows"]
            )
    else:
        yield _line_now_and_then()


def _line_now_and_then() -> Callable[[dict[str, Any]], None]:
    next_at = 0.0

    def report(found: dict[str, Any]) -> None:
        nonlocal next_at
        if found["status"] in OPEN and time.monotonic() >= next_at:
            next_at = time.monotonic() + LINE_SECONDS
            share = found["read_bytes"] / max(found["size_bytes"], 1)
            typer.echo(f"{found['status']}: {found['counts']['rows']:,} rows, {share:.0%} of the file")

    return report


def _show(done: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(done).decode())
        return
    counts = done["counts"]
    typer.echo(f"{done['status']}: " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
    if done["first_rejected"]:
        table = Table("Row", "Field", "Why it was rejected")
        for row in done["first_rejected"]:
            table.add_row(str(row["row"]), escape(row["field"]), escape(row["reason"]))
        Console().print(table)
    typer.echo(f"The verdict on every row: GET {done['verdicts_url']}")
