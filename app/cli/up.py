"""`relay up`: the whole platform in the foreground."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from sqlalchemy import make_url

from app.embedded import resolve_database_url
from app.embedded.parts import ANY_ADDRESS
from app.embedded.sandbox import platform_settings
from app.embedded.supervisor import Platform
from app.settings import Settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept. [default: RELAY_DATA_DIR]")] = None,
    workers: Annotated[int, typer.Option(min=0, max=32, help="How many worker processes.")] = 1,
    simulator: Annotated[bool, typer.Option(help="Run the provider sandbox and send to it.")] = True,
) -> None:
    """Start PostgreSQL, Temporal, the simulator, the API and the workers; run them until Ctrl-C."""
    settings = platform_settings(simulator=simulator, data_dir=data_dir)
    platform = Platform(settings, workers=workers, simulator=simulator, say=say)
    with stop_on_signal(platform.request_stop):
        platform.start()
        try:
            if platform.wait_ready():
                say("")
                for name, address in addresses(settings, platform.settings, simulator=simulator):
                    say(f"  {name:<14}{address}")
                say("")
                say("Relay is running. Ctrl-C stops it.")
            platform.wait()
        finally:
            platform.stop()


def addresses(settings: Settings, resolved: Settings, *, simulator: bool) -> list[tuple[str, str]]:
    """Where everything answers, by name; the database without its password."""
    host = ANY_ADDRESS.get(settings.api_host, settings.api_host)
    api = f"http://{host}:{settings.api_port}"
    database = resolve_database_url(resolved)
    if settings.database_url is not None:
        database = make_url(database).render_as_string(hide_password=True)
    found = [("API", api), ("API docs", f"{api}/docs"), ("Temporal UI", settings.temporal_ui_url)]
    if simulator:
        found.append(("Simulator", f"http://127.0.0.1:{settings.simulator_port}"))
        found.append(("Its mail", f"smtp://127.0.0.1:{settings.simulator_smtp_port}"))
    found += [
        ("Temporal", resolved.temporal_target),
        ("Database", database),
        ("Data", str(resolved.data_dir)),
        ("Logs", str(resolved.data_dir / "logs")),
    ]
    return found


def say(line: str) -> None:
    """Print one line. With the terminal or pipe gone nobody listens, and the parts still have to be stopped."""
    try:
        typer.echo(line)
    except OSError:
        return


@contextmanager
def stop_on_signal(request_stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask for the stop instead of ending this process."""

    def asked(number: int, _: FrameType | None) -> None:
        request_stop()

    before = {number: signal.signal(number, asked) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
