"""Relay as real processes: stores and engine of their own, simulator, API and worker, each to be stopped or killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr
from temporalio.client import Client

from app import temporal
from app.db import Sessions, create_engine
from app.embedded.datadir import DataDir
from app.embedded.engine import EngineServer
from app.embedded.parts import is_healthy
from app.embedded.ports import free_port
from app.embedded.postgres import PostgresServer
from app.embedded.processes import plain_environment
from app.embedded.sandbox import child_environment
from app.migrations import runner
from app.settings import Settings
from tests import factories
from tests.world import World

START_SECONDS = 60.0


class Child:
    """One process of ours; known by its id and by nothing else."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, ready: Callable[[], bool]) -> None:
        self.log, self.ready = log, ready
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    async def started(self) -> "Child":
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not self.ready():
            assert self.process.poll() is None, self.log.read_text()
            assert asyncio.get_running_loop().time() < deadline, self.log.read_text()
            await asyncio.sleep(0.05)
        return self

    async def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait)


@dataclass
class Stores:
    """A database and an engine that no other test uses, so that they may be killed."""

    data: DataDir
    postgres: PostgresServer
    engine: EngineServer

    def kill_postgres(self) -> None:
        _kill(self.postgres.process.process)

    def kill_engine(self) -> None:
        _kill(self.engine.process.process)


def _kill(process: "subprocess.Popen[bytes] | None") -> None:
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def stores(root: Path) -> Iterator[Stores]:
    postgres, engine = PostgresServer(root), EngineServer(root)
    with postgres, engine:
        runner.upgrade(postgres.url)
        yield Stores(DataDir.at(root), postgres, engine)


@dataclass
class Product:
    """The tenant's world on real processes."""

    world: World
    stores: Stores
    environment: dict[str, str]
    children: list[Child]

    async def start_worker(self) -> Child:
        number = len(self.children)
        marker = self.stores.data.ready_file(f"worker-{number}")
        marker.unlink(missing_ok=True)
        return await self._start(
            f"worker-{number}", ["-m", "app.cli", "worker"], marker.exists, {"RELAY_READY_FILE": str(marker)}
        )

    async def _start(self, name: str, command: list[str], ready: Callable[[], bool], extra: dict[str, str]) -> Child:
        child = Child(command, {**self.environment, **extra}, self.stores.data.log(name), ready)
        self.children.append(child)
        return await child.started()


@asynccontextmanager
async def product(settings: Settings, stores: Stores, **changes: object) -> AsyncIterator[Product]:
    """Simulator and API run; the worker is the test's to start. Nothing is left when the block ends."""
    simulator_port, api_port = free_port(), free_port()
    simulator = f"http://127.0.0.1:{simulator_port}"
    moved = settings.model_copy(
        update={
            "data_dir": stores.data.root,
            "database_url": SecretStr(stores.postgres.url),
            "temporal_address": stores.engine.address,
            "api_port": api_port,
            "public_url": f"http://127.0.0.1:{api_port}",
            "whatsapp_cloud_base_url": simulator,
            "twilio_base_url": simulator,
            "sendgrid_base_url": simulator,
            "resend_base_url": simulator,
            **changes,
        }
    )
    environment = {**plain_environment(), **_only_relay(child_environment(moved, simulator=False))}
    engine = create_engine(stores.postgres.url, pool_size=5)
    sessions = Sessions(engine)
    client: Client = await temporal.connect(moved)
    async with sessions.system() as session:
        tenant = await factories.make_tenant(session)
    async with httpx.AsyncClient(timeout=30) as http:
        place = Product(World(moved, sessions, client, tenant, simulator, http, webhooks=True), stores, environment, [])
        try:
            state = ["--port", str(simulator_port), "--state-dir", str(stores.data.simulator / str(simulator_port))]
            await place._start(
                "simulator", ["-m", "app.simulator", *state], lambda: is_healthy("127.0.0.1", simulator_port), {}
            )
            await place._start("api", ["-m", "app.cli", "api"], lambda: is_healthy("127.0.0.1", api_port), {})
            yield place
            await place.world.leave()
        finally:
            for child in place.children:
                if child.process.poll() is None:
                    await child.end(signal.SIGKILL)
            await engine.dispose()


def _only_relay(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("RELAY_")}
