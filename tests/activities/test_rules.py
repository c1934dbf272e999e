"""The rules of the gate hold at the moment a message leaves, whatever they said when it was planned."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.messages import MessageActivities
from activities.sequences import SequenceActivities
from app.channels.base import OutboundMessage
from app.contracts.campaign import SendHeld
from app.contracts.message import SendMessage, SendMessageResult
from app.contracts.sequence import SendStep, SendStepResult
from app.domain.status import Channel, MessageStatus, MessageType, OptOutScope, Purpose, SuppressionReason
from app.ids import new_id
from app.models import Campaign, Contact, Message
from app.repositories import consents as consent_rows
from app.repositories.outbox import NotSent
from app.services import campaign_reports, consents, standstills
from app.services.sending import Outgoing, record_refused
from tests.activities.conftest import Hands

DAY = timedelta(days=1)
STANDS = "SELECT state, reason FROM campaign_recipients WHERE campaign_id = :id AND contact_id = :contact_id"
ROWS = "SELECT channel, status FROM messages WHERE contact_id = :id ORDER BY channel, status"
FOR_ALL = [{"messages": 1, "period_hours": 24}]
FOR_A_WEEK = [{"messages": 1, "period_days": 7}]


@pytest.fixture
async def place(hands: Hands) -> Hands:
    await hands.world.add_senders([Channel.SMS], per_second=None)
    return hands


async def decide(place: Hands, **settings: Any) -> None:
    """The tenant's rules from now on."""
    values = json.dumps({"quiet_hours": {}, **settings})
    sql = "UPDATE tenants SET settings_json = CAST(:settings AS jsonb) RETURNING id"
    await place.world.rows(sql, settings=values)


async def launch(place: Hands, fallbacks: Sequence[Channel] = (), **changes: Any) -> Campaign:
    """A campaign to everybody there is, with its first page sent."""
    order = [channel.value for channel in fallbacks]
    campaign = await place.world.make_campaign(fallback_order_json=order, **changes)
    await ActivityEnvironment().run(place.campaigns.send_page, await place.frozen_page(campaign))
    return campaign


async def look_again(place: Hands, campaign: Campaign) -> int:
    """What is held is looked at as if its time had come; how many were sent."""
    sql = "UPDATE campaign_recipients SET hold_until = now() WHERE campaign_id = :id AND state = 'held' RETURNING id"
    await place.world.rows(sql, id=campaign.id)
    held = SendHeld(tenant_id=place.world.tenant.id, campaign_id=campaign.id)
    return (await ActivityEnvironment().run(place.campaigns.send_held, held)).sent


async def stands(place: Hands, campaign: Campaign, contact: Contact) -> tuple[str, str]:
    ((state, reason),) = await place.world.rows(STANDS, id=campaign.id, contact_id=contact.id)
    return state, reason


async def send(place: Hands, message: Message) -> SendMessageResult:
    activities = MessageActivities(place.world.sessions, place.campaigns.outbox, place.world.settings)
    input = SendMessage(tenant_id=place.world.tenant.id, message_id=message.id)
    return await ActivityEnvironment().run(activities.send_message, input)


async def messages(place: Hands, contact: Contact) -> list[tuple[str, str]]:
    return [tuple(row) for row in await place.world.rows(ROWS, id=contact.id)]


