"""What the platform consists of, in the order it starts."""

import http.client
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import OperationalError

from app.embedded import resolve_database_url
from app.embedded.datadir import DataDir
from app.embedded.engine import engine_part
from app.embedded.errors import PlatformError
from app.embedded.postgres import postgres_part
from app.embedded.processes import Part, nothing
from app.embedded.sandbox import child_environment
from app.settings import Settings

LOOPBACK = "127.0.0.1"
ANY_ADDRESS = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something done once between the starts of two parts. `run` raises PlatformError."""

    name: str
    run: Callable[[], None]


def platform_parts(settings: Settings, *, workers: int, simulator: bool) -> list[Part | Step]:
    """PostgreSQL, schema, engine, simulator, API, workers; without what the settings place elsewhere."""
    data = DataDir.at(settings.data_dir)
    environment = child_environment(settings, simulator=simulator)
    parts: list[Part | Step] = []
    if settings.database_url is None:
        parts.append(postgres_part(data))
    parts.append(Step(name="schema", run=lambda: migrate(resolve_database_url(settings))))
    if settings.temporal_address is None:
        parts.append(engine_part(data, settings.temporal_port, settings.temporal_ui_port, settings.temporal_namespace))
    if simulator:
        parts.append(_simulator(data, environment, settings.simulator_port, settings.simulator_smtp_port))
    parts.append(_api(environment, settings))
    parts.extend(_worker(data, environment, settings, number) for number in range(1, workers + 1))
    return parts


def migrate(database_url: str) -> None:
    """Bring the schema up to date. Raises PlatformError when the database cannot be reached."""
    from app.migrations.runner import upgrade  # alembic and every model: only where the schema is touched

    try:
        upgrade(database_url)
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise PlatformError(f"the database does not answer ({reason}): check RELAY_DATABASE_URL") from error
    except ValueError as error:
        raise PlatformError(f"RELAY_DATABASE_URL: {error}") from error


def _simulator(data: DataDir, environment: dict[str, str], port: int, smtp_port: int) -> Part:
    return Part(
        name="simulator",
        command=lambda: [
            *(sys.executable, "-m", "app.simulator", "--host", LOOPBACK),
            *("--port", str(port), "--smtp-port", str(smtp_port), "--state-dir", str(data.simulator)),
        ],
        environment=environment,
        ready=lambda: is_healthy(LOOPBACK, port),
        ports={"RELAY_SIMULATOR_PORT": (LOOPBACK, port), "RELAY_SIMULATOR_SMTP_PORT": (LOOPBACK, smtp_port)},
    )


def _api(environment: dict[str, str], settings: Settings) -> Part:
    host, port = settings.api_host, settings.api_port
    return Part(
        name="api",
        command=lambda: [sys.executable, "-m", "app.cli", "api"],
        environment=environment,
        ready=lambda: is_healthy(ANY_ADDRESS.get(host, host), port),
        ports={"RELAY_API_PORT": (host, port)},
    )


def _worker(data: DataDir, environment: dict[str, str], settings: Settings, number: int) -> Part:
    name = f"worker-{number}"
    marker = data.ready_file(name)
    return Part(
        name=name,
        command=lambda: [sys.executable, "-m", "app.cli", "worker"],
        environment={**environment, "RELAY_READY_FILE": str(marker)},
        prepare=lambda: marker.unlink(missing_ok=True),
        ready=marker.exists,
        settle=nothing,
        # It finishes the requests in flight first; five seconds more are for handing the rest back.
        stop=((signal.SIGTERM, settings.drain_seconds + 5), (signal.SIGKILL, 5)),
        group="worker",
    )


def is_healthy(host: str, port: int, path: str = "/health") -> bool:
    """Whether `GET /health` answers 200. Goes straight to the address, whatever proxy the environment names."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
