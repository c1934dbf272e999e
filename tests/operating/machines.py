"""Several machines on one engine and one database: each has a data directory, an API and a worker of its own."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from app import temporal
from app.db import Sessions, create_engine
from app.embedded.datadir import DataDir
from app.embedded.parts import is_healthy
from app.embedded.ports import free_port
from app.embedded.processes import plain_environment
from app.embedded.sandbox import child_environment
from app.models import Role
from app.services import api_keys
from app.settings import Settings
from tests import factories
from tests.crash.processes import Child, Stores
from tests.world import CORE, WAIT_SECONDS, World


@dataclass
class Machine:
    """One API and one worker; `http` calls its API with the tenant's key."""

    data: DataDir
    environment: dict[str, str]
    port: int
    http: httpx.AsyncClient
    children: dict[str, Child] = field(default_factory=dict)

    async def start_api(self) -> None:
        command = ["-m", "app.cli", "api"]
        child = Child(command, self.environment, self.data.log("api"), lambda: is_healthy("127.0.0.1", self.port))
        self.children["api"] = child
        await child.started()

    async def start_worker(self) -> None:
        marker = self.data.ready_file("worker")
        marker.unlink(missing_ok=True)
        environment = {**self.environment, "RELAY_READY_FILE": str(marker)}
        child = Child(["-m", "app.cli", "worker"], environment, self.data.log("worker"), marker.exists)
        self.children["worker"] = child
        await child.started()

    async def start(self) -> None:
        await asyncio.gather(self.start_api(), self.start_worker())

    async def kill(self, *names: str) -> None:
        """kill -9 of these, or of everything."""
        for name in names or tuple(self.children):
            child = self.children.pop(name)
            if child.process.poll() is None:
                await child.end(signal.SIGKILL)

    async def call(self, method: str, path: str, expected: int, **request: Any) -> dict[str, Any]:
        answer = await self.http.request(method, path, **request)
        assert answer.status_code == expected, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, path: str, reached: Any, *, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Read `path` until `reached` accepts the answer."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not reached(found := await self.call("GET", path, 200)):
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(0.1)
        return found


@dataclass
class Site:
    """All machines, the simulator, and the tenant's world."""

    world: World
    stores: Stores
    machines: list[Machine]
    simulator_port: int
    simulator: Child | None = None

    async def start_simulator(self) -> None:
        state = str(self.stores.data.simulator / str(self.simulator_port))
        command = ["-m", "app.simulator", "--port", str(self.simulator_port), "--state-dir", state]
        log = self.stores.data.log("simulator")
        self.simulator = Child(command, plain_environment(), log, lambda: is_healthy("127.0.0.1", self.simulator_port))
        await self.simulator.started()

    async def kill_all(self) -> None:
        """kill -9 of every process there is: workers, APIs, engine, database and, last, the simulator."""
        for machine in self.machines:
            await machine.kill()
        self.stores.kill_engine()
        self.stores.kill_postgres()
        assert self.simulator is not None
        await self.simulator.end(signal.SIGKILL)

    async def start_all(self) -> None:
        self.stores.postgres.start()
        self.stores.engine.start()
        await self.start_simulator()
        await asyncio.gather(*(machine.start() for machine in self.machines))

    async def make_campaign(self, machine: Machine, **changes: Any) -> str:
        """A template and a launched campaign, over the machine's API."""
        template = {"name": "spring_offer", "lang": "en", "core_schema": CORE}
        made = await machine.call("POST", "/v1/templates", 201, json=template)
        body = {
            "name": "Spring",
            "primary_channel": "whatsapp",
            "template_id": made["id"],
            "variables": {"code": "SPRING"},
            "quiet_hours": None,
            "launch": True,
            **changes,
        }
        body["followups"] = [{"after_days": days, "template_id": made["id"]} for days in body.get("followups", [])]
        return str((await machine.call("POST", "/v1/campaigns", 201, json=body))["id"])


@asynccontextmanager
async def site(settings: Settings, stores: Stores, count: int, **changes: object) -> AsyncIterator[Site]:
    """So many machines, all running; nothing of them is left when the block ends."""
    simulator_port, ports = free_port(), [free_port() for _ in range(count)]
    simulator = f"http://127.0.0.1:{simulator_port}"
    shared = settings.model_copy(
        update={
            "database_url": SecretStr(stores.postgres.url),
            "temporal_address": stores.engine.address,
            "public_url": f"http://127.0.0.1:{ports[-1]}",
            "whatsapp_cloud_base_url": simulator,
            "twilio_base_url": simulator,
            "sendgrid_base_url": simulator,
            **changes,
        }
    )
    engine = create_engine(stores.postgres.url, pool_size=5)
    sessions = Sessions(engine)
    async with sessions.system() as session:
        tenant = await factories.make_tenant(session)
        key = (await api_keys.create(session, tenant.id, name="test", role=Role.OWNER))[1]
    async with httpx.AsyncClient(timeout=30) as http:
        world = World(shared, sessions, await temporal.connect(shared), tenant, simulator, http, webhooks=True)
        place = Site(world, stores, [_machine(shared, stores, port, key) for port in ports], simulator_port)
        try:
            await place.start_simulator()
            await asyncio.gather(*(machine.start() for machine in place.machines))
            yield place
            await world.leave()
        finally:
            for machine in place.machines:
                await machine.kill()
                await machine.http.aclose()
            if place.simulator is not None and place.simulator.process.poll() is None:
                await place.simulator.end(signal.SIGKILL)
            await engine.dispose()


def _machine(shared: Settings, stores: Stores, port: int, key: str) -> Machine:
    root: Path = stores.data.root / f"machine-{port}"
    own = shared.model_copy(update={"data_dir": root, "api_port": port})
    relay = {name: value for name, value in child_environment(own, simulator=False).items() if name[:6] == "RELAY_"}
    http = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    data = DataDir.at(root)
    data.make()
    return Machine(data, {**plain_environment(), **relay}, port, http)
