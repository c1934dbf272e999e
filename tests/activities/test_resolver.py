"""Sends whose outcome nobody knows, when their deadline comes while the engine is away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from app import temporal
from app.db import Sessions
from app.domain.status import Channel, MessageStatus, Purpose
from app.embedded.engine import EngineServer
from app.ids import sequence_workflow_id
from app.models import Message
from app.resolver import Resolver
from app.settings import Settings
from app.temporal import Workflows
from tests import factories
from tests.activities.conftest import Hands

ROW = "SELECT status, unresolved_since IS NULL FROM messages WHERE id = :id"


def resolver(hands: Hands, client: Client) -> Resolver:
    place = hands.world
    return Resolver(place.sessions, hands.campaigns.outbox.senders, Workflows(client), place.settings)


async def overdue(hands: Hands) -> Message:
    """A message of a campaign that was handed to a provider hours ago, and nobody heard of it since."""
    place = hands.world
    (contact,) = await place.add_contacts(1)
    campaign = await place.make_campaign(purpose=Purpose.TRANSACTIONAL, followups=(30,))
    await hands.frozen_page(campaign)
    async with place.sessions.begin(place.tenant.id) as session:
        return await factories.make_message(
            session,
            place.tenant.id,
            contact.id,
            campaign_id=campaign.id,
            channel=Channel.WHATSAPP,
            purpose=Purpose.TRANSACTIONAL,
            status=MessageStatus.UNKNOWN,
            sent_at=None,
            unresolved_since=datetime.now(UTC) - timedelta(days=1),
        )


class TestEngineAway:
    async def test_whoever_sends_it_again_is_told_once_the_engine_is_back(
        self, hands: Hands, settings: Settings, sessions: Sessions, client: Client, tmp_path: Path
    ) -> None:
        message = await overdue(hands)
        with EngineServer(tmp_path) as engine:
            cut_off = await temporal.connect(settings.model_copy(update={"temporal_address": engine.address}))
        with pytest.raises(RPCError):
            await resolver(hands, cut_off).resolve_due()
        assert await hands.world.rows(ROW, id=message.id) == [("queued", False)]

        await resolver(hands, client).resolve_due()
        assert await hands.world.rows(ROW, id=message.id) == [("queued", True)]
        assert message.campaign_id is not None
        id = sequence_workflow_id(message.tenant_id, message.campaign_id, message.contact_id)
        assert (await client.get_workflow_handle(id).describe()).id == id