def around_now() -> dict[str, str]:
    """Quiet hours that began an hour ago and end in one, on a clock in UTC."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    return {"start": f"{begin:%H:%M}", "end": f"{end:%H:%M}"}


class TestFrequencyCap:
    async def test_three_campaigns_at_once_do_not_exceed_it(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_ALL)
        await place.world.add_contacts(120)
        campaigns = [await place.world.make_campaign() for _ in range(3)]
        pages = [await place.frozen_page(campaign) for campaign in campaigns]
        environments = [ActivityEnvironment() for _ in pages]
        results = await asyncio.gather(
            *(it.run(place.campaigns.send_page, page) for it, page in zip(environments, pages, strict=True))
        )
        assert sum(result.sent for result in results) == 120
        accepted = await place.world.accepted()
        assert len({recipient for recipient, _ in accepted}) == len(accepted) == 120
        sql = "SELECT state, reason, count(*) FROM campaign_recipients GROUP BY 1, 2 ORDER BY 1"
        assert [tuple(row) for row in await place.world.rows(sql)] == [
            ("held", "frequency_cap", 240),
            ("sent", "", 120),
        ]

    async def test_quotas_and_single_messages_beside_it_change_nothing(self, hands: Hands) -> None:
        await decide(hands, frequency_caps=FOR_ALL)
        await hands.world.add_senders([Channel.SMS], per_second=None, messages_per_day=10_000)
        contacts = await hands.world.add_contacts(60)
        campaigns = [
            await hands.world.make_campaign(primary_channel=Channel.SMS, fallback_order_json=[]) for _ in range(2)
        ]
        pages = [await hands.frozen_page(campaign) for campaign in campaigns]
        purposes = [Purpose.MARKETING, Purpose.TRANSACTIONAL]
        singles = [
            await hands.world.write_message(contact, Channel.SMS, purpose=purpose)
            for contact in contacts[:10]
            for purpose in purposes
        ]
        await asyncio.gather(
            *(ActivityEnvironment().run(hands.campaigns.send_page, page) for page in pages),
            *(send(hands, message) for message in singles),
        )
        sql = "SELECT purpose, count(*), count(DISTINCT contact_id) FROM messages WHERE status = 'sent' GROUP BY 1"
        assert {tuple(row) for row in await hands.world.rows(sql)} == {("marketing", 60, 60), ("transactional", 10, 10)}
        assert await hands.world.rows("SELECT sum(used) FROM daily_usage") == [(70,)]

    async def test_what_would_wait_longer_than_a_day_is_skipped_with_the_reason(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_A_WEEK)
        (contact,) = await place.world.add_contacts(1)
        await launch(place)
        second = await launch(place, fallbacks=[Channel.SMS])
        assert await stands(place, second, contact) == ("skipped", "frequency_cap")
        ((cap,),) = await place.world.rows(
            "SELECT DISTINCT inputs_json ->> 'cap' FROM decisions WHERE reason = 'frequency_cap'"
        )
        assert cap == "1 in 168 h"

    async def test_a_cap_of_one_channel_leaves_the_others(self, place: Hands) -> None:
        await decide(place, frequency_caps=[{**FOR_A_WEEK[0], "channel": "whatsapp"}])
        (contact,) = await place.world.add_contacts(1)
        for _ in range(2):
            await launch(place, fallbacks=[Channel.SMS])
        assert await messages(place, contact) == [("sms", "sent"), ("whatsapp", "sent")]

    async def test_what_failed_does_not_count(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_A_WEEK)
        (contact,) = await place.world.add_contacts(1)
        first = await launch(place)
        await place.world.rows(
            "UPDATE messages SET status = 'failed' WHERE campaign_id = :id RETURNING id", id=first.id
        )
        second = await launch(place)
        assert await stands(place, second, contact) == ("sent", "")

    async def test_a_cap_that_is_lifted_while_a_message_waits_lets_it_pass(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_ALL)
        (contact,) = await place.world.add_contacts(1)
        await launch(place)
        second = await launch(place)
        assert await stands(place, second, contact) == ("held", "frequency_cap")
        assert await look_again(place, second) == 0
        await decide(place)
        assert await look_again(place, second) == 1

    async def test_single_messages_count_and_are_counted_unless_transactional(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_ALL)
        (contact,) = await place.world.add_contacts(1)
        for purpose, outcome in [
            (Purpose.TRANSACTIONAL, "sent"),
            (Purpose.MARKETING, "sent"),
            (Purpose.MARKETING, "held"),
            (Purpose.TRANSACTIONAL, "sent"),
        ]:
            message = await place.world.write_message(contact, Channel.SMS, purpose=purpose)
            result = await send(place, message)
            assert result.outcome == outcome
        assert await stands(place, await launch(place), contact) == ("held", "frequency_cap")


class TestFollowUps:
    """A step of a sequence, the day after the launch."""

    async def next_day(self, place: Hands) -> tuple[SendStep, Contact]:
        (contact,) = await place.world.add_contacts(1)
        campaign = await launch(place, followups=(1,))
        await place.world.rows("UPDATE messages SET sent_at = sent_at - interval '24 hours' RETURNING id")
        tenant_id = place.world.tenant.id
        return SendStep(tenant_id=tenant_id, campaign_id=campaign.id, contact_id=contact.id, step=1), contact

    async def send_step(self, place: Hands, step: SendStep) -> SendStepResult:
        activities = SequenceActivities(place.world.sessions, place.campaigns.outbox)
        return await ActivityEnvironment().run(activities.send_step, step)

    async def test_the_launch_counts_for_the_follow_up(self, place: Hands) -> None:
        await decide(place, frequency_caps=[{"messages": 1, "period_hours": 30}])
        step, contact = await self.next_day(place)
        result = await self.send_step(place, step)
        assert (result.outcome, result.reason) == ("held", "frequency_cap")
        assert result.hold_until is not None
        assert result.hold_until - datetime.now(UTC) < timedelta(hours=6)
        await decide(place, frequency_caps=[{"messages": 2, "period_hours": 30}])
        assert (await self.send_step(place, step)).outcome == "sent"
        assert len(await messages(place, contact)) == 2

    async def test_what_would_wait_longer_than_a_day_is_left_out(self, place: Hands) -> None:
        await decide(place, frequency_caps=FOR_A_WEEK)
        step, _ = await self.next_day(place)
        result = await self.send_step(place, step)
        assert (result.outcome, result.reason) == ("skipped", "frequency_cap")

    async def test_whatsapps_limit_holds_it_for_a_day(self, place: Hands) -> None:
        await decide(place)
        step, contact = await self.next_day(place)
        fault = {"kind": "error", "provider": "whatsapp_cloud", "status": 400, "code": 131049, "next": 1}
        await place.world.faults(fault)
        assert (await self.send_step(place, step)).outcome == "retry"
        result = await self.send_step(place, step)
        assert (result.outcome, result.reason) == ("held", "recipient_limited")
        assert await messages(place, contact) == [("whatsapp", "queued"), ("whatsapp", "sent")]


class TestRecipientLimited:
    """WhatsApp's 131049."""

    async def refuse(self, place: Hands, times: int = 1) -> None:
        fault = {"kind": "error", "provider": "whatsapp_cloud", "status": 400, "code": 131049, "next": times}
        await place.world.faults(fault)

    async def test_the_step_falls_back_at_once_and_the_contact_gets_no_marketing_there(self, place: Hands) -> None:
        await decide(place)
        (contact,) = await place.world.add_contacts(1)
        await self.refuse(place)
        await launch(place, fallbacks=[Channel.SMS])
        assert await messages(place, contact) == [("sms", "sent"), ("whatsapp", "skipped")]
        await launch(place, fallbacks=[Channel.SMS])
        assert await messages(place, contact) == [("sms", "sent"), ("sms", "sent"), ("whatsapp", "skipped")]

    async def test_without_another_channel_it_is_tried_again_a_day_later(self, place: Hands) -> None:
        await decide(place)
        (contact,) = await place.world.add_contacts(1)
        await self.refuse(place)
        campaign = await launch(place)
        assert await stands(place, campaign, contact) == ("held", "recipient_limited")
        async with place.world.sessions.begin(place.world.tenant.id) as session:
            (shown,) = await campaign_reports.show(session, campaign.tenant_id, [campaign], place.world.settings)
            waiting = await standstills.of_campaign(session, campaign)
        assert (shown.counts.recipients, shown.counts.queued, shown.counts.held) == (1, 0, 1)
        assert [(it.reason, it.count) for it in waiting] == [("recipient_limited", 1)]
        sql = "SELECT hold_until - now() > interval '23 hours' FROM campaign_recipients WHERE campaign_id = :id"
        assert await place.world.rows(sql, id=campaign.id) == [(True,)]
        assert await look_again(place, campaign) == 0
        await place.world.rows("UPDATE contacts SET whatsapp_limited_until = now() RETURNING id")
        assert await look_again(place, campaign) == 1
        assert await messages(place, contact) == [("whatsapp", "sent")]

    async def test_a_single_message_takes_its_next_channel_and_else_waits(self, place: Hands) -> None:
        await decide(place)
        alone, both = await place.world.add_contacts(2)
        await self.refuse(place, times=2)
        first = await place.world.write_message(alone, purpose=Purpose.MARKETING)
        assert (await send(place, first)).outcome == "retry"
        result = await send(place, first)
        assert (result.outcome, result.reason) == ("held", "recipient_limited")
        payload = {**first.payload_json, "fallback_order": ["sms"]}
        second = await place.world.write_message(both, purpose=Purpose.MARKETING, payload_json=payload)
        assert (await send(place, second)).outcome == "retry"
        assert (await send(place, second)).channel == "sms"
        assert await messages(place, both) == [("sms", "sent"), ("whatsapp", "skipped")]

    async def test_a_transactional_message_that_is_refused_so_fails(self, place: Hands) -> None:
        (contact,) = await place.world.add_contacts(1)
        await self.refuse(place)
        assert (await send(place, await place.world.write_message(contact))).outcome == "failed"
        assert (await send(place, await place.world.write_message(contact))).outcome == "sent"


