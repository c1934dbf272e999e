"""A provider that knows our idempotency keys: whatever dies or gets lost, nobody is left out, doubled or unknown.

Nobody reports here, so that only the same request with the same key can tell what became of a send. Lost answers,
without a crash, are in tests/workflows: test_bad_providers.py and test_repeats.py.
"""

import signal
from collections.abc import AsyncIterator

import pytest

from app.domain.status import CampaignStatus, Channel, Purpose
from app.models import Campaign
from app.settings import Settings
from tests.crash.processes import Product, Stores, product
from tests.crash.test_crash import CONTACTS, launch, messages
from tests.world import World


@pytest.fixture
async def relay(settings: Settings, stores: Stores) -> AsyncIterator[Product]:
    async with product(settings, stores, provider_timeout_seconds=2, day_seconds=3, followup_jitter_seconds=0) as place:
        place.world.providers[Channel.EMAIL] = "resend"
        place.world.webhooks = False
        await place.world.at_any_hour()
        yield place


async def assert_everybody_has_one(relay: World, campaign: Campaign, contacts: int, steps: int = 1) -> None:
    await relay.until(
        "SELECT count(*) FROM messages WHERE campaign_id = :id AND status = 'sent'", (contacts * steps,), id=campaign.id
    )
    accepted = await relay.accepted()
    assert set(accepted.values()) == {1}
    assert len(accepted) == contacts * steps
    assert len({recipient for recipient, _ in accepted}) == contacts
    rows = "SELECT count(*) FROM messages WHERE campaign_id = :id AND (status <> 'sent' OR frozen_json IS NOT NULL)"
    assert await relay.rows(rows, id=campaign.id) == [(0,)]
    totals = (await relay.http.get(f"{relay.simulator}/stats?summary=1")).json()["totals"]["resend"]
    assert "invalid_idempotent_request" not in totals["rejected"]


class TestCampaign:
    async def test_worker_is_killed(self, relay: Product) -> None:
        worker = await relay.start_worker()
        campaign = await launch(relay.world, Channel.EMAIL, [])
        await worker.end(signal.SIGKILL)
        in_flight = await messages(relay.world, campaign, "status = 'sending'")
        assert in_flight
        assert len(await relay.world.accepted()) < CONTACTS
        await relay.start_worker()
        await relay.world.until_status(campaign, CampaignStatus.DONE)
        await assert_everybody_has_one(relay.world, campaign, CONTACTS)
        assert in_flight <= await messages(relay.world, campaign, "attempts > 1")

    async def test_worker_is_killed_during_the_follow_ups(self, relay: Product) -> None:
        contacts = 100
        await relay.world.add_senders([Channel.EMAIL])
        await relay.world.add_contacts(contacts)
        worker = await relay.start_worker()
        campaign = await relay.world.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], followups=(1,))
        await relay.world.until_status(campaign, CampaignStatus.DONE)
        await relay.world.behave(latency_ms=500)
        await relay.world.until_accepted(contacts + 5)
        await worker.end(signal.SIGKILL)
        assert await messages(relay.world, campaign, "status = 'sending'")
        await relay.start_worker()
        await assert_everybody_has_one(relay.world, campaign, contacts, steps=2)


class TestSingleSends:
    @pytest.mark.parametrize("purpose", Purpose)
    async def test_worker_is_killed(self, relay: Product, purpose: Purpose) -> None:
        world = relay.world
        await world.add_senders([Channel.EMAIL])
        await world.behave(latency_ms=1_000)
        worker = await relay.start_worker()
        contacts = await world.add_contacts(20)
        sends = [await world.send(contact, Channel.EMAIL, purpose=purpose) for contact in contacts]
        await world.until_accepted(10)
        await worker.end(signal.SIGKILL)
        in_flight = await world.rows("SELECT count(*) > 0 FROM messages WHERE status = 'sending'")
        assert in_flight == [(True,)]
        await relay.start_worker()
        for message in sends:
            assert await world.outcome(message) == "sent"
        accepted = await world.accepted()
        assert accepted == {
            (contact.email, str(message.id)): 1 for contact, message in zip(contacts, sends, strict=True)
        }
