"""`relay demo`: a whole campaign on the real parts, against the simulator, with every count checked."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from app.cli.errors import CommandError
from app.cli.up import addresses, say, stop_on_signal
from app.demo.errors import DemoFailed
from app.embedded.supervisor import Platform

if TYPE_CHECKING:
    from app.demo.place import Place

INTERRUPTED = 130
PLAIN_WIDTH = 110  # of the tables, where there is no terminal to ask


def demo(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept. [default: RELAY_DATA_DIR]")] = None,
    contacts: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows of the file.")] = None,
    day_seconds: Annotated[int, typer.Option(min=1, max=3_600, help="How long a day lasts.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards, until Ctrl-C.")] = False,
) -> None:
    """Run a campaign over WhatsApp, SMS and e-mail from import to last follow-up, and check every count.

    Runs beside any installation, in <data-dir>/demo, which it empties first. Exits with 0 only if all counts agree.
    """
    began = time.monotonic()
    from app.demo import place as places  # loads the engine's client and every table: too much for the other commands
    from app.demo.run import play

    place = places.prepare(data_dir, day_seconds, say)
    platform = Platform(place.settings, say=say)
    performance = _Performance(platform.request_stop)
    with stop_on_signal(performance.interrupt):
        platform.start()
        try:
            if not platform.wait_ready():
                raise typer.Exit(INTERRUPTED)
            result = performance.run(play(place, contacts=contacts, began=began, say=say))
            if result is None:
                raise typer.Exit(INTERRUPTED)
            _tell(place, result)
            if keep:
                _tell_addresses(place)
                platform.wait()
        except DemoFailed as error:
            raise CommandError(f"{error} (logs: {place.resolved.data_dir / 'logs'})") from error
        finally:
            platform.stop()
    if not keep:
        say(f"Everything is stopped. `relay up --data-dir {place.resolved.data_dir}` opens it again.")
    if not result["ok"]:
        raise typer.Exit(1)


class _Performance:
    """Runs the story so that a signal ends it, and the platform after it."""

    def __init__(self, stop_platform: Callable[[], None]) -> None:
        self._stop_platform = stop_platform
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Called in the middle of anything, so it only notes and wakes."""
        self._interrupted = True
        self._stop_platform()
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    def run(self, story: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | None:
        """What the story returns; None when it was interrupted."""

        async def perform() -> dict[str, Any]:
            self._task = asyncio.create_task(story)
            self._loop = asyncio.get_running_loop()
            if self._interrupted:
                self._task.cancel()
            return await self._task

        try:
            return asyncio.run(perform())
        except asyncio.CancelledError:
            return None
        except DemoFailed:
            if self._interrupted:
                return None  # what it talked to was being stopped
            raise
        finally:
            self._loop = None


def _tell(place: "Place", result: dict[str, Any]) -> None:
    from app.demo import report

    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    report.show(console, result)
    earned = ", ".join(f"{amount} {currency}" for currency, amount in result["revenue"].items()) or "nothing"
    say(f"{result['contacts']:,} rows, {result['recipients']:,} recipients; earned {earned}")
    say("")
    for name, address in addresses(place.settings, place.resolved, simulator=True):
        if name in {"API docs", "Temporal UI"}:
            say(f"  {name:<14}{address}")
    say(f"  {'Report':<14}{place.report}")
    say("")
    verdict = "All counts agree" if result["ok"] else f"{len(result['differences'])} differences"
    say(f"{verdict}: simulator, database, API and contact file ({result['seconds']:.0f} s).")


def _tell_addresses(place: "Place") -> None:
    say("")
    for name, address in addresses(place.settings, place.resolved, simulator=True):
        say(f"  {name:<14}{address}")
    say("")
    say("Relay keeps running. Ctrl-C stops it.")
