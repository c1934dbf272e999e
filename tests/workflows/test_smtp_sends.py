"""E-mail over a mail server: what comes back by mail, and what is never known."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel, Purpose
from app.settings import Settings
from tests.world import World, working, world


@pytest.fixture
async def relay(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        place.providers[Channel.EMAIL] = "smtp"
        await place.add_senders()
        async with working(place):
            yield place


class TestReports:
    async def test_a_campaign_is_followed_to_what_comes_back(self, relay: World) -> None:
        gets, bounces, leaves, complains = await relay.add_contacts(4)
        await relay.script(bounces, Channel.EMAIL, "bounce")
        await relay.script(leaves, Channel.EMAIL, "unsubscribe")
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=["sms"])
        await relay.until_sent(campaign, bounces, 0, Channel.SMS)
        suppressed = "SELECT channel, reason FROM suppressions WHERE address = :address"
        await relay.until(suppressed, ("email", "bounce"), address=bounces.email)
        await relay.until(suppressed, ("email", "unsubscribe"), address=leaves.email)
        said = {"provider": "smtp", "from": complains.email, "event": "spamreport"}
        assert (await relay.http.post(f"{relay.simulator}/sandbox/inbound", json=said)).is_success
        await relay.until(suppressed, ("email", "complaint"), address=complains.email)
        status = "SELECT status FROM messages WHERE contact_id = :id"
        assert await relay.rows(status, id=gets.id) == [("sent",)]  # nobody reports what arrives

    async def test_an_answer_lands_in_the_conversation_and_stops_the_follow_ups(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], followups=(300,))
        await relay.until_armed(campaign, 1)
        said = {"provider": "smtp", "from": contact.email, "text": "Sim, às três"}
        assert (await relay.http.post(f"{relay.simulator}/sandbox/inbound", json=said)).is_success
        await relay.until("SELECT stop_reason FROM campaign_recipients", ("replied",))
        words = "SELECT payload_json->>'text' FROM messages WHERE direction = 'in'"
        assert await relay.rows(words) == [("Sim, às três",)]
        assert await relay.rows("SELECT count(*) FROM messages WHERE replied_at IS NOT NULL") == [(1,)]


class TestUnknown:
    async def test_reply_that_got_lost_is_never_repeated_for_marketing(self, relay: World) -> None:
        await relay.faults({"kind": "reset", "provider": "smtp", "next": 1})
        await relay.add_contacts(1)
        await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], purpose=Purpose.MARKETING)
        await relay.until("SELECT status FROM messages", ("unknown",))
        stats = (await relay.http.get(f"{relay.simulator}/stats")).json()
        assert stats["totals"]["smtp"]["accepted"] == 1
