"""Reset, retry and terminate are the operator's tools in the engine's UI. None of them sends anything twice.

The simulator's own ledger is the judge, by recipient and reference.
"""

import asyncio

from app.domain.status import CampaignStatus, Channel, Purpose
from app.ids import campaign_workflow_id, message_workflow_id, sequence_workflow_id
from app.models import Campaign, Contact
from tests.operating.resets import decided_at, ledger, outcome, reset, reset_everywhere, runs
from tests.world import CORE, World

DOWN_TO_SMS = {"core_schema": CORE, "template_lang": "en", "variables": {"code": "42"}, "fallback_order": ["sms"]}


def sequence_id(relay: World, campaign: Campaign, contact: Contact) -> str:
    return sequence_workflow_id(relay.tenant.id, campaign.id, contact.id)


class TestReset:
    async def test_at_every_decision_of_a_campaign_and_its_sequences_nothing_more_is_sent(self, heard: World) -> None:
        patient, failing, replying, stopping = people = await heard.add_contacts(4)
        await heard.add_contacts(1, consents=[Channel.SMS])
        await heard.add_contacts(1, consents=())
        await heard.script(failing, Channel.WHATSAPP, {"do": "fail", "after": 1})
        await heard.script(replying, Channel.WHATSAPP, {"do": "reply", "after": 2, "delay_ms": 100})
        await heard.script(stopping, Channel.WHATSAPP, {"do": "stop", "after": 1, "delay_ms": 100})
        campaign = await heard.launch(followups=(1, 2, 3))
        ends = [await heard.sequence_result(campaign, contact) for contact in people]
        assert ends == ["exhausted", "exhausted", "replied", "opted_out"]
        assert [step for step, _, _ in await heard.sent_to(failing)] == [0, 0, 1, 2, 3]
        await heard.ended(campaign)
        await until_reported(heard)
        before, stood = await ledger(heard), await outcome(heard)

        ids = [sequence_id(heard, campaign, contact) for contact in people]
        counts = await asyncio.gather(*(reset_everywhere(heard.client, id) for id in ids))
        campaign_resets = await reset_everywhere(heard.client, campaign_workflow_id(heard.tenant.id, campaign.id))
        assert min(*counts, campaign_resets) > 1
        await heard.until_closed(campaign)
        await heard.settle()
        assert set(before.values()) == {1}
        assert await ledger(heard) == before
        assert await outcome(heard) == stood
        await heard.until_status(campaign, CampaignStatus.DONE)

    async def test_a_campaign_that_ended_reaches_nobody_who_fits_its_segment_since(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1, tags_json=["vip"])
        (late,) = await heard.add_contacts(1)
        campaign = await heard.launch(segment_json={"field": "tags", "op": "contains", "value": "vip"})
        await heard.ended(campaign)
        async with heard.sessions.begin(heard.tenant.id) as session:
            (await session.get_one(Contact, late.id)).tags_json = ["vip"]
        id = campaign_workflow_id(heard.tenant.id, campaign.id)
        await reset_everywhere(heard.client, id)
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1)]
        assert await heard.sent_to(late) == []
        assert await heard.rows("SELECT contact_id FROM campaign_recipients") == [(contact.id,)]

    async def test_a_step_that_was_refused_is_not_made_up_for_after_a_later_one(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1, email=None, consents=[Channel.WHATSAPP])
        campaign = await heard.launch(followups=(1, 2), fallback_order_json=[])
        await heard.until_sent(campaign, contact, 0, Channel.WHATSAPP)
        await set_phone(heard, contact, None)
        await heard.until("SELECT state, step FROM campaign_recipients", ("skipped", 1))
        await set_phone(heard, contact, contact.phone)
        assert await heard.sequence_result(campaign, contact) == "exhausted"
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (2, "whatsapp", 1)]
        await reset_everywhere(heard.client, sequence_id(heard, campaign, contact))
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (2, "whatsapp", 1)]

    async def test_in_the_middle_of_a_launch_nobody_is_lost_or_doubled(self, heard: World) -> None:
        await heard.behave(latency_ms=100)
        await heard.add_contacts(1_200)
        campaign = await heard.launch()
        id = campaign_workflow_id(heard.tenant.id, campaign.id)
        for accepted in (100, 300, 500):
            await heard.until_accepted(accepted)
            (run_id,) = (await runs(heard.client, id))[:1]
            await reset(heard.client, id, run_id, (await decided_at(heard.client, id, run_id))[0])
        await heard.ended(campaign)
        found = await ledger(heard)
        assert set(found.values()) == {1}
        assert len(found) == 1_200

    async def test_of_a_single_message_at_every_decision_sends_nothing_more(self, heard: World) -> None:
        good, failing, lost = await heard.add_contacts(3)
        await heard.script(failing, Channel.WHATSAPP, {"do": "fail"})
        plain = await heard.send(good)
        fallen = await heard.send(failing, payload_json=DOWN_TO_SMS)
        await heard.until("SELECT count(*) FROM messages WHERE channel = 'sms' AND status = 'delivered'", (1,))
        await heard.behave(webhook_delay_ms=[1_000, 1_000])
        await heard.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        await heard.at_any_hour()
        unknown = await heard.send(lost, purpose=Purpose.MARKETING)
        messages = [plain, fallen, unknown]
        assert [await heard.outcome(message) for message in messages] == ["sent", "sent", "sent"]
        await until_reported(heard)
        before, stood = await ledger(heard), await outcome(heard)
        ids = [message_workflow_id(heard.tenant.id, message.id) for message in messages]
        await asyncio.gather(*(reset_everywhere(heard.client, id) for id in ids))
        assert set(before.values()) == {1}
        assert await ledger(heard) == before
        assert await outcome(heard) == stood


class TestTerminate:
    async def test_a_campaign_goes_on_where_it_was_after_pause_and_resume(self, heard: World) -> None:
        await heard.behave(latency_ms=200)
        await heard.add_contacts(200)
        campaign = await heard.launch(followups=(1,))
        await heard.until_accepted(50)
        await heard.client.get_workflow_handle(campaign_workflow_id(heard.tenant.id, campaign.id)).terminate()
        await heard.steer(campaign, CampaignStatus.PAUSED)
        await heard.steer(campaign, CampaignStatus.RUNNING)
        await heard.until_status(campaign, CampaignStatus.DONE)
        await heard.until_over(campaign, 200)
        found = await ledger(heard)
        assert set(found.values()) == {1}
        assert len(found) == 400

    async def test_a_sequence_that_was_ended_by_force_goes_on_by_a_reset(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(1, 3))
        await heard.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        id = sequence_id(heard, campaign, contact)
        (run_id,) = await runs(heard.client, id)
        await heard.client.get_workflow_handle(id).terminate()
        await reset(heard.client, id, run_id, (await decided_at(heard.client, id, run_id))[0])
        assert await heard.sequence_result(campaign, contact) == "exhausted"
        assert await heard.sent_to(contact) == [(0, "whatsapp", 1), (1, "whatsapp", 1), (2, "whatsapp", 1)]


async def until_reported(relay: World) -> None:
    """Wait until no report about a message is to come any more."""
    await relay.until("SELECT count(*) FROM messages WHERE direction = 'out' AND status IN ('sent', 'unknown')", (0,))


async def set_phone(relay: World, contact: Contact, phone: str | None) -> None:
    async with relay.sessions.begin(relay.tenant.id) as session:
        (await session.get_one(Contact, contact.id)).phone = phone
