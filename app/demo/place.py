"""Where the demo runs: a data directory of its own, emptied first, and ports that are free.

The demo shortens the day, and sends to everybody it knows. So it never runs on the data directory, the database or the
engine of a real installation, whatever the environment names: a campaign that waits there must not wake up in it.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.embedded import resolve
from app.embedded.datadir import DataDir, lock
from app.embedded.engine import HOST
from app.embedded.parts import ANY_ADDRESS
from app.embedded.ports import free_port, is_free
from app.embedded.processes import end_leftovers
from app.embedded.sandbox import simulator_addresses
from app.settings import REAL_DAY_SECONDS, Settings, load_settings

PARTS = ("postgres", "engine", "simulator", "api", "worker-1")
PORTS = ("api_port", "temporal_port", "temporal_ui_port", "simulator_port", "simulator_smtp_port")
# Not the user's business in a demo, so they are kept; all other settings are the demo's own.
KEPT = ("api_host", "log_level", "log_json")
# Requests at once of one page: the simulator shares two cores with everything else.
SEND_CONCURRENCY = 50


@dataclass(frozen=True, kw_only=True)
class Place:
    """`settings` are unresolved, as Platform takes them. `report` is beside the demo's own directory."""

    settings: Settings
    report: Path

    @property
    def api(self) -> str:
        return self.settings.public_url

    @property
    def simulator(self) -> str:
        return f"http://{HOST}:{self.settings.simulator_port}"

    @property
    def resolved(self) -> Settings:
        return resolve(self.settings)


def prepare(data_dir: Path | None, day_seconds: int, say: Callable[[str], None]) -> Place:
    """Choose the ports, empty the directory, and leave the settings around this process behind.

    Raises PlatformError, also when another demo runs there.
    """
    given = load_settings(data_dir=data_dir) if data_dir else load_settings()
    outer = DataDir.at(given.data_dir)
    own = DataDir.at(outer.root / "demo")
    _make(outer.root)
    _empty(own)
    ports = _free_ports(given, say)
    _leave_surroundings(own.root)
    simulator = simulator_addresses(ports["simulator_port"], ports["simulator_smtp_port"])
    api_host = ANY_ADDRESS.get(given.api_host, given.api_host)
    values: dict[str, object] = {
        "data_dir": own.root,
        "public_url": f"http://{api_host}:{ports['api_port']}",
        "day_seconds": day_seconds,
        "followup_jitter_seconds": _jitter(day_seconds),
        "send_concurrency": SEND_CONCURRENCY,
        **ports,
        **{name: getattr(given, name) for name in KEPT},
        **{f"{provider}_base_url": address for provider, address in simulator.items()},
    }
    settings = load_settings(sends=True, **values)
    return Place(settings=settings, report=outer.root / "demo-report.json")


def _jitter(day_seconds: int) -> float:
    """The setting is in seconds of a full day and at most an hour of it."""
    return min(3_600.0, REAL_DAY_SECONDS / day_seconds)


def _make(root: Path) -> None:
    """As a supervisor would: closed to others, but as root the database's own user passes through."""
    if not root.exists():
        DataDir.at(root / "demo").make()
        root.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _empty(data: DataDir) -> None:
    """Begin anew: what an interrupted demo left would be sent on, and counted."""
    with lock(data):
        end_leftovers(data, PARTS)
        for path in data.root.iterdir():
            if path.is_dir() and path != data.run:
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()


def _free_ports(given: Settings, say: Callable[[str], None]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name in PORTS:
        port = wanted = getattr(given, name)
        host = given.api_host if name == "api_port" else HOST
        while port in chosen.values() or not is_free(host, port):
            port = free_port(host)
        if port != wanted:
            say(f"Port {wanted} is busy: {name.removesuffix('_port').replace('_', ' ')} takes {port}")
        chosen[name] = port
    return chosen


def _leave_surroundings(root: Path) -> None:
    """Child processes read the environment and the `.env` of their directory: neither may hold the user's settings."""
    code = str(Path(__file__).parents[2])
    for name in [name for name in os.environ if name.upper().startswith("RELAY_")]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (code, os.environ.get("PYTHONPATH", ""))))
    os.chdir(root)