class TestPairLimit:
    async def test_131056_lets_that_pair_wait_and_nobody_else(self, place: Hands) -> None:
        met, other = await place.world.add_contacts(2)
        fault = {"kind": "error", "provider": "whatsapp_cloud", "status": 400, "code": 131056, "next": 1}
        await place.world.faults(fault)
        result = await send(place, await place.world.write_message(met))
        assert (result.outcome, result.reason) == ("retry", "131056")
        assert result.hold_until is not None
        assert result.hold_until - datetime.now(UTC) < timedelta(seconds=10)
        assert (await send(place, await place.world.write_message(other))).outcome == "sent"


class TestOptedOutAtTheProvider:
    async def refused(self, place: Hands, provider: str, code: int) -> None:
        await place.world.faults({"kind": "error", "provider": provider, "status": 400, "code": code, "next": 1})

    async def test_21610_is_a_stop_of_sms_that_was_not_known_here(self, place: Hands) -> None:
        await decide(place)
        (contact,) = await place.world.add_contacts(1)
        await self.refused(place, "twilio", 21610)
        campaign = await launch(place, primary_channel=Channel.SMS, fallbacks=[Channel.WHATSAPP])
        assert await stands(place, campaign, contact) == ("failed", "opted_out")
        ((reason,),) = await place.world.rows("SELECT reason FROM suppressions WHERE channel = 'sms'")
        assert reason == "stop"
        sql = "SELECT stop_reason FROM campaign_recipients WHERE campaign_id = :id"
        assert await place.world.rows(sql, id=campaign.id) == [("opted_out",)]
        transactional = await place.world.write_message(contact, Channel.SMS)
        assert (await send(place, transactional)).reason == "suppressed_stop"

    async def test_131050_is_a_no_to_marketing_on_whatsapp_alone(self, place: Hands) -> None:
        await decide(place)
        (contact,) = await place.world.add_contacts(1)
        await self.refused(place, "whatsapp_cloud", 131050)
        await launch(place)
        marketing = await place.world.write_message(contact, purpose=Purpose.MARKETING)
        assert (await send(place, marketing)).reason == "opted_out"
        assert (await send(place, await place.world.write_message(contact))).outcome == "sent"

    async def test_it_does_not_weaken_an_earlier_no_to_everything(self, place: Hands) -> None:
        (contact,) = await place.world.add_contacts(1)
        async with place.world.sessions.begin(place.world.tenant.id) as session:
            for scope in ("all", "marketing"):
                await consents.record_opt_out(
                    session,
                    place.world.tenant.id,
                    contact.id,
                    Channel.WHATSAPP,
                    at=datetime.now(UTC),
                    source="test",
                    reason=SuppressionReason.STOP,
                    address="",
                    scope=OptOutScope(scope),
                )
        assert (await send(place, await place.world.write_message(contact))).reason == "opted_out"


