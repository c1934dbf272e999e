from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.settings import Settings
from tests.world import World, working, world


@pytest.fixture
async def heard(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """A tenant with senders on all channels, a worker, and the API to which the simulator reports; short days."""
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        await place.add_senders()
        async with working(place):
            yield place
