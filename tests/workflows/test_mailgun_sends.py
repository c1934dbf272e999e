"""E-mail over Mailgun: what it reports, batches, and unknown sends that its list of events can't settle."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel, Purpose
from app.settings import Settings
from tests.world import World, working, world

ADAPTER = "app.channels.email.mailgun.adapter"


@pytest.fixture
async def relay(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as place:
        place.providers[Channel.EMAIL] = "mailgun"
        await place.add_senders([Channel.WHATSAPP, Channel.SMS])
        await place.add_senders([Channel.EMAIL], messages_per_request=100)
        async with working(place):
            yield place


@pytest.fixture
async def impatient(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """Nobody reports, and an unknown outcome is waited for two seconds only."""
    async with world(settings, sessions, client, unknown_deadline_seconds=2) as place:
        place.providers[Channel.EMAIL] = "mailgun"
        await place.at_any_hour()
        await place.add_senders([Channel.EMAIL])
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
        assert await relay.rows(
            "SELECT count(DISTINCT provider_message_id), count(*) FROM messages WHERE channel = 'email'"
        ) == [(1, 3)]

    async def test_an_answer_lands_in_the_conversation_and_stops_the_follow_ups(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], followups=(300,))
        await relay.until_armed(campaign, 1)
        said = {"provider": "mailgun", "from": contact.email, "text": "Yes, please"}
        assert (await relay.http.post(f"{relay.simulator}/sandbox/inbound", json=said)).is_success
        await relay.until("SELECT stop_reason FROM campaign_recipients", ("replied",))
        answers = """
            SELECT i.payload_json->>'text', i.payload_json->>'context_id' = o.provider_message_id, o.replied_at IS NULL
            FROM messages i JOIN messages o USING (conversation_id) WHERE i.direction = 'in' AND o.direction = 'out'
        """
        assert await relay.rows(answers) == [("Yes, please", True, False)]


class TestUnknownOutcome:
    async def test_marketing_rests_where_it_can_no_longer_be_told(
        self, impatient: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"{ADAPTER}.LISTED_WITHIN", timedelta())
        monkeypatch.setattr(f"{ADAPTER}.KEPT_FOR", timedelta())
        await impatient.behave(mailgun_listed_after_seconds=1_000)
        (contact,) = await impatient.add_contacts(1)
        await impatient.faults({"kind": "reset", "provider": "mailgun", "next": 1})
        message = await impatient.send(contact, Channel.EMAIL, purpose=Purpose.MARKETING)
        await impatient.until(
            "SELECT status, unresolved_since IS NULL FROM messages WHERE id = :id", ("unknown", True), id=message.id
        )
        assert await impatient.accepted() == {(contact.email, str(message.id)): 1}
