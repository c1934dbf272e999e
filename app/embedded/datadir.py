"""The data directory: where each part keeps its files, and the lock that gives it to one supervisor at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import PlatformError


@dataclass(frozen=True)
class DataDir:
    """The paths below an absolute `root`. Nothing exists before `make()`."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> "DataDir":
        return cls(path.expanduser().resolve())

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def engine(self) -> Path:
        return self.root / "engine"

    @property
    def simulator(self) -> Path:
        return self.root / "simulator"

    @property
    def keys(self) -> Path:
        return self.root / "master.keys"

    def pid_file(self, part: str) -> Path:
        return self.run / f"{part}.pid"

    def ready_file(self, part: str) -> Path:
        return self.run / f"{part}.ready"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def make(self) -> None:
        """Create what is missing, closed to other users. Raises PlatformError when it cannot be written."""
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True)
                # Others may pass through, not look: as root the database server runs as a user of its own below it.
                self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for directory in (self.run, self.logs, self.engine, self.simulator):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise PlatformError(
                f"the data directory {self.root} cannot be written ({error.strerror}): "
                "set RELAY_DATA_DIR to one of this user"
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise PlatformError(
                f"the data directory {self.root} belongs to another user: set RELAY_DATA_DIR to one of this user"
            )


class DataDirInUse(PlatformError):
    def __init__(self, root: Path, pid: int) -> None:
        super().__init__(
            f"{root} is in use by process {pid or '?'}: stop that one first, "
            "or choose another directory with --data-dir or RELAY_DATA_DIR"
        )
        self.pid = pid


@contextmanager
def lock(data: DataDir) -> Iterator[None]:
    """Hold the data directory. Raises DataDirInUse at once when another process (or caller) holds it.

    The kernel lets go of the lock when its holder dies, however it dies, so a stale file never blocks a start.
    """
    data.make()
    path = data.run / "lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise PlatformError(f"{path} cannot be opened ({error.strerror}): set RELAY_DATA_DIR to another") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise DataDirInUse(data.root, int(holder) if holder.isdigit() else 0) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