class TestAskedAgainWhenTheyLeave:
    """Everybody is held by quiet hours first; then something changes, and the hold ends."""

    async def held(self, place: Hands) -> tuple[Campaign, Contact]:
        await decide(place, quiet_hours=around_now())
        (contact,) = await place.world.add_contacts(1, timezone="UTC")
        campaign = await launch(place, fallbacks=[Channel.SMS], quiet_hours_json=None)
        assert await stands(place, campaign, contact) == ("held", "quiet_hours")
        return campaign, contact

    async def test_while_it_is_quiet_it_goes_on_waiting(self, place: Hands) -> None:
        campaign, contact = await self.held(place)
        assert await look_again(place, campaign) == 0
        assert await stands(place, campaign, contact) == ("held", "quiet_hours")

    async def test_quiet_hours_that_are_gone_hold_no_longer(self, place: Hands) -> None:
        campaign, contact = await self.held(place)
        await decide(place)
        assert await look_again(place, campaign) == 1
        assert await messages(place, contact) == [("whatsapp", "sent")]

    async def test_quiet_hours_of_the_contacts_country_win(self, place: Hands) -> None:
        campaign, _ = await self.held(place)
        await decide(place, quiet_hours=around_now(), quiet_hours_by_country={"PT": {}})
        assert await look_again(place, campaign) == 1

    async def test_a_consent_that_was_withdrawn_leads_to_the_next_channel(self, place: Hands) -> None:
        campaign, contact = await self.held(place)
        await decide(place)
        await place.world.rows("UPDATE consents SET opt_out_at_utc = now() WHERE channel = 'whatsapp' RETURNING id")
        assert await look_again(place, campaign) == 1
        assert await messages(place, contact) == [("sms", "sent")]

    async def test_an_address_that_was_suppressed_gets_nothing(self, place: Hands) -> None:
        campaign, contact = await self.held(place)
        await decide(place)
        async with place.world.sessions.begin(place.world.tenant.id) as session:
            for channel in (Channel.WHATSAPP, Channel.SMS):
                await consent_rows.suppress(
                    session,
                    place.world.tenant.id,
                    channel,
                    contact.phone or "",
                    reason=SuppressionReason.MANUAL,
                    source="test",
                )
        assert await look_again(place, campaign) == 0
        assert await stands(place, campaign, contact) == ("skipped", "suppressed_manual")

    async def test_a_cap_that_came_meanwhile_holds_on(self, place: Hands) -> None:
        campaign, contact = await self.held(place)
        await decide(place, frequency_caps=FOR_ALL)
        other = await place.world.write_message(contact, Channel.SMS, purpose=Purpose.MARKETING)
        assert (await send(place, other)).outcome == "sent"
        assert await look_again(place, campaign) == 0
        assert await stands(place, campaign, contact) == ("held", "frequency_cap")


