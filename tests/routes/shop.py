"""A tenant with a WhatsApp sender, and its API in front of a provider at any address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api import create_app
from app.db import Sessions
from app.models import Role, Tenant
from app.services import api_keys
from app.settings import Settings
from app.simulator.accounts import DEFAULT_CREDENTIALS, WHATSAPP
from tests.routes.conftest import Api, add_sender

CREDENTIALS = DEFAULT_CREDENTIALS[WHATSAPP]
SPRING: dict[str, Any] = {"name": "spring_offer", "language": "en_US", "body": ["{{ contact.first_name }}", "S10"]}
BLOCKS = {"blocks": {"body": "Hi {{ contact.first_name }}"}}
ENGLISH = {**BLOCKS, "whatsapp": SPRING}


class Shop:
    """A tenant with a WhatsApp sender, and its API in front of a provider."""

    def __init__(self, api: Api, tenant: Tenant, simulator: httpx.AsyncClient) -> None:
        self.api, self.tenant, self.simulator = api, tenant, simulator

    async def add_sender(self) -> dict[str, Any]:
        return await add_sender(
            self.api, {"channel": "whatsapp", "provider": "whatsapp_cloud", "credentials": CREDENTIALS}
        )

    async def add_template(self, core: dict[str, Any] = ENGLISH, name: str = "spring") -> str:
        answer = await self.api.post("/v1/templates", json={"name": name, "core_schema": core})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def create(self, template_id: str, **changes: Any) -> httpx.Response:
        body = {"name": "Spring", "primary_channel": "whatsapp", "template_id": template_id, "launch": True}
        return await self.api.post("/v1/campaigns", json={**body, **changes})

    async def send(self, **changes: Any) -> httpx.Response:
        body = {"phone": "912345678", "channel": "whatsapp", "type": "template", "template_name": "spring"}
        return await self.api.post("/v1/messages/send", json={**body, **changes})

    async def decide(self, **change: str) -> None:
        """At the simulator."""
        body = {"name": "spring_offer", "language": "en_US", **change}
        answer = await self.simulator.post("/sandbox/templates", json=body)
        assert answer.status_code == 202, answer.text

    async def refresh(self) -> dict[str, Any]:
        answer = await self.api.post("/v1/templates/refresh")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def open_shop(
    settings: Settings, temporal_address: str, sessions: Sessions, tenant: Tenant, url: str
) -> AsyncIterator[Shop]:
    moved = settings.model_copy(update={"temporal_address": temporal_address, "whatsapp_cloud_base_url": url})
    app = create_app(moved)
    async with sessions.system() as session:
        key = (await api_keys.create(session, tenant.id, name="test", role=Role.OWNER))[1]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://relay.test") as api,
        httpx.AsyncClient(base_url=url) as simulator,
    ):
        api.headers["Authorization"] = f"Bearer {key}"
        opened = Shop(api, tenant, simulator)
        await opened.add_sender()
        yield opened
