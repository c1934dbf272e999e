"""The API while a part of the platform is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
from pydantic import SecretStr

from api import create_app
from app.db import Sessions
from app.models import Message, Tenant
from app.services import api_keys
from app.settings import Settings
from tests.routes.conftest import TWILIO, add_sender, make_template

NOWHERE = "127.0.0.1:9"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay.test") as client:
            yield client


class TestEngineAway:
    async def test_work_is_accepted_and_left_for_the_workers(
        self, settings: Settings, sessions: Sessions, tenant: Tenant
    ) -> None:
        async with sessions.system() as session:
            key = (await api_keys.create(session, tenant.id, name="test"))[1]
        async with running(settings.model_copy(update={"temporal_address": NOWHERE})) as api:
            api.headers["Authorization"] = f"Bearer {key}"
            await add_sender(api, TWILIO)
            template = await make_template(api)
            body = {"phone": "912345678", "channel": "sms", "text": "Hello"}
            sent = await api.post("/v1/messages/send", json=body)
            assert sent.status_code == 202, sent.text
            plan = {"name": "x", "primary_channel": "sms", "template_id": template["id"], "variables": {"code": "1"}}
            launched = await api.post("/v1/campaigns", json={**plan, "launch": True})
            assert (launched.status_code, launched.json()["status"]) == (201, "pending")
            paused = await api.post(f"/v1/campaigns/{launched.json()['id']}/pause")
            assert (paused.status_code, paused.json()["status"]) == (202, "paused")
            ready = await api.get("/ready")
            assert (ready.status_code, [error["pointer"] for error in ready.json()["errors"]]) == (503, ["engine"])
        async with sessions.begin(tenant.id) as session:
            message = await session.get_one(Message, UUID(sent.json()["message_id"]))
            assert (message.status, message.workflow_started_at) == ("queued", None)


class TestDatabaseAway:
    async def test_every_route_says_so_and_nothing_else(self, settings: Settings, tmp_path: Path) -> None:
        url = SecretStr(f"postgresql://relay@/relay?host={tmp_path}")
        async with running(settings.model_copy(update={"database_url": url, "temporal_address": NOWHERE})) as api:
            api.headers["Authorization"] = "Bearer rk_00000000_key"
            for method, path in (("GET", "/v1/contacts"), ("POST", "/v1/campaigns/x/launch"), ("POST", "/v1/contacts")):
                answer = await api.request(method, path, json={} if method == "POST" else None)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), path
                assert answer.headers["retry-after"] == "2"
                assert str(tmp_path) not in answer.text
            assert (await api.get("/health")).status_code == 200
            ready = await api.get("/ready")
            assert [error["pointer"] for error in ready.json()["errors"]] == ["database", "engine"]
