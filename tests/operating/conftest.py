import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.settings import Settings
from tests.crash import processes
from tests.crash.processes import Stores
from tests.world import World, working, world


@pytest.fixture(scope="package")
def stores() -> Iterator[Stores]:
    """A database and an engine that may be killed."""
    # a short path for PostgreSQL's socket, which its own user must be able to reach
    with (
        tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as path,
        processes.stores(Path(path) / "data") as made,
    ):
        yield made


@pytest.fixture
async def heard(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """A tenant with senders on all channels, a worker, and the API to which the simulator reports; short days."""
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        await place.add_senders()
        async with working(place):
            yield place
