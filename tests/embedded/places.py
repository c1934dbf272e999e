"""Data directories and tiny parts for the tests of the embedded platform."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.embedded.datadir import DataDir
from app.embedded.postgres import _cluster
from app.embedded.processes import Part, plain_environment
from app.settings import Settings

RUN_UNTIL_STOPPED = "import signal; signal.pause()"


@contextmanager
def data_directory() -> Iterator[DataDir]:
    """Short enough for a unix socket, and outside pytest's directories, which other runs close to other users."""
    with tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as path:
        yield DataDir.at(Path(path) / "data")


def settings_in(data: DataDir) -> Settings:
    return Settings(_env_file=None, data_dir=data.root)


def tiny_part(data: DataDir, name: str, code: str = RUN_UNTIL_STOPPED, **changes: object) -> Part:
    """A child that marks itself as ready and then runs `code`."""
    marker = data.ready_file(name)
    program = f"import os, pathlib; pathlib.Path(os.environ['MARKER']).touch()\n{code}"
    values: dict[str, object] = {
        "name": name,
        "command": lambda: [sys.executable, "-I", "-S", "-c", program],
        "environment": {**plain_environment(), "MARKER": str(marker)},
        "prepare": lambda: marker.unlink(missing_ok=True),
        "ready": marker.exists,
    }
    return Part(**(values | changes))  # type: ignore[arg-type]


def processes_of(data: DataDir) -> list[str]:
    """Every living process that belongs to this data directory, as its command line."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _cluster(data) in " ".join(words) or process.environ().get("RELAY_DATA_DIR") == str(data.root):
                found.append(" ".join(words))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
