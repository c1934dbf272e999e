from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.campaigns import CampaignActivities
from activities.outbox import Outbox
from app.channels.http import provider_client
from app.contracts.campaign import CampaignRef, FreezePages, SendPage
from app.db import Sessions
from app.domain.status import Channel
from app.models import Campaign
from app.secrets import Vault
from app.services.senders import Senders
from app.services.sending import Renderer
from app.settings import Settings
from app.tokens import ShortCodes, UnsubscribeTokens
from tests.world import World, world


@dataclass
class Hands:
    """The activities of a worker, called by the test itself; no worker runs."""

    world: World
    campaigns: CampaignActivities

    async def frozen_page(self, campaign: Campaign) -> SendPage:
        """The campaign begun and its audience, one page, frozen."""
        ref = CampaignRef(tenant_id=self.world.tenant.id, campaign_id=campaign.id)
        await self.campaigns.begin_campaign(ref)
        frozen = await ActivityEnvironment().run(
            self.campaigns.freeze_pages,
            FreezePages(tenant_id=ref.tenant_id, campaign_id=ref.campaign_id, after_contact=None),
        )
        (page,) = frozen.pages
        return SendPage(tenant_id=ref.tenant_id, campaign_id=ref.campaign_id, page=page)


@pytest.fixture
async def hands(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[Hands]:
    async with world(settings, sessions, client) as place:
        await place.add_senders([Channel.WHATSAPP], per_second=None)
        http = provider_client(concurrency=100, timeout_seconds=10)
        keys = place.settings.keys
        outbox = Outbox(
            sessions,
            Senders(place.settings, http, Vault(keys)),
            Renderer(place.settings.public_url, UnsubscribeTokens(keys), ShortCodes(keys)),
        )
        yield Hands(
            place,
            CampaignActivities(sessions, outbox, place.workflows, place.settings),
        )
        await http.aclose()
