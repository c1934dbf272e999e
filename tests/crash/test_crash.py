"""Parts that die in the middle of a 1,000-contact launch: nobody is left out, and nobody is sent to twice.

The simulator's own ledger is the judge: it counts per recipient and reference what it accepted. What holds whatever
dies, stores included, is the matter of tests/chaos.
"""

import signal

from app.domain.status import CampaignStatus, Channel
from app.models import Campaign
from app.settings import Settings
from tests.crash.processes import Product, Stores, product
from tests.world import World

CONTACTS = 1_000
PER_SECOND = 600  # so that a launch lasts long enough to be interrupted
MIDDLE = 250
ENDED = "SELECT count(ended_at) FROM campaign_recipients WHERE campaign_id = :id"


async def launch(relay: World, channel: Channel, fallbacks: list[str], contacts: int = CONTACTS) -> Campaign:
    await relay.add_senders([channel, *map(Channel, fallbacks)], per_second=PER_SECOND)
    await relay.add_contacts(contacts)
    campaign = await relay.launch(primary_channel=channel, fallback_order_json=fallbacks)
    await relay.until_accepted(MIDDLE)
    return campaign


async def messages(relay: World, campaign: Campaign, where: str) -> set[str]:
    rows = await relay.rows(f"SELECT id FROM messages WHERE campaign_id = :id AND {where}", id=campaign.id)
    return {str(row[0]) for row in rows}


async def assert_nobody_lost_or_doubled(relay: World, campaign: Campaign) -> set[str]:
    """Everybody got one message, or is named as unknown and got none; what is unknown."""
    accepted = await relay.accepted()
    assert set(accepted.values()) == {1}
    references = {reference for _, reference in accepted}
    assert len({recipient for recipient, _ in accepted}) == len(references)
    await relay.until(
        "SELECT count(*) FROM messages WHERE campaign_id = :id AND status = 'delivered'",
        (len(references),),
        id=campaign.id,
    )
    unknown = await messages(relay, campaign, "status = 'unknown' AND error_code = 'interrupted'")
    assert unknown.isdisjoint(references)
    assert len(references) + len(unknown) == CONTACTS
    assert await messages(relay, campaign, "status IN ('queued', 'sending')") == set()
    return unknown


class TestWorkerIsKilled:
    async def test_in_flight_is_unknown_until_its_report_and_what_never_left_stays_named(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with product(settings, stores) as relay:
            worker = await relay.start_worker()
            campaign = await launch(relay.world, Channel.WHATSAPP, [])
            await worker.end(signal.SIGKILL)
            in_flight = await messages(relay.world, campaign, "status = 'sending'")
            assert len(await relay.world.accepted()) < CONTACTS
            await relay.start_worker()
            await relay.world.until_status(campaign, CampaignStatus.DONE)
            unknown = await assert_nobody_lost_or_doubled(relay.world, campaign)
            assert unknown <= in_flight

    async def test_with_a_look_up_everybody_is_reached_once(self, settings: Settings, stores: Stores) -> None:
        async with product(settings, stores, unknown_deadline_seconds=3) as relay:
            contacts = 500
            worker = await relay.start_worker()
            campaign = await launch(relay.world, Channel.SMS, ["email"], contacts)
            await worker.end(signal.SIGKILL)
            await relay.start_worker()
            await relay.world.until_status(campaign, CampaignStatus.DONE)
            await relay.world.until(
                "SELECT count(DISTINCT contact_id) FROM messages WHERE campaign_id = :id AND status = 'delivered'",
                (contacts,),
                id=campaign.id,
            )
            accepted = await relay.world.accepted()
            assert set(accepted.values()) == {1}
            assert len(accepted) == contacts
            assert await messages(relay.world, campaign, "status = 'unknown'") == set()


class TestWorkerIsTerminated:
    async def test_it_finishes_what_is_in_flight_and_another_goes_on(self, settings: Settings, stores: Stores) -> None:
        async with product(settings, stores) as relay:
            worker = await relay.start_worker()
            campaign = await launch(relay.world, Channel.WHATSAPP, [])
            assert await worker.end(signal.SIGTERM) == 0
            assert await messages(relay.world, campaign, "status IN ('sending', 'unknown')") == set()
            assert len(await relay.world.accepted()) < CONTACTS
            await relay.start_worker()
            await relay.world.until_status(campaign, CampaignStatus.DONE)
            assert await assert_nobody_lost_or_doubled(relay.world, campaign) == set()


class TestWorkerStopsInTheWave:
    """The follow-ups of everybody are due at once, and the provider takes its time, so that many are in flight."""

    async def wave(self, relay: Product, contacts: int) -> Campaign:
        await relay.world.add_senders([Channel.WHATSAPP])
        await relay.world.add_contacts(contacts)
        await relay.world.behave(latency_ms=300)
        campaign = await relay.world.launch(followups=(1,), fallback_order_json=[])
        await relay.world.until_accepted(contacts + contacts // 4)
        return campaign

    async def test_a_drain_leaves_nothing_unknown(self, settings: Settings, stores: Stores) -> None:
        async with product(settings, stores, day_seconds=12, followup_jitter_seconds=2) as relay:
            worker = await relay.start_worker()
            campaign = await self.wave(relay, 100)
            assert await worker.end(signal.SIGTERM) == 0
            assert await messages(relay.world, campaign, "status IN ('sending', 'unknown')") == set()
            assert len(await relay.world.accepted()) < 200
            await relay.start_worker()
            await relay.world.until_accepted(200)
            assert set((await relay.world.accepted()).values()) == {1}
            await relay.world.until(ENDED, (100,), id=campaign.id)

    async def test_a_kill_sends_nothing_twice(self, settings: Settings, stores: Stores) -> None:
        async with product(settings, stores, day_seconds=12, followup_jitter_seconds=2) as relay:
            worker = await relay.start_worker()
            campaign = await self.wave(relay, 100)
            await worker.end(signal.SIGKILL)
            in_flight = await messages(relay.world, campaign, "status = 'sending'")
            await relay.start_worker()
            await relay.world.until(ENDED, (100,), id=campaign.id)
            accepted = await relay.world.accepted()
            assert set(accepted.values()) == {1}
            unknown = await messages(relay.world, campaign, "status = 'unknown'")
            assert unknown <= in_flight
            assert len(accepted) + len(unknown) == 200


class TestEngineIsStopped:
    async def test_reports_are_taken_in_and_all_are_processed_once_it_is_back(
        self, settings: Settings, stores: Stores
    ) -> None:
        async with product(settings, stores, day_seconds=2, followup_jitter_seconds=0) as relay:
            world = relay.world
            await relay.start_worker()
            await world.add_senders([Channel.WHATSAPP])
            contacts = await world.add_contacts(20)
            campaign = await world.launch(followups=(1, 60), fallback_order_json=[])
            for contact in contacts:
                await world.until_sent(campaign, contact, 1, Channel.WHATSAPP)
            stores.engine.stop()
            for contact in contacts:
                await world.write(contact, "Yes please")
            # the stop counts from here on, whatever the engine knows
            await world.until(
                "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND stop_reason = 'replied'",
                (20,),
                id=campaign.id,
            )
            assert await world.rows("SELECT count(*) > 0 FROM webhook_events WHERE processed_at IS NULL") == [(True,)]
            stores.engine.start()
            await world.until("SELECT count(*) FROM webhook_events WHERE processed_at IS NULL", (0,))
            for contact in contacts:
                assert await world.sequence_result(campaign, contact) == "replied"
            accepted = await world.accepted()
            assert len(accepted) == 40
            assert set(accepted.values()) == {1}
