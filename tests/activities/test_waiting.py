"""What waits for one channel while another has its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.testing import ActivityEnvironment

from activities.messages import MessageActivities
from activities.outbox import Outbox
from activities.sequences import SequenceActivities
from app.contracts.campaign import SendHeld
from app.contracts.message import SendMessage
from app.contracts.sequence import SendStep, SendStepResult
from app.db import Sessions
from app.domain.status import Channel, Purpose
from app.models import Campaign, Contact
from tests.activities.conftest import Hands

ROWS = "SELECT channel, status, error_code FROM messages WHERE contact_id = :id ORDER BY channel"
LIMITED = {"kind": "error", "provider": "whatsapp_cloud", "status": 400, "code": 131049, "next": 1}


async def launch(hands: Hands, **changes: Any) -> Campaign:
    campaign = await hands.world.make_campaign(**changes)
    await ActivityEnvironment().run(hands.campaigns.send_page, await hands.frozen_page(campaign))
    return campaign


async def messages(hands: Hands, contact: Contact) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in await hands.world.rows(ROWS, id=contact.id)]


class TestNextChannelHasToWaitToo:
    async def test_the_first_is_not_given_up_before_the_next_is_claimed(self, hands: Hands) -> None:
        await hands.world.at_any_hour()
        await hands.world.add_senders([Channel.SMS], per_second=None, messages_per_day=1)
        (contact,) = await hands.world.add_contacts(1)
        await launch(hands, primary_channel=Channel.SMS, fallback_order_json=[])  # the quota of the day
        await hands.world.faults(LIMITED)
        campaign = await launch(hands, fallback_order_json=["sms"])
        sql = "SELECT channel, status FROM messages WHERE campaign_id = :id"
        assert await hands.world.rows(sql, id=campaign.id) == [("whatsapp", "queued")]

        await hands.world.rows("UPDATE contacts SET whatsapp_limited_until = now() RETURNING id")
        await hands.world.rows("UPDATE campaign_recipients SET hold_until = now() WHERE state = 'held' RETURNING id")
        held = SendHeld(tenant_id=hands.world.tenant.id, campaign_id=campaign.id)
        assert (await ActivityEnvironment().run(hands.campaigns.send_held, held)).sent == 1
        assert await hands.world.rows(sql, id=campaign.id) == [("whatsapp", "sent")]
        assert contact.phone in {recipient for recipient, _ in await hands.world.accepted()}


class TestSuperseded:
    async def test_nothing_waits_any_more_behind_a_message_that_was_accepted(self, hands: Hands) -> None:
        await hands.world.at_any_hour()
        await hands.world.add_senders([Channel.SMS], per_second=None)
        (contact,) = await hands.world.add_contacts(1)
        message = await hands.world.write_message(contact, Channel.SMS, purpose=Purpose.MARKETING)
        payload = 'payload_json || \'{"fallback_order": ["whatsapp"], "fallback_after_seconds": 60}\''
        await hands.world.rows(f"UPDATE messages SET payload_json = {payload} RETURNING id")
        activities = MessageActivities(hands.world.sessions, hands.campaigns.outbox, hands.world.settings)
        order = SendMessage(tenant_id=hands.world.tenant.id, message_id=message.id)
        assert (await ActivityEnvironment().run(activities.send_message, order)).outcome == "sent"
        await hands.world.rows("UPDATE messages SET superseded_at = now() RETURNING id")
        await hands.world.rows("UPDATE contacts SET whatsapp_limited_until = now() + interval '1 day' RETURNING id")
        assert (await ActivityEnvironment().run(activities.send_message, order)).outcome == "sent"
        assert await messages(hands, contact) == [("sms", "sent", ""), ("whatsapp", "skipped", "recipient_limited")]


class LosesOneAnswer(Sessions):
    """The connection breaks once, after what a provider refused was committed and before anybody heard of that."""

    lost = False

    @asynccontextmanager
    async def begin(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        async with super().begin(tenant_id) as session:
            yield session
            refused = await session.execute(text("SELECT FROM messages WHERE step = 1 AND error_code <> ''"))
            lose = not self.lost and refused.first() is not None
        if lose:
            self.lost = True
            raise OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))


class TestCommitWithoutAnswer:
    @pytest.mark.parametrize(
        ("fault", "channels"),
        [
            pytest.param({"status": 503, "code": 131016}, [("whatsapp", "sent")], id="for now"),
            pytest.param({"status": 400, "code": 131026}, [("sms", "sent"), ("whatsapp", "failed")], id="for good"),
        ],
    )
    async def test_a_step_that_was_refused_goes_on(
        self, hands: Hands, fault: dict[str, int], channels: list[tuple[str, str]]
    ) -> None:
        await hands.world.add_senders([Channel.SMS], per_second=None)
        (contact,) = await hands.world.add_contacts(1)
        campaign = await launch(hands, followups=(1,), fallback_order_json=["sms"])
        await hands.world.rows("UPDATE messages SET sent_at = sent_at - interval '24 hours' RETURNING id")
        await hands.world.faults({"kind": "error", "provider": "whatsapp_cloud", "next": 1, **fault})
        result = await self.send_step(hands, campaign, contact)
        assert result.outcome == "sent"
        sql = "SELECT channel, status FROM messages WHERE step = 1 ORDER BY channel"
        assert [tuple(row) for row in await hands.world.rows(sql)] == channels
        assert set((await hands.world.accepted()).values()) == {1}

    async def send_step(self, hands: Hands, campaign: Campaign, contact: Contact) -> SendStepResult:
        sessions = LosesOneAnswer(hands.world.sessions.engine)
        outbox = Outbox(sessions, hands.campaigns.outbox.senders, hands.campaigns.outbox.renderer)
        step = SendStep(tenant_id=hands.world.tenant.id, campaign_id=campaign.id, contact_id=contact.id, step=1)
        result = await ActivityEnvironment().run(SequenceActivities(sessions, outbox).send_step, step)
        assert sessions.lost
        return result


class TestTwoAtOnce:
    async def test_who_waited_for_the_others_record_sees_what_it_says(self, hands: Hands) -> None:
        """A page and a sequence look at the same step: one records a refusal while the other begins to decide."""
        (contact,) = await hands.world.add_contacts(1)
        campaign = await launch(hands, fallback_order_json=[])
        sessions, place = hands.world.sessions, hands.world
        await place.rows("UPDATE messages SET status = 'sending', sent_at = NULL, claim_token = id RETURNING id")
        await place.rows("UPDATE campaign_recipients SET state = 'queued' RETURNING id")
        step = SendStep(tenant_id=place.tenant.id, campaign_id=campaign.id, contact_id=contact.id, step=0)
        activities = SequenceActivities(sessions, hands.campaigns.outbox)
        async with sessions.begin(place.tenant.id) as session:
            await session.execute(text("UPDATE messages SET status = 'queued', unresolved_since = NULL"))
            await session.execute(text("UPDATE campaign_recipients SET state = 'pending'"))
            blocked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())"
            deciding = asyncio.create_task(ActivityEnvironment().run(activities.send_step, step))
            await place.until(blocked, (True,))
        assert (await deciding).outcome == "sent"
        assert await place.rows("SELECT state FROM campaign_recipients") == [("sent",)]
