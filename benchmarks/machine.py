"""What the numbers were measured on, and with which promises of durability."""

import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from app.embedded.datadir import DataDir
from app.embedded.engine import engine_part, temporal_program
from app.embedded.postgres import SERVER_SETTINGS, programs

FSYNCS = 200
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_compression", "shared_buffers")
PACKAGES = ("temporalio", "fastapi", "uvicorn", "aiohttp", "psycopg", "sqlalchemy", "uvloop")


def describe(directory: Path) -> dict[str, Any]:
    temporary = Path(tempfile.gettempdir())
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "ram_gb": round(psutil.virtual_memory().total / 1024**3, 1),
        "os": f"{platform.system()} {platform.release().partition('-')[0]}",
        "filesystem": _filesystem(temporary),
        "fsync_ms": _fsync_milliseconds(temporary),
        "python": platform.python_version(),
        "postgresql": _first_line([str(programs() / "bin" / "postgres"), "--version"]),
        "temporal": _first_line([temporal_program(), "--version"]),
        "packages": {name: version(name) for name in PACKAGES},
        "postgresql_settings": {name: SERVER_SETTINGS[name] for name in DURABILITY},
        "engine_pragmas": _engine_pragmas(directory),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _filesystem(directory: Path) -> str:
    """Type of the file system that `directory` is on."""
    places = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    return max(places, key=lambda part: len(part.mountpoint)).fstype if places else "?"


def _fsync_milliseconds(directory: Path) -> dict[str, float]:
    """What one small durable write takes: every commit waits for one."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 512)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1_000)
    return {"median": round(median(took), 3), "max": round(max(took), 3)}


def _first_line(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]


def _engine_pragmas(directory: Path) -> list[str]:
    """As the engine is started with."""
    words = list(engine_part(DataDir.at(directory), 1, 2, "relay").command())
    return [words[at + 1] for at, word in enumerate(words) if word == "--sqlite-pragma"]


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return found.stdout.strip() or "?"
