from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from app.db import Sessions
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
