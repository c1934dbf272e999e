"""The parts a trial runs against, each a process of its own in a directory of its own."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from temporalio.client import Client

from app import temporal
from app.db import Sessions, create_engine
from app.embedded import resolve
from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.embedded.parts import LOOPBACK, Step, is_healthy, platform_parts
from app.embedded.ports import free_port
from app.embedded.processes import Part, PartProcess, stop_together
from app.embedded.sandbox import child_environment
from app.settings import Settings
from benchmarks import meters
from benchmarks.meters import SAMPLE_SECONDS, Sampler, Window
from benchmarks.stub import StubClient

REPOSITORY = Path(__file__).parent.parent
POOL_SIZE = 16  # of the trial's own connections


class WrongCount(Exception):
    """What was counted is not what had to come out: whatever was measured, it was something else."""


@dataclass
class Platform:
    """What a trial is given. `pids` has the root process of each part, the one that measures as `bench`. `watching`
    never ends, unless a part does: then it raises PlatformError."""

    settings: Settings
    sessions: Sessions
    pids: Mapping[str, int]
    sampler: Sampler
    watching: asyncio.Task[None]
    _client: Client | None = None
    _stub: StubClient | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "the trial needs the engine"
        return self._client

    @property
    def stub(self) -> StubClient:
        assert self._stub is not None, "the trial needs the stub"
        return self._stub

    @property
    def database_url(self) -> str:
        assert self.settings.database_url is not None, "settings are resolved"
        return self.settings.database_url.get_secret_value()

    def window(self) -> AbstractContextManager[Window]:
        """Measures the clock and the processor time of each part inside of it."""
        return meters.window(self.pids)

    def progress(self, name: str, count: float) -> None:
        """How many there are by now, for the plot."""
        self.sampler.note(name, count)

    def require(self, met: bool, words: str) -> None:
        """Raises WrongCount unless `met`."""
        if not met:
            raise WrongCount(f"not so: {words}")


@asynccontextmanager
async def platform(*, needs: frozenset[str], workers: int, settings: Mapping[str, Any]) -> AsyncIterator[Platform]:
    """Everything started and connected; stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        chosen = _settings(Path(name), settings)
        with _started(chosen, needs, workers) as running:
            pids = {it.part.name: it.process.pid for it in running if it.process is not None} | {"bench": os.getpid()}
            resolved = resolve(chosen)
            assert resolved.database_url is not None, "settings are resolved"
            engine = create_engine(resolved.database_url.get_secret_value(), POOL_SIZE)
            sampler = Sampler(pids)
            watching = asyncio.create_task(_watch(sampler, running))
            try:
                yield Platform(
                    settings=resolved,
                    sessions=Sessions(engine),
                    pids=pids,
                    sampler=sampler,
                    watching=watching,
                    _client=await temporal.connect(resolved) if "engine" in needs else None,
                    _stub=StubClient(resolved.whatsapp_cloud_base_url) if "stub" in needs else None,
                )
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError, PlatformError):
                    await watching
                await engine.dispose()


async def _watch(sampler: Sampler, running: Sequence[PartProcess]) -> None:
    while True:
        for process in running:
            if not process.running:
                raise PlatformError(f"{process.part.name} ended ({process.how_it_ended()}){process.last_words()}")
        await sampler.sample()
        await asyncio.sleep(SAMPLE_SECONDS)


class GivenSettings(Settings):
    """Only what it is given: neither the environment nor a `.env` may lead a trial to somebody's database."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _settings(directory: Path, changes: Mapping[str, Any]) -> Settings:
    ports = {name: free_port() for name in ("api_port", "temporal_port", "temporal_ui_port")}
    return GivenSettings(
        **{
            "data_dir": directory / "data",
            "whatsapp_cloud_base_url": f"http://{LOOPBACK}:{free_port()}",
            "log_level": "WARNING",
            **ports,
            **changes,
        },
    )


@contextmanager
def _started(settings: Settings, needs: frozenset[str], workers: int) -> Iterator[list[PartProcess]]:
    """The parts that are needed, in order."""
    data = DataDir.at(settings.data_dir)
    data.make()
    resolved = resolve(settings)
    running: list[PartProcess] = []
    try:
        for part in _parts(settings, needs, workers):
            if isinstance(part, Step):
                part.run()
                continue
            process = PartProcess(replace(part, environment=_environment(part, resolved)), data)
            process.spawn()
            running.append(process)
            process.wait_ready()
            part.settle()
        yield running
    finally:
        for process in reversed(running):
            stop_together([process])


def _environment(part: Part, settings: Settings) -> dict[str, str]:
    """The part's own, with these settings and no others."""
    if not part.name.startswith(("api", "worker")):
        return dict(part.environment)
    given = child_environment(settings, simulator=False)
    names = {f"RELAY_{name.upper()}" for name in settings.model_fields_set} | {"RELAY_READY_FILE"}
    everything = {**part.environment, **given}
    return {name: value for name, value in everything.items() if not name.startswith("RELAY_") or name in names}


def _parts(settings: Settings, needs: frozenset[str], workers: int) -> list[Part | Step]:
    parts: list[Part | Step] = [_stub(settings)] if "stub" in needs else []
    for part in platform_parts(settings, workers=workers, simulator=False):
        if part.name in {"postgres", "schema", *needs} or (part.name.startswith("worker-") and "worker" in needs):
            parts.append(part)
    return parts


def _stub(settings: Settings) -> Part:
    port = int(settings.whatsapp_cloud_base_url.rpartition(":")[2])
    return Part(
        name="stub",
        command=lambda: [sys.executable, "-m", "benchmarks.stub", str(port)],
        environment={**os.environ, "PYTHONPATH": str(REPOSITORY)},  # the package `benchmarks` is not installed
        ready=lambda: is_healthy(LOOPBACK, port),
    )
