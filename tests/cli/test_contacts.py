import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from temporalio.client import Client

from api import create_app
from app.db import Sessions
from app.models import ApiKey, Role, Tenant
from app.services import api_keys
from app.settings import Settings
from tests import importing
from tests.workflows.test_contact_import import worker

FILE = "phone;first_name\n912345678;Ana\n+351912345678;\n12;Bad\n"


@pytest.fixture
async def url(settings: Settings, temporal_address: str, client: Client, sessions: Sessions) -> AsyncIterator[str]:
    """A real API on a free port, and a worker that imports."""
    application = create_app(settings.model_copy(update={"temporal_address": temporal_address}))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve([listener]))
    async with worker(client, sessions):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(FILE)
    return path


async def relay(settings: Settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await command(settings, "contacts", "import", *arguments, **environment)


async def command(settings: Settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app.cli", *arguments],
        env={
            **inherited,
            "PYTHONPATH": os.getcwd(),
            "RELAY_DATABASE_URL": settings.database_url.get_secret_value(),
            "COLUMNS": "200",
            **environment,
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


async def key_of(sessions: Sessions, tenant: Tenant) -> str:
    async with sessions.system() as session:
        return (await api_keys.create(session, tenant.id, name="test", role=Role.MANAGER))[1]


class TestImportFile:
    async def test_counts_and_rejected_rows_are_told(
        self, url: str, file: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        done = await relay(settings, str(file), RELAY_URL=url, RELAY_API_KEY=await key_of(sessions, tenant))
        assert done.returncode == 0, done.stderr
        assert "done: 3 rows, 1 created, 0 updated, 1 merged, 1 rejected" in done.stdout
        assert "'12'" in done.stdout

    async def test_json_is_one_object(
        self, url: str, file: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        key = await key_of(sessions, tenant)
        done = await relay(settings, str(file), "--url", url, "--api-key", key, "--default-region", "ES", "--json")
        assert json.loads(done.stdout)["counts"]["created"] == 2  # the number without + is one of Madrid now

    async def test_tenant_alone_imports_with_a_key_that_ends_with_the_command(
        self, url: str, file: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        done = await relay(settings, str(file), "--url", url, "--tenant", tenant.slug)
        assert done.returncode == 0, done.stderr
        keys = await importing.query(sessions, tenant, f"SELECT revoked_at IS NOT NULL FROM {ApiKey.__tablename__}")
        assert keys == [(True,)]

    async def test_refusal_is_one_line_with_the_words_of_the_api(
        self, url: str, tmp_path: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        bad = tmp_path / "bad.csv"
        bad.write_text("name,city\n")
        done = await relay(settings, str(bad), RELAY_URL=url, RELAY_API_KEY=await key_of(sessions, tenant))
        assert done.returncode == 1
        assert done.stderr.startswith("relay: /header: The first line must name a phone or an email column")

    async def test_api_that_is_away_is_named(self, file: Path, settings: Settings) -> None:
        done = await relay(settings, str(file), "--url", "http://127.0.0.1:9", "--api-key", "rk_x")
        assert (done.returncode, done.stdout) == (1, "")
        assert "http://127.0.0.1:9 does not answer" in done.stderr

    async def test_without_key_and_tenant_says_what_to_give(self, file: Path, settings: Settings) -> None:
        done = await relay(settings, str(file))
        assert done.returncode == 1
        assert "RELAY_API_KEY" in done.stderr


class TestExportFile:
    async def test_what_was_imported_comes_out_again(
        self, url: str, file: Path, tmp_path: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        key = await key_of(sessions, tenant)
        await relay(settings, str(file), RELAY_URL=url, RELAY_API_KEY=key)
        out = tmp_path / "out.csv"
        done = await command(settings, "contacts", "export", str(out), RELAY_URL=url, RELAY_API_KEY=key)
        assert done.returncode == 0, done.stderr
        assert "+351912345678,,Ana," in out.read_text()

    async def test_a_refusal_leaves_no_file(self, url: str, tmp_path: Path, settings: Settings) -> None:
        out = tmp_path / "out.csv"
        done = await command(settings, "contacts", "export", str(out), "--url", url, "--api-key", "rk_x")
        assert (done.returncode, list(tmp_path.iterdir())) == (1, [])


class TestSuppressions:
    async def test_a_list_goes_in_and_comes_out(
        self, url: str, tmp_path: Path, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        key = await key_of(sessions, tenant)
        file, out = tmp_path / "bounces.csv", tmp_path / "out.csv"
        file.write_text("email,reason\nana@example.com,550 no such user\nnobody,550\n")
        options = ("--default-reason", "bounce", "--url", url, "--api-key", key)
        done = await command(settings, "suppressions", "import", str(file), *options)
        assert "done: 2 rows, 1 created, 0 updated, 0 merged, 1 rejected" in done.stdout, done.stderr
        await command(settings, "suppressions", "export", str(out), "--url", url, "--api-key", key)
        assert out.read_text().splitlines()[1].startswith("email,ana@example.com,bounce,550 no such user,")
