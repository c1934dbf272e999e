"""Child processes: started in a session of their own, tied to the life of their starter, stopped step by step."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError

PR_SET_PDEATHSIG = 1
LARGEST_LOG_BYTES = 20_000_000
PART_VARIABLE = "RELAY_PART"
POLL_SECONDS = 0.05

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def nothing() -> None:
    """The default of a hook that has nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process of the platform.

    `prepare` runs before every start of the process, `ready` answers whether it does its work, and `settle` runs
    once after the first time it does. `stop` lists signals, each with the seconds to wait for the end before the
    next one; the last one is SIGKILL. Parts of one `group` are stopped together. A first start that fails is tried
    `attempts` times. `ports` are the addresses it listens on, by the setting that moves each.
    """

    name: str
    command: Callable[[], Sequence[str]]
    ready: Callable[[], bool]
    environment: Mapping[str, str]
    prepare: Callable[[], None] = nothing
    settle: Callable[[], None] = nothing
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 15), (signal.SIGKILL, 5))
    orphan_signal: signal.Signals = signal.SIGTERM
    account: Callable[[], pwd.struct_passwd | None] = lambda: None
    ready_seconds: float = 60
    attempts: int = 1
    group: str = ""
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class PartProcess:
    """A part together with the process that runs it now. The pid file exists exactly while it runs.

    The process dies with the *thread* that called `spawn` (that is how the kernel ties it to its starter), so
    spawn from a thread that lives as long as the part should.
    """

    def __init__(self, part: Part, data: DataDir) -> None:
        self.part, self.data = part, data
        self.process: subprocess.Popen[bytes] | None = None
        self.spawned_at = 0.0

    def spawn(self) -> None:
        """Start the process. Raises PlatformError when its program cannot be run."""
        self.part.prepare()
        account = self.part.account()
        log = self.data.log(self.part.name)
        rotate(log)
        command = list(self.part.command())
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**self.part.environment, **identity(self.data, self.part.name)},
                    start_new_session=True,  # Ctrl-C on the terminal reaches only the supervisor
                    preexec_fn=_die_with_starter(self.part.orphan_signal),
                    user=account.pw_uid if account else None,
                    group=account.pw_gid if account else None,
                    extra_groups=[] if account else None,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise PlatformError(f"{self.part.name} cannot be started: {command[0]}: {error}") from error
        self.spawned_at = time.monotonic()
        self.data.pid_file(self.part.name).write_text(f"{self.process.pid}\n")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def how_it_ended(self) -> str:
        """`exit code 1`, `killed by SIGKILL`."""
        code = self.process.poll() if self.process else None
        if code is None:
            return "still running"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def wait_ready(self, pause: Callable[[], None] = lambda: time.sleep(POLL_SECONDS)) -> None:
        """Wait until the part does its work, calling `pause` in between. Raises PlatformError with its last words."""
        deadline = time.monotonic() + self.part.ready_seconds
        while True:
            if not self.running:
                raise PlatformError(f"{self.part.name} ended while starting ({self.how_it_ended()}){self.last_words()}")
            if self.part.ready():
                return
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{self.part.name} did not answer within {self.part.ready_seconds:.0f} s{self.last_words()}"
                )
            pause()

    def last_words(self) -> str:
        """The telling line of the log, and where the rest is."""
        log = self.data.log(self.part.name)
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith("relay:") or "FATAL" in line or "rror:" in line]
        words = (telling or lines or [""])[-1]
        return f": {words[:300]} (log: {log})" if words else f" (log: {log})"

    def forget(self) -> None:
        """The process has ended: take away its pid file."""
        self.process = None
        self.data.pid_file(self.part.name).unlink(missing_ok=True)


def stop_together(processes: Iterable[PartProcess], hurry: Callable[[], bool] = lambda: False) -> None:
    """Stop several parts at once, each by its own signals; once `hurry()` the polite one is not waited for."""
    waiting = [process for process in processes if process.process is not None]
    steps = {id(process): 0 for process in waiting}
    deadlines = {id(process): 0.0 for process in waiting}
    hurried: set[int] = set()
    while waiting:
        for process in waiting:
            key, running = id(process), process.process
            rushed = hurry() and key not in hurried
            if running is None or running.poll() is not None:
                continue
            if steps[key] < len(process.part.stop) and (rushed or time.monotonic() >= deadlines[key]):
                if rushed:
                    hurried.add(key)
                    steps[key] = max(steps[key], 1)  # past the polite signal
                number, patience = process.part.stop[steps[key]]
                _signal(running, number)
                steps[key] += 1
                deadlines[key] = time.monotonic() + patience
        for process in waiting:
            if not process.running:
                process.forget()
        waiting = [process for process in waiting if process.process is not None]
        if waiting:
            time.sleep(POLL_SECONDS)


def end_leftovers(data: DataDir, parts: Iterable[str], patience: float = 30) -> None:
    """End processes that an earlier supervisor of this data directory left behind when it was killed.

    Only for the holder of the data directory: it knows that no living supervisor owns them.
    """
    names = set(parts)
    # Where the kernel told them to stop when it died, they are at it already and a second signal would hurry them.
    first = None if _libc is not None else signal.SIGTERM
    end_processes(
        lambda process: any(
            all(process.environ().get(name) == value for name, value in identity(data, part).items()) for part in names
        ),
        ((first, patience), (signal.SIGTERM, 5), (signal.SIGKILL, 5)),
    )
    for part in names:
        data.pid_file(part).unlink(missing_ok=True)


def end_processes(mine: Callable[[psutil.Process], bool], steps: Iterable[tuple[signal.Signals | None, float]]) -> None:
    """End every process for which `mine` is true: per step a signal (None: only wait) and the seconds to wait."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and mine(process):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue  # another user's, or gone: not one of ours
    for number, patience in steps:
        if not found:
            return
        if number is not None:
            for process in found:
                try:
                    process.send_signal(number)
                except psutil.NoSuchProcess:
                    continue
        _, found = psutil.wait_procs(found, timeout=patience)


def identity(data: DataDir, part: str) -> dict[str, str]:
    """What marks a process as this part of this data directory."""
    return {"RELAY_DATA_DIR": str(data.root), PART_VARIABLE: part}


def plain_environment() -> dict[str, str]:
    """The environment without Relay's secrets and without libpq's defaults, for parts that need neither."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "PG"))}


def rotate(log: Path) -> None:
    """Keep the log and one older file of at most about LARGEST_LOG_BYTES each.

    The writer keeps its descriptor (it appends), so the file is emptied in place; what it writes in the instant
    between the copy and the emptying is lost.
    """
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def _die_with_starter(number: signal.Signals) -> Callable[[], None]:
    starter = os.getpid()

    def before_exec() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != starter:  # it died before the kernel was told
            os._exit(1)

    return before_exec


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """SIGKILL goes to the whole group, so that nothing the part started stays; the others are the part's to pass on."""
    if number != signal.SIGKILL:
        process.send_signal(number)
    elif process.poll() is None:  # not reaped yet, so the group is still this one
        os.killpg(process.pid, number)
