from app.domain.status import CampaignStatus, Channel
from tests.world import World


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


class TestFollowups:
    async def test_every_step_is_sent_once(self, relay: World) -> None:
        await relay.add_contacts(20)
        campaign = await relay.launch(followups=(1, 2))
        await relay.until(
            "SELECT count(*) FROM campaign_recipients WHERE campaign_id = :id AND ended_at IS NOT NULL",
            (20,),
            id=campaign.id,
        )
        accepted = await relay.accepted()
        assert len(accepted) == 60
        assert set(accepted.values()) == {1}
