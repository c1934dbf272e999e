"""The whole API over its ASGI interface, on the real database and the real engine."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import create_app
from app.db import Sessions
from app.models import Role, Tenant
from app.services import api_keys
from app.settings import Settings

TWILIO: dict[str, Any] = {
    "channel": "sms",
    "provider": "twilio",
    "credentials": {
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": "00112233445566778899aabbccddeeff",
        "from_number": "+351910000000",
    },
}
WHATSAPP: dict[str, Any] = {
    "channel": "whatsapp",
    "provider": "whatsapp_cloud",
    "credentials": {
        "phone_number_id": "106540352242922",
        "waba_id": "102290129340398",
        "access_token": "EAAGm0PX4ZCpsBAKZC",
        "app_secret": "0123456789abcdef0123456789abcdef",
        "verify_token": "verify-me",
    },
}
CORE_SCHEMA: dict[str, Any] = {
    "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
    "blocks": {"subject": "Hello", "body": "Hi {{ contact.first_name }}, {{ code }}"},
}

Api = httpx.AsyncClient


@pytest.fixture(scope="session")
async def app(settings: Settings, temporal_address: str) -> AsyncIterator[FastAPI]:
    application = create_app(settings.model_copy(update={"temporal_address": temporal_address}))
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay.test") as client:
        yield client


@pytest.fixture
def key_of(sessions: Sessions, tenant: Tenant) -> Callable[..., Any]:
    async def make(role: Role = Role.OWNER) -> str:
        async with sessions.system() as session:
            return (await api_keys.create(session, tenant.id, name="test", role=role))[1]

    return make


@pytest.fixture
async def api(anonymous: Api, key_of: Callable[..., Any]) -> Api:
    """A client with an owner's key of the test's tenant."""
    anonymous.headers["Authorization"] = f"Bearer {await key_of()}"
    return anonymous


async def make_template(api: Api, name: str = "welcome", **changes: Any) -> dict[str, Any]:
    answer = await api.post("/v1/templates", json={"name": name, "core_schema": CORE_SCHEMA, **changes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def make_contact(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v1/contacts", json=fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def add_sender(api: Api, sender: dict[str, Any] = TWILIO) -> dict[str, Any]:
    answer = await api.post("/v1/onboarding/channel-settings", json=sender)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def pointers(answer: httpx.Response) -> list[str]:
    """The fields that a problem document names."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [error["pointer"] for error in answer.json()["errors"]]
