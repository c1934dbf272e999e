from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import CampaignStatus, Channel
from app.services import tenants
from app.settings import Settings
from tests.world import World, working, world

FAR = 60  # days: a follow-up that no test waits for


class TestLaunch:
    async def test_everybody_who_consented_is_sent_to_once(self, relay: World) -> None:
        contacts = await relay.add_contacts(120)
        await relay.add_contacts(5, consents=())
        campaign = await relay.launch()
        await relay.until_status(campaign, CampaignStatus.DONE)
        accepted = await relay.accepted()
        assert sorted(recipient for recipient, _ in accepted) == sorted(contact.phone or "" for contact in contacts)
        assert set(accepted.values()) == {1}
        assert await relay.rows(
            "SELECT state, reason, count(*) FROM campaign_recipients WHERE campaign_id = :id GROUP BY 1, 2 ORDER BY 1",
            id=campaign.id,
        ) == [("sent", "", 120), ("skipped", "no_consent", 5)]

    async def test_an_empty_audience_ends_done_and_says_so(self, relay: World) -> None:
        campaign = await relay.launch()
        await relay.until_status(campaign, CampaignStatus.DONE)
        rows = await relay.rows("SELECT status_detail FROM campaigns WHERE id = :id", id=campaign.id)
        assert "empty" in rows[0][0]

    async def test_a_channel_without_consent_falls_back_to_the_next(self, relay: World) -> None:
        await relay.add_contacts(3, consents=[Channel.EMAIL])
        campaign = await relay.launch()
        await relay.until_status(campaign, CampaignStatus.DONE)
        assert await relay.statuses(campaign) == {(0, "email", "sent"): 3}

    async def test_starting_it_twice_has_no_further_effect(self, relay: World) -> None:
        await relay.add_contacts(10)
        campaign = await relay.launch()
        await relay.start(campaign)
        await relay.ended(campaign)
        await relay.start(campaign)
        assert set((await relay.accepted()).values()) == {1}
        assert await relay.open_workflows(campaign) == 0

    async def test_a_missing_variable_skips_and_says_which(self, relay: World) -> None:
        await relay.add_contacts(2)
        campaign = await relay.launch(variables_json={})
        await relay.until_status(campaign, CampaignStatus.DONE)
        assert await relay.rows(
            "SELECT state, reason, count(*) FROM campaign_recipients WHERE campaign_id = :id GROUP BY 1, 2",
            id=campaign.id,
        ) == [("skipped", "missing_variable", 2)]
        rows = await relay.rows("SELECT inputs_json FROM decisions WHERE campaign_id = :id LIMIT 1", id=campaign.id)
        assert "code" in rows[0][0]["problem"]
        assert await relay.accepted() == {}


class TestFollowups:
    async def test_every_step_is_sent_once(self, relay: World) -> None:
        await relay.add_contacts(20)
        campaign = await relay.launch(followups=(1, 2))
        await relay.until_over(campaign, 20)
        accepted = await relay.accepted()
        assert len(accepted) == 60
        assert set(accepted.values()) == {1}


