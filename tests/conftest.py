"""Real PostgreSQL and the real engine, started once. Each test has a tenant of its own, and row-level security keeps
the tests apart, so they commit for real."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from app import temporal
from app.db import Sessions, create_engine
from app.embedded.engine import EngineServer
from app.embedded.postgres import PostgresServer
from app.migrations import runner
from app.models import Tenant
from app.settings import Settings
from tests import factories

# Whole platforms, broken on purpose: they take longest, so they begin first and the rest fills up beside them.
LONG = ("operating", "chaos", "crash", "limits", "workflows", "cli", "docs", "e2e", "benchmarks")
MASTER_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        area = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONG.index(area) if area in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay")


@pytest.fixture(scope="session")
def database_url(data_dir: Path) -> Iterator[str]:
    with PostgresServer(data_dir) as server:
        runner.upgrade(server.url)
        yield server.url


@pytest.fixture(scope="session")
def temporal_address(data_dir: Path) -> Iterator[str]:
    with EngineServer(data_dir) as server:
        yield server.address


@pytest.fixture(scope="session")
def settings(data_dir: Path, database_url: str) -> Settings:
    """Settings of a sandbox: every provider is moved to an address where nothing listens, until a test moves it on."""
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        database_url=SecretStr(database_url),
        master_keys=SecretStr(MASTER_KEYS),
        public_url="http://relay.test",
        whatsapp_cloud_base_url="http://127.0.0.1:9",
        twilio_base_url="http://127.0.0.1:9",
        messagebird_base_url="http://127.0.0.1:9",
        sendgrid_base_url="http://127.0.0.1:9",
        mailgun_base_url="http://127.0.0.1:9",
        resend_base_url="http://127.0.0.1:9",
        smtp_base_url="smtp://127.0.0.1:9",
    )


@pytest.fixture(scope="session")
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url, pool_size=10)
    yield Sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="session")
async def client(settings: Settings, temporal_address: str) -> Client:
    return await temporal.connect(settings.model_copy(update={"temporal_address": temporal_address}))


@pytest.fixture
async def tenant(sessions: Sessions) -> Tenant:
    async with sessions.system() as session:
        return await factories.make_tenant(session)