class TestGivenUp:
    async def test_what_a_mail_server_put_off_until_it_was_given_up_counts_as_a_soft_bounce(self, place: Hands) -> None:
        await decide(place, soft_bounces={"count": 2})
        world = place.world
        await world.add_senders([Channel.EMAIL], per_second=None)
        (contact,) = await world.add_contacts(1)
        for code, reasons in (("5.7.1", []), ("4.2.2", []), ("4.2.2", [("bounce",)])):
            token = new_id()
            message = await world.write_message(
                contact, Channel.EMAIL, status=MessageStatus.SENDING, claim_token=token, address=contact.email
            )
            async with world.sessions.begin(world.tenant.id) as session:
                sender = (await place.campaigns.outbox.senders.defaults(session, world.tenant.id))[Channel.EMAIL]
                gone = OutboundMessage(
                    reference=message.id,
                    tenant_id=world.tenant.id,
                    settings_id=sender.settings_id,
                    channel=Channel.EMAIL,
                    type=MessageType.TEXT,
                    to=contact.email or "",
                )
                outgoing = Outgoing(id=message.id, contact_id=contact.id, sender=sender, message=gone)
                failed = NotSent(id=message.id, status=MessageStatus.FAILED, code=code, detail="")
                await record_refused(session, [outgoing], [failed], token, datetime.now(UTC))
            assert [tuple(row) for row in await world.rows("SELECT reason FROM suppressions")] == reasons