class TestPause:
    async def test_in_the_middle_nothing_more_leaves_and_a_resume_sends_the_rest_once(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        async with world(settings, sessions, client) as relay:
            await relay.add_senders([Channel.WHATSAPP], per_second=100)  # five at once
            await relay.add_contacts(200)
            async with working(relay):
                campaign = await relay.launch(fallback_order_json=[])
                await relay.until_accepted(20)
                await relay.steer(campaign, CampaignStatus.PAUSED)
                await relay.until("SELECT count(*) FROM messages WHERE status = 'sending'", (0,))
                before = len(await relay.accepted())
                await relay.settle()
                assert len(await relay.accepted()) == before < 200
                await relay.steer(campaign, CampaignStatus.RUNNING)
                await relay.until_status(campaign, CampaignStatus.DONE)
                accepted = await relay.accepted()
                assert len(accepted) == 200
                assert set(accepted.values()) == {1}

    async def test_it_holds_due_follow_ups_and_a_resume_sends_each_once(self, relay: World) -> None:
        await relay.add_contacts(15)
        campaign = await relay.launch(followups=(2, 3))
        await relay.until_status(campaign, CampaignStatus.DONE)
        await relay.steer(campaign, CampaignStatus.PAUSED)
        await relay.until(
            "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND state = 'held' "
            "AND reason = 'campaign_paused' AND step = 1",
            (15,),
            id=campaign.id,
        )
        assert len(await relay.accepted()) == 15
        await relay.steer(campaign, CampaignStatus.RUNNING)
        await relay.until_over(campaign, 15)
        accepted = await relay.accepted()
        assert len(accepted) == 45
        assert set(accepted.values()) == {1}
        await relay.until_status(campaign, CampaignStatus.DONE)

    async def test_who_waits_for_a_rule_that_was_lifted_is_sent_to_after_a_resume(self, relay: World) -> None:
        now = datetime.now(UTC)
        night = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}"}
        async with relay.sessions.begin(relay.tenant.id) as session:
            await tenants.update(session, relay.tenant.id, {"quiet_hours": night})
        await relay.add_contacts(3, timezone="Africa/Abidjan")
        campaign = await relay.launch(quiet_hours_json=None)
        held = "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND reason = 'quiet_hours'"
        await relay.until(held, (3,), id=campaign.id)
        await relay.at_any_hour()
        await relay.steer(campaign, CampaignStatus.PAUSED)
        await relay.until_status(campaign, CampaignStatus.PAUSED)
        await relay.steer(campaign, CampaignStatus.RUNNING)
        await relay.until_status(campaign, CampaignStatus.DONE)
        assert list((await relay.accepted()).values()) == [1, 1, 1]


