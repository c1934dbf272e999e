from collections.abc import AsyncIterator

import pytest

from app.db import Sessions
from app.models import Tenant
from app.settings import Settings
from tests.inbox import Inbox, open_inbox


@pytest.fixture
async def inbox(sessions: Sessions, tenant: Tenant, settings: Settings) -> AsyncIterator[Inbox]:
    async with open_inbox(sessions, tenant, settings) as opened:
        yield opened
