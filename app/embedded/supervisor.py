"""Starts the parts in order, keeps them running, stops them in reverse."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from loguru import logger

from app.embedded import require_master_keys, resolve
from app.embedded.datadir import DataDir, lock
from app.embedded.errors import PlatformError
from app.embedded.parts import Step, platform_parts
from app.embedded.ports import require_free
from app.embedded.processes import POLL_SECONDS, Part, PartProcess, end_leftovers, rotate, stop_together
from app.settings import Settings

WATCH_SECONDS = 0.2
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.5, 30.0
GOOD_RUN_SECONDS = 60.0
ROTATE_SECONDS = 60.0


class _StopRequested(Exception):
    """Leaves the start when the stop comes first."""


class _Supervised:
    """A part, and how its restarts are going."""

    def __init__(self, process: PartProcess) -> None:
        self.process, self.name = process, process.part.name
        self.up = False
        self.failures = 0
        self.start_at = 0.0


class Platform:
    """All parts of Relay on this machine, run by one thread of this process.

    `settings` are the ones read from the environment, not resolved ones: what they leave out is embedded. `parts`
    replaces the usual ones. `say` gets one line per thing worth telling, from that thread.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        simulator: bool = True,
        parts: Sequence[Part | Step] | None = None,
        say: Callable[[str], None] = logger.info,
    ) -> None:
        self.settings = resolve(settings)
        if parts is None:
            require_master_keys(self.settings)
            parts = platform_parts(settings, workers=workers, simulator=simulator)
        self._parts, self._say = list(parts), say
        self._data = DataDir.at(settings.data_dir)
        self._supervised: list[_Supervised] = []
        self._stop_requests = 0
        self._ready, self._settled, self._over = threading.Event(), threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._rotate_at = 0.0
        # One thread starts every process and lives as long as they do: the kernel ends them when it dies.
        self._thread = threading.Thread(target=self._run, name="relay-supervisor", daemon=True)

    def start(self) -> None:
        """Begin to start the parts; `wait_ready` tells how it went."""
        self._thread.start()

    def wait_ready(self) -> bool:
        """Wait until every part answers; False when a stop came first. Raises PlatformError, with nothing left."""
        self._settled.wait()
        if self._failure is not None:
            self._over.wait()
            raise self._failure
        return self._ready.is_set()

    def wait(self) -> None:
        """Wait until everything is stopped."""
        self._over.wait()
        if self._failure is not None:
            raise self._failure

    def request_stop(self) -> None:
        """Ask for the stop and return at once. Asking again hurries: parts are no longer waited for.

        Only counts, so a signal handler may call it in the middle of anything.
        """
        self._stop_requests += 1

    def stop(self) -> None:
        """Stop every part in reverse order and wait for it. Stopping twice has no further effect."""
        self._stop_requests = max(self._stop_requests, 1)
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> "Platform":
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with lock(self._data):
                try:
                    self._start_all()
                    self._ready.set()
                    self._settled.set()
                    while not self._stop_requests:
                        self._tend()
                        time.sleep(WATCH_SECONDS)
                except _StopRequested:
                    pass
                finally:
                    self._stop_all()
        except BaseException as error:  # raised again in the caller's thread
            self._failure = error
        finally:
            self._settled.set()
            self._over.set()

    def _start_all(self) -> None:
        parts = [part for part in self._parts if isinstance(part, Part)]
        end_leftovers(self._data, [part.name for part in parts])
        require_free({setting: address for part in parts for setting, address in part.ports.items()})
        for item in self._parts:
            self._stop_if_asked()
            started_at = time.monotonic()
            if isinstance(item, Part):
                self._start(item)
            else:
                item.run()
            self._say(f"{item.name} is ready ({time.monotonic() - started_at:.1f} s)")

    def _start(self, part: Part) -> None:
        supervised = _Supervised(PartProcess(part, self._data))
        self._supervised.append(supervised)
        for attempt in range(1, part.attempts + 1):
            supervised.process.spawn()
            try:
                supervised.process.wait_ready(self._pause)
                break
            except PlatformError:
                if attempt == part.attempts:
                    raise
                stop_together([supervised.process], self._hurried)
        part.settle()
        supervised.up = True

    def _pause(self) -> None:
        self._stop_if_asked()
        self._tend()
        time.sleep(POLL_SECONDS)

    def _hurried(self) -> bool:
        return self._stop_requests > 1

    def _stop_if_asked(self) -> None:
        if self._stop_requests:
            raise _StopRequested

    def _tend(self) -> None:
        """Start again what died, when its time has come."""
        now = time.monotonic()
        for supervised in self._supervised:
            if not supervised.up:
                continue
            process = supervised.process
            if process.process is not None and not process.running:
                if now - process.spawned_at >= GOOD_RUN_SECONDS:
                    supervised.failures = 0
                how = process.how_it_ended()
                process.forget()
                self._plan_restart(supervised, f"ended ({how})")
            elif process.process is None and now >= supervised.start_at:
                try:
                    process.spawn()
                except PlatformError as error:
                    self._plan_restart(supervised, f"did not start ({error})")
        if now >= self._rotate_at:
            self._rotate_at = now + ROTATE_SECONDS
            for supervised in self._supervised:
                rotate(self._data.log(supervised.name))

    def _plan_restart(self, supervised: _Supervised, what: str) -> None:
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(supervised.failures, 10))
        supervised.failures += 1
        supervised.start_at = time.monotonic() + delay
        self._say(f"{supervised.name} {what}; starting it again in {delay:g} s, see {self._data.log(supervised.name)}")

    def _stop_all(self) -> None:
        """In reverse order, each part gone before the one it leans on is stopped."""
        last_first = reversed(self._supervised)
        for group, members in itertools.groupby(last_first, key=lambda one: one.process.part.group or one.name):
            processes = [member.process for member in members]
            running = any(process.process is not None for process in processes)
            stop_together(processes, self._hurried)
            if running:
                self._say(f"{group} is stopped")
