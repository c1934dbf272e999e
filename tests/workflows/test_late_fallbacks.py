"""The next channel, when a message is accepted and not delivered in the time that is allowed."""

from sqlalchemy import text

from app.contracts.sequence import DeliveryFailed
from app.domain.status import Channel
from app.services.sequences import sequence_input
from tests.world import CORE, World

NOW = 0.01  # seconds


class TestCampaign:
    async def test_each_channel_has_its_turn_and_the_last_is_waited_for(self, relay: World) -> None:
        contacts = await relay.add_contacts(3)
        campaign = await relay.launch(fallback_after_seconds=NOW)
        for contact in contacts:
            await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
            assert await relay.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1), (0, "email", 1)]
        rows = await relay.rows(
            "SELECT channel, status, superseded_at IS NOT NULL, fallback_at FROM messages "
            "WHERE campaign_id = :id AND contact_id = :contact ORDER BY created_at",
            id=campaign.id,
            contact=contacts[0].id,
        )
        assert rows == [
            ("whatsapp", "sent", True, None),
            ("sms", "sent", True, None),
            ("email", "sent", False, None),
        ]

    async def test_the_verdict_says_why(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(fallback_after_seconds=NOW, fallback_order_json=["sms"])
        await relay.until_sent(campaign, contact, 0, Channel.SMS)
        verdicts = await relay.rows(
            "SELECT channel, verdict, reason FROM decisions WHERE campaign_id = :id ORDER BY created_at", id=campaign.id
        )
        assert ("whatsapp", "skip", "not_delivered_in_time") in verdicts
        assert verdicts[-1] == ("sms", "send", "allowed")

    async def test_without_the_setting_an_accepted_message_is_left_alone(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(followups=(1,))
        await relay.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        assert await relay.sent_to(contact) == [(0, "whatsapp", 1), (1, "whatsapp", 1)]

    async def test_follow_ups_fall_back_too(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(followups=(1,), fallback_after_seconds=NOW, fallback_order_json=["sms"])
        await relay.until_sent(campaign, contact, 1, Channel.SMS)
        assert sorted(await relay.sent_to(contact)) == [
            (0, "sms", 1),
            (0, "whatsapp", 1),
            (1, "sms", 1),
            (1, "whatsapp", 1),
        ]

    async def test_who_may_not_be_reached_otherwise_stays_sent(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1, consents=(Channel.WHATSAPP,))
        campaign = await relay.launch(fallback_after_seconds=NOW)
        await relay.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND superseded_at IS NOT NULL "
            "AND fallback_at IS NULL",
            (1,),
            id=campaign.id,
        )
        assert await relay.sequence_result(campaign, contact) == "exhausted"
        rows = await relay.rows("SELECT state, reason FROM campaign_recipients WHERE campaign_id = :id", id=campaign.id)
        assert rows == [("sent", "")]

    async def test_a_delivery_in_time_calls_it_off(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(fallback_after_seconds=60, fallback_order_json=["sms"])
        await heard.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND delivered_at IS NOT NULL "
            "AND fallback_at IS NULL AND superseded_at IS NULL",
            (1,),
            id=campaign.id,
        )
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1)]

    async def test_a_late_delivery_is_written_down_beside_the_fallback(self, heard: World) -> None:
        await heard.behave(webhook_delay_ms=[3_000, 3_000])
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(fallback_after_seconds=NOW, fallback_order_json=["sms"])
        await heard.until_sent(campaign, contact, 0, Channel.SMS)
        await heard.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND channel = 'whatsapp' "
            "AND delivered_at > superseded_at",
            (1,),
            id=campaign.id,
        )
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1)]

    async def test_an_unknown_send_is_not_followed_by_another_channel(self, relay: World) -> None:
        await relay.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(fallback_after_seconds=NOW, fallback_order_json=["sms"])
        await relay.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND status = 'unknown' "
            "AND fallback_at > now() + interval '30 seconds'",
            (1,),
            id=campaign.id,
        )
        assert await relay.sent_to(contact) == [(0, "whatsapp", 1)]


class TestCrash:
    async def test_whoever_was_not_told_is_found_again(self, relay: World) -> None:
        """Superseded, and nobody was woken: the process ended in between."""
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(fallback_after_seconds=3_600, fallback_order_json=["sms"])
        await relay.until_sent(campaign, contact, 0, Channel.WHATSAPP)
        async with relay.sessions.begin(relay.tenant.id) as session:
            values = {"id": campaign.id}
            query = "UPDATE messages SET superseded_at = now(), fallback_at = now() WHERE campaign_id = :id"
            await session.execute(text(query), values)
        await relay.until_sent(campaign, contact, 0, Channel.SMS)
        assert await relay.sent_to(contact) == [(0, "whatsapp", 1), (0, "sms", 1)]


class TestDeliveredFirst:
    async def test_a_report_between_the_decision_and_the_claim_wins(self, relay: World) -> None:
        """Superseded, but the wake-up comes after the delivery: nothing else may leave."""
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(fallback_after_seconds=3_600, fallback_order_json=["sms"], followups=(30,))
        await relay.until_sent(campaign, contact, 0, Channel.WHATSAPP)
        await relay.until_armed(campaign, 1)
        async with relay.sessions.begin(relay.tenant.id) as session:
            await session.execute(
                text(
                    "UPDATE messages SET superseded_at = now(), status = 'delivered', delivered_at = now() "
                    "WHERE campaign_id = :id"
                ),
                {"id": campaign.id},
            )
            input = await sequence_input(session, relay.tenant.id, campaign.id, contact.id, relay.settings)
        await relay.workflows.wake_sequence(input, DeliveryFailed(step=0))
        await relay.until("SELECT state FROM campaign_recipients WHERE campaign_id = :id", ("sent",), id=campaign.id)
        assert await relay.sent_to(contact) == [(0, "whatsapp", 1)]


class TestSingle:
    async def test_the_next_channel_has_its_turn(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        message = await relay.send(
            contact,
            payload_json={
                "core_schema": CORE,
                "template_lang": "en",
                "variables": {"code": "42"},
                "fallback_order": ["sms"],
                "fallback_after_seconds": NOW,
            },
        )
        await relay.until(
            "SELECT status FROM messages WHERE fallback_of = :id AND channel = 'sms'", ("sent",), id=message.id
        )
        rows = await relay.rows(
            "SELECT superseded_at IS NOT NULL, fallback_at FROM messages WHERE id = :id", id=message.id
        )
        assert rows == [(True, None)]
