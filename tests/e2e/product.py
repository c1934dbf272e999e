"""Relay as a user has it: `relay up` as a process, the `relay` command, and HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.embedded.ports import free_port

RELAY = Path(sys.executable).parent / "relay"
WAIT_SECONDS = 90.0
CREDENTIALS: dict[str, tuple[str, dict[str, str]]] = {
    "whatsapp": (
        "whatsapp_cloud",
        {
            "phone_number_id": "300400500600700",
            "waba_id": "200300400500600",
            "access_token": "token-of-the-test",
            "app_secret": "app-secret-of-the-test",
            "verify_token": "verify-token-of-the-test",
        },
    ),
    "sms": (
        "twilio",
        {"account_sid": "AC" + "0" * 32, "auth_token": "1" * 32, "from_number": "+15005550006"},
    ),
    "email": (
        "sendgrid",
        {"api_key": "SG.test.key", "from_email": "news@example.org", "from_name": "Example"},
    ),
}


@dataclass
class Product:
    data_dir: Path
    environment: dict[str, str]
    api: httpx.AsyncClient
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ("--no-simulator",)

    async def up(self) -> None:
        self.data_dir.parent.mkdir(exist_ok=True)
        with (self.data_dir.parent / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [RELAY, "up", "--data-dir", self.data_dir, *self.options],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # what the terminal, or the kernel, sends to our group is not for it
            )
        await self.until_ready()

    async def until_ready(self) -> None:
        for _ in range(int(WAIT_SECONDS / 0.1)):
            assert self.process is not None
            assert self.process.poll() is None, (self.data_dir.parent / "up.log").read_text()
            ready = self.data_dir / "run" / "worker-1.ready"
            try:
                if (await self.api.get("/ready")).status_code == 200 and ready.exists():
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.1)
        raise AssertionError("relay up is not ready: " + (self.data_dir.parent / "up.log").read_text())

    async def down(self) -> list[str]:
        """Stop it as Ctrl-C does; command lines of what is still running afterwards."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, 60)
        self.process = None
        return [" ".join(it.cmdline()) for it in family if it.is_running() and it.status() != psutil.STATUS_ZOMBIE]

    def pid(self, part: str) -> int:
        return int((self.data_dir / "run" / f"{part}.pid").read_text())

    async def relay(self, *arguments: str) -> str:
        made = await asyncio.create_subprocess_exec(
            RELAY, *arguments, env=self.environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await made.communicate()
        assert made.returncode == 0
        return output.decode()

    async def sign_up(self, name: str = "Shop") -> dict[str, str]:
        """A tenant; from now on requests carry its key."""
        tenant: dict[str, str] = json.loads(await self.relay("tenant", "create", "--name", name, "--json"))
        self.api.headers["Authorization"] = f"Bearer {tenant['api_key']}"
        return tenant

    async def post(self, path: str, expected: int, **request: Any) -> dict[str, Any]:
        answer = await self.api.post(path, **request)
        assert answer.status_code == expected, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def add_senders(self, per_second: float = 2_000) -> dict[str, dict[str, Any]]:
        return {
            channel: await self.post(
                "/v1/onboarding/channel-settings",
                201,
                json={
                    "channel": channel,
                    "provider": provider,
                    "name": channel,
                    "credentials": credentials,
                    "limits": {"messages_per_second": per_second, "seconds_per_recipient": 0},
                    "is_default": True,
                },
            )
            for channel, (provider, credentials) in CREDENTIALS.items()
        }

    async def add_template(self, name: str = "spring_offer") -> str:
        core = {
            "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
            "blocks": {"subject": "For you", "body": "Hi {{ contact.first_name }}, {{ code }}"},
            "whatsapp": {"name": name, "language": "en_US", "body": ["{{ contact.first_name }}", "{{ code }}"]},
        }
        body = {"name": name, "channel": "whatsapp", "lang": "en", "category": "marketing", "core_schema": core}
        return str((await self.post("/v1/templates", 201, json=body))["id"])

    async def import_csv(self, csv: str) -> dict[str, Any]:
        started = await self.post(
            "/v1/contacts/import?default_region=PT", 202, content=csv.encode(), headers={"Content-Type": "text/csv"}
        )
        return await self.until(f"/v1/contacts/imports/{started['import_id']}", lambda it: it["status"] == "done")

    async def until(self, path: str, reached: Any) -> dict[str, Any]:
        """Read `path` until `reached` accepts the answer."""
        found: dict[str, Any] = {}
        for _ in range(int(WAIT_SECONDS / 0.2)):
            try:
                answer = await self.api.get(path)
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code == 200:
                found = answer.json()
                if reached(found):
                    return found
            await asyncio.sleep(0.2)
        raise AssertionError(f"{path} did not get there: {found}")


@asynccontextmanager
async def product(directory: Path, provider_url: str, **settings: str) -> AsyncIterator[Product]:
    """A data directory, free ports and providers at `provider_url`; nothing runs yet."""
    api, engine, ui, simulator, mail = (free_port() for _ in range(5))
    environment = {
        **os.environ,
        "RELAY_DATA_DIR": str(directory / "data"),
        "RELAY_API_PORT": str(api),
        "RELAY_TEMPORAL_PORT": str(engine),
        "RELAY_TEMPORAL_UI_PORT": str(ui),
        "RELAY_SIMULATOR_PORT": str(simulator),
        "RELAY_SIMULATOR_SMTP_PORT": str(mail),
        "RELAY_WHATSAPP_CLOUD_BASE_URL": provider_url,
        "RELAY_TWILIO_BASE_URL": provider_url,
        "RELAY_SENDGRID_BASE_URL": provider_url,
        **settings,
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}", timeout=30) as client:
        it = Product(directory / "data", environment, client)
        try:
            yield it
        finally:
            if it.process is not None and it.process.poll() is None:
                await it.down()
