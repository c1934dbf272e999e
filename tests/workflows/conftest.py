from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client

from app import temporal
from app.db import Sessions
from app.embedded.engine import EngineServer
from app.settings import Settings
from tests.world import World, working, world


@pytest.fixture
async def relay(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """A tenant with senders on all channels and a running worker; days last two seconds; nobody reports."""
    async with world(settings, sessions, client, day_seconds=2, followup_jitter_seconds=0) as place:
        await place.add_senders()
        async with working(place):
            yield place


@pytest.fixture
async def heard(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """The same with the API, to which the simulator reports."""
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        await place.add_senders()
        async with working(place):
            yield place


@pytest.fixture
async def short_history(settings: Settings, tmp_path: Path) -> AsyncIterator[Client]:
    """An engine of its own that suggests continue-as-new after a few dozen events instead of thousands."""
    server = EngineServer(tmp_path)
    part = server.process.part
    limit = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
    server.process.part = replace(part, command=lambda: [*part.command(), *limit])
    with server:
        yield await temporal.connect(settings.model_copy(update={"temporal_address": server.address}))