class TestCancel:
    async def test_it_ends_delayed_and_running_sequences_and_nothing_leaves_any_more(self, relay: World) -> None:
        contacts = await relay.add_contacts(30)
        campaign = await relay.launch(followups=(1, FAR))
        delayed = await relay.launch(followups=(FAR,))
        await relay.until_armed(delayed, 30)
        for contact in contacts:
            await relay.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        for each in (campaign, delayed):
            await relay.steer(each, CampaignStatus.CANCELLED)
            await relay.until_closed(each)
        assert len(await relay.accepted()) == 90
        assert await relay.rows(
            "SELECT stop_reason, count(*) FROM campaign_recipients WHERE ended_at IS NOT NULL GROUP BY 1"
        ) == [("cancelled", 60)]

    async def test_in_the_middle_of_the_launch_nothing_more_leaves(
        self, settings: Settings, sessions: Sessions, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("activities.campaigns.PAGE", 20)
        async with world(settings, sessions, client) as relay:
            await relay.add_senders([Channel.WHATSAPP], per_second=100)
            await relay.add_contacts(200)
            async with working(relay):
                campaign = await relay.launch(followups=(FAR,), fallback_order_json=[])
                await relay.until_accepted(50)
                await relay.steer(campaign, CampaignStatus.CANCELLED)
                await relay.ended(campaign)
                await relay.until_closed(campaign)
                before = await relay.accepted()
                await relay.settle()
                assert await relay.accepted() == before
                assert len(before) < 200
                assert set(before.values()) == {1}

    async def test_a_sequence_that_was_woken_before_it_was_armed_ends_too(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        async with world(settings, sessions, client, webhooks=True) as relay:
            await relay.add_senders([Channel.WHATSAPP], per_second=20)
            await relay.add_senders([Channel.SMS])
            contacts = await relay.add_contacts(100)
            for contact in contacts:
                await relay.script(contact, Channel.WHATSAPP, "fail")
            async with working(relay):
                campaign = await relay.launch(followups=(FAR,), fallback_order_json=["sms"])
                await relay.until(
                    "SELECT count(*) > 2 FROM messages WHERE channel = 'sms' AND sent_at IS NOT NULL", (True,)
                )
                await relay.steer(campaign, CampaignStatus.CANCELLED)
                await relay.ended(campaign)
                await relay.until_closed(campaign)

    async def test_before_its_time_a_scheduled_campaign_never_begins(self, relay: World) -> None:
        await relay.add_contacts(3)
        at = datetime.now(UTC) + timedelta(hours=1)
        campaign = await relay.make_campaign(launched_at=at, scheduled_at_utc=at)
        await relay.start(campaign)
        await relay.steer(campaign, CampaignStatus.CANCELLED)
        await relay.ended(campaign)
        assert await relay.accepted() == {}

    async def test_a_scheduled_campaign_that_was_paused_and_resumed_still_waits_for_its_time(
        self, relay: World
    ) -> None:
        await relay.add_contacts(3)
        at = datetime.now(UTC) + timedelta(seconds=4)
        campaign = await relay.make_campaign(launched_at=at, scheduled_at_utc=at)
        await relay.steer(campaign, CampaignStatus.PAUSED)
        await relay.steer(campaign, CampaignStatus.RUNNING)
        assert await relay.accepted() == {}
        await relay.until_status(campaign, CampaignStatus.DONE)
        assert len(await relay.accepted()) == 3
        rows = await relay.rows("SELECT min(sent_at) FROM messages WHERE campaign_id = :id", id=campaign.id)
        assert rows[0][0] >= at


class TestQuietHours:
    async def test_they_hold_who_sleeps_and_not_who_is_awake(self, relay: World) -> None:
        now = datetime.now(UTC)
        quiet = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=1):%H:%M}"}
        (sleeping,) = await relay.add_contacts(1, timezone="UTC")
        (awake,) = await relay.add_contacts(1, timezone="Pacific/Auckland")
        campaign = await relay.launch(quiet_hours_json=quiet)
        await relay.until_sent(campaign, awake, 0, Channel.WHATSAPP)
        await relay.until(
            "SELECT state, reason FROM campaign_recipients WHERE contact_id = :id",
            ("held", "quiet_hours"),
            id=sleeping.id,
        )
        (row,) = await relay.rows("SELECT hold_until FROM campaign_recipients WHERE contact_id = :id", id=sleeping.id)
        assert row[0].astimezone(ZoneInfo("UTC")).strftime("%H:%M") == quiet["end"]
        assert await relay.sent_to(sleeping) == []

    async def test_what_they_held_is_sent_when_they_are_over_and_follow_ups_too(
        self, relay: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        over_at = datetime.now(UTC) + timedelta(seconds=5)
        monkeypatch.setattr("app.domain.gate.allowed_at", lambda quiet, now, zones: over_at if now < over_at else None)
        await relay.add_contacts(12)
        campaign = await relay.launch(quiet_hours_json={"start": "21:00", "end": "08:00"}, followups=(1,))
        await relay.until(
            "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND state = 'held'", (12,), id=campaign.id
        )
        assert await relay.accepted() == {}
        await relay.until_over(campaign, 12)
        accepted = await relay.accepted()
        assert len(accepted) == 24
        assert set(accepted.values()) == {1}
        await relay.until_status(campaign, CampaignStatus.DONE)


class TestContinueAsNew:
    async def test_no_page_is_lost_or_sent_twice(
        self, short_history: Client, settings: Settings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("activities.campaigns.PAGE", 5)
        async with world(settings, sessions, short_history) as relay:
            await relay.add_senders([Channel.WHATSAPP])
            await relay.add_contacts(100)
            async with working(relay):
                campaign = await relay.launch(followups=(FAR,))
                await relay.until_status(campaign, CampaignStatus.DONE)
                accepted = await relay.accepted()
                assert len(accepted) == 100
                assert set(accepted.values()) == {1}
                await relay.until_armed(campaign, 100)
                assert await relay.ended(campaign) == {"status": "done", "recipients": 100, "armed": 100}
                assert await relay.runs(campaign) > 1
                found = await relay.client.count_workflows(
                    f"CampaignId = '{campaign.id}' AND WorkflowType = 'sequence' AND ExecutionStatus = 'Running'"
                )
                assert found.count == 100
