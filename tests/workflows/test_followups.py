"""Follow-ups on the real engine, steered by what the simulator's people do."""

from decimal import Decimal

from app.domain.status import CampaignStatus, Channel
from app.ids import new_id
from app.models import Contact
from app.schemas.conversions import ConversionCreate
from app.services import conversions
from tests.world import World

FAR = 60  # days: a follow-up that no test waits for


async def buy(relay: World, contact: Contact) -> None:
    """A purchase, as the API takes it."""
    wanted = ConversionCreate(contact_id=contact.id, amount=Decimal("49.90"), currency="EUR", order_id=str(new_id()))
    async with relay.sessions.begin(relay.tenant.id) as session:
        _, stopped = await conversions.record(session, relay.tenant, wanted, id=new_id())
    for sequence in stopped:
        await relay.workflows.stop_sequence(
            sequence.tenant_id, sequence.campaign_id, sequence.contact_id, sequence.reason.value
        )


class TestReply:
    async def test_before_the_first_follow_up_it_ends_the_sequence(self, heard: World) -> None:
        replying, silent = await heard.add_contacts(2)
        campaign = await heard.launch(followups=(3, 4))
        await heard.until_armed(campaign, 2)
        await heard.write(replying, "Tell me more")
        assert await heard.sequence_result(campaign, replying) == "replied"
        assert await heard.sequence_result(campaign, silent) == "exhausted"
        assert await heard.sent_to(replying) == [(0, "whatsapp", 1)]
        assert await heard.sent_to(silent) == [(0, "whatsapp", 1), (1, "whatsapp", 1), (2, "whatsapp", 1)]

    async def test_it_is_in_the_conversation_with_the_message_it_answers(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch()
        await heard.until_sent(campaign, contact, 0, Channel.WHATSAPP)
        await heard.write(contact, "Tell me more")
        await heard.until(
            "SELECT count(*) FROM messages WHERE conversation_id = :id AND direction = 'in'", (1,), id=contact.id
        )
        rows = await heard.rows(
            "SELECT direction, status, replied_at IS NOT NULL FROM messages WHERE conversation_id = :id "
            "ORDER BY created_at",
            id=contact.id,
        )
        assert [(row[0], row[2]) for row in rows] == [("out", True), ("in", False)]

    async def test_a_campaign_that_does_not_exit_on_reply_goes_on(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(2,), exit_on_json=["conversion"])
        await heard.until_armed(campaign, 1)
        await heard.write(contact, "Tell me more")
        assert await heard.sequence_result(campaign, contact) == "exhausted"
        assert [step for step, _, _ in await heard.sent_to(contact)] == [0, 1]


class TestConversion:
    async def test_between_two_follow_ups_it_ends_the_sequence_at_once(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(1, FAR))
        await heard.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        await buy(heard, contact)
        assert await heard.sequence_result(campaign, contact) == "converted"
        assert [step for step, _, _ in await heard.sent_to(contact)] == [0, 1]


class TestStop:
    async def test_it_stops_the_follow_ups_that_are_queued(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(1, FAR))
        await heard.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        await heard.write(contact, "STOP")
        assert await heard.sequence_result(campaign, contact) == "opted_out"
        assert [step for step, _, _ in await heard.sent_to(contact)] == [0, 1]

    async def test_by_sms_nothing_more_leaves_on_any_channel(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(3,), primary_channel=Channel.SMS, fallback_order_json=["email"])
        await heard.until_armed(campaign, 1)
        await heard.write(contact, "STOP", Channel.SMS)
        assert await heard.sequence_result(campaign, contact) == "opted_out"
        assert await heard.sent_to(contact) == [(0, "sms", 1)]

    async def test_the_next_campaign_skips_who_said_stop(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(1, FAR), fallback_order_json=[])
        await heard.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        await heard.write(contact, "STOP")
        await heard.sequence_result(campaign, contact)
        later = await heard.launch(fallback_order_json=[])
        await heard.until_status(later, CampaignStatus.DONE)
        rows = await heard.rows("SELECT state, reason FROM campaign_recipients WHERE campaign_id = :id", id=later.id)
        assert rows == [("skipped", "suppressed_stop")]


class TestFallback:
    async def test_a_reported_failure_goes_to_the_next_channel_before_any_follow_up(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, "fail")
        campaign = await heard.launch(followups=(FAR,))
        await heard.until_sent(campaign, contact, 0, Channel.SMS)
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1)]

    async def test_without_follow_ups_too(self, heard: World) -> None:
        contacts = await heard.add_contacts(5)
        for contact in contacts:
            await heard.script(contact, Channel.WHATSAPP, "fail")
        campaign = await heard.launch()
        for contact in contacts:
            await heard.until_sent(campaign, contact, 0, Channel.SMS)
            assert await heard.sequence_result(campaign, contact) == "exhausted"
            assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1)]

    async def test_down_every_channel_and_then_the_recipient_has_failed(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, "fail")
        await heard.script(contact, Channel.SMS, "fail")
        await heard.script(contact, Channel.EMAIL, "bounce")
        campaign = await heard.launch()
        await heard.until_sent(campaign, contact, 0, Channel.EMAIL)
        await heard.until(
            "SELECT state, step FROM campaign_recipients WHERE campaign_id = :id", ("failed", 0), id=campaign.id
        )
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1), (0, "email", 1)]

    async def test_of_the_last_step_after_its_sequence_ended(self, heard: World) -> None:
        await heard.behave(webhook_delay_ms=[2_000, 2_000])
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, {"do": "fail", "after": 2})
        campaign = await heard.launch(followups=(1,))
        await heard.until(
            "SELECT ended_at IS NOT NULL FROM campaign_recipients WHERE campaign_id = :id", (True,), id=campaign.id
        )
        await heard.until_sent(campaign, contact, 1, Channel.SMS)
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (1, "whatsapp", 1), (1, "sms", 1)]

    async def test_a_refusal_in_the_answer_falls_back_at_once(self, relay: World) -> None:
        contacts = await relay.add_contacts(3)
        await relay.faults({"kind": "error", "provider": "whatsapp_cloud", "share": 1, "status": 400, "code": 131026})
        campaign = await relay.launch()
        await relay.until_status(campaign, CampaignStatus.DONE)
        for contact in contacts:
            assert await relay.sent_to(contact) == [(0, "sms", 1)]
        assert await relay.statuses(campaign) == {(0, "whatsapp", "failed"): 3, (0, "sms", "sent"): 3}

    async def test_reports_told_twice_and_out_of_order_change_nothing(self, heard: World) -> None:
        await heard.behave(duplicate_share=1, reorder_share=0.5)
        contacts = await heard.add_contacts(10)
        for contact in contacts[:5]:
            await heard.script(contact, Channel.WHATSAPP, "fail")
        campaign = await heard.launch()
        for contact in contacts[:5]:
            await heard.until_sent(campaign, contact, 0, Channel.SMS)
        await heard.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND status = 'delivered'", (10,), id=campaign.id
        )
        assert set((await heard.accepted()).values()) == {1}
        assert len(await heard.accepted()) == 15
