"""A scripted provider and a client that talks to it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.channels.http import provider_client
from tests.channels.scripted import ScriptedProvider


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider().listening() as provider:
        yield provider


@pytest.fixture
async def http(provider: ScriptedProvider) -> AsyncIterator[httpx.AsyncClient]:
    async with provider_client(concurrency=4, timeout_seconds=20) as client:
        yield client


@pytest.fixture
async def hasty_http(provider: ScriptedProvider) -> AsyncIterator[httpx.AsyncClient]:
    """For answers that never come."""
    async with provider_client(concurrency=4, timeout_seconds=0.5) as client:
        yield client
