"""Ends of sequences, as they are noted on the recipients."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.db import Sessions
from app.domain.status import MessageStatus, RecipientState, StopReason
from app.models import CampaignRecipient, Message, Tenant
from app.repositories import audience
from tests import factories


class TestEnds:
    @pytest.mark.parametrize(
        ("state", "reason", "expected"),
        [
            (RecipientState.HELD, StopReason.REPLIED, (RecipientState.SKIPPED, "already_replied", None)),
            (RecipientState.HELD, StopReason.OPTED_OUT, (RecipientState.SKIPPED, "opted_out", None)),
            (RecipientState.SENT, StopReason.OPTED_OUT, (RecipientState.SENT, "", None)),
        ],
    )
    async def test_a_step_that_was_held_is_not_left_held_when_the_contact_is_stopped(
        self, sessions: Sessions, tenant: Tenant, state: RecipientState, reason: StopReason, expected: object
    ) -> None:
        held = {"reason": "quiet_hours", "hold_until": datetime.now(UTC)} if state is RecipientState.HELD else {}
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id)
            campaign = await factories.make_campaign(session, tenant.id)
            row = await factories.make_recipient(
                session, tenant.id, campaign.id, contact.id, state=state, step=1, **held
            )
        async with sessions.begin(tenant.id) as session:
            await audience.mark_ended(session, campaign.id, [contact.id], reason.value)
        async with sessions.begin(tenant.id) as session:
            found = await session.get_one(CampaignRecipient, row.id)
            assert (found.state, found.reason, found.hold_until) == expected
            assert found.stop_reason is reason
            assert found.ended_at is not None

    async def test_a_message_that_waits_for_another_try_is_withdrawn(self, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id)
            campaign = await factories.make_campaign(session, tenant.id)
            row = await factories.make_recipient(
                session, tenant.id, campaign.id, contact.id, state=RecipientState.PENDING, step=1
            )
            sent = await factories.make_message(session, tenant.id, contact.id, campaign_id=campaign.id)
            again = await factories.make_message(
                session, tenant.id, contact.id, campaign_id=campaign.id, step=1, status=MessageStatus.QUEUED
            )
        async with sessions.begin(tenant.id) as session:
            await audience.mark_ended(session, campaign.id, [contact.id], StopReason.REPLIED.value)
        async with sessions.begin(tenant.id) as session:
            statuses = [(await session.get_one(Message, message.id)).status for message in (sent, again)]
            assert statuses == [MessageStatus.SENT, MessageStatus.SKIPPED]
            assert (await session.get_one(CampaignRecipient, row.id)).state is RecipientState.SKIPPED


class TestOpenSequences:
    @pytest.mark.parametrize(
        "woken", [{"status": MessageStatus.FAILED}, {"status": MessageStatus.SENT, "superseded_at": datetime.now(UTC)}]
    )
    async def test_who_was_woken_for_the_next_channel_has_one(
        self, sessions: Sessions, tenant: Tenant, woken: dict[str, Any]
    ) -> None:
        async with sessions.begin(tenant.id) as session:
            campaign = await factories.make_campaign(session, tenant.id)
            asked, left = [await factories.make_contact(session, tenant.id) for _ in range(2)]
            for contact, changes in ((asked, woken), (left, {})):
                await factories.make_recipient(
                    session, tenant.id, campaign.id, contact.id, state=RecipientState.HELD, ended_at=datetime.now(UTC)
                )
                await factories.make_message(session, tenant.id, contact.id, campaign_id=campaign.id, **changes)
            assert await audience.open_sequences(session, campaign.id, None, 10) == [asked.id]
