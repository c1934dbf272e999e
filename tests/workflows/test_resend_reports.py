"""What Resend reports about e-mails that Relay sent over it."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel
from app.settings import Settings
from tests.world import World, working, world


@pytest.fixture
async def relay(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        place.providers[Channel.EMAIL] = "resend"
        await place.add_senders()
        async with working(place):
            yield place


class TestReports:
    async def test_a_campaign_is_followed_to_what_people_do_with_it(self, relay: World) -> None:
        reads, bounces, leaves = await relay.add_contacts(3)
        await relay.script(reads, Channel.EMAIL, "read")
        await relay.script(bounces, Channel.EMAIL, "bounce")
        await relay.script(leaves, Channel.EMAIL, "unsubscribe")
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=["sms"])
        await relay.until("SELECT status FROM messages WHERE contact_id = :id", ("read",), id=reads.id)
        await relay.until_sent(campaign, bounces, 0, Channel.SMS)
        suppressed = "SELECT channel, reason FROM suppressions WHERE address = :address"
        await relay.until(suppressed, ("email", "bounce"), address=bounces.email)
        await relay.until(suppressed, ("email", "unsubscribe"), address=leaves.email)

    async def test_an_answer_lands_in_the_conversation_and_stops_the_follow_ups(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], followups=(300,))
        await relay.until_armed(campaign, 1)
        said = {"provider": "resend", "from": contact.email, "text": "Re: For Ana"}
        assert (await relay.http.post(f"{relay.simulator}/sandbox/inbound", json=said)).is_success
        await relay.until("SELECT stop_reason FROM campaign_recipients", ("replied",))
        words = "SELECT payload_json::text LIKE '%Re: For Ana%' FROM messages WHERE direction = 'in'"
        assert await relay.rows(words) == [(True,)]
