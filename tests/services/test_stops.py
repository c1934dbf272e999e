from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from app.db import Sessions
from app.domain.status import CampaignStatus, MessageStatus, Purpose, RecipientState, StopReason
from app.models import CampaignRecipient, Tenant
from app.services import stops
from app.services.stops import Stop
from tests import factories

NOW = datetime.now(UTC).replace(microsecond=0)


class World:
    """One contact in one campaign that has sent it a message."""

    def __init__(self, sessions: Sessions, tenant: Tenant) -> None:
        self.sessions, self.tenant_id = sessions, tenant.id
        self.contact_id, self.campaign_id = UUID(int=0), UUID(int=0)

    async def build(self, *, message: dict[str, Any] | None, recipient: dict[str, Any], **campaign: Any) -> "World":
        async with self.sessions.begin(self.tenant_id) as session:
            self.contact_id = (await factories.make_contact(session, self.tenant_id)).id
            self.campaign_id = (await factories.make_campaign(session, self.tenant_id, **campaign)).id
            await factories.make_recipient(session, self.tenant_id, self.campaign_id, self.contact_id, **recipient)
            if message is not None:
                await factories.make_message(
                    session,
                    self.tenant_id,
                    self.contact_id,
                    campaign_id=self.campaign_id,
                    **{"created_at": NOW, **message},
                )
        return self

    async def stop(self, reason: StopReason, at: datetime = NOW) -> list[UUID]:
        async with self.sessions.begin(self.tenant_id) as session:
            stopped = await stops.stop_recipients(session, self.tenant_id, self.contact_id, reason, at)
        return [sequence.campaign_id for sequence in stopped]

    async def recipient(self) -> CampaignRecipient:
        async with self.sessions.begin(self.tenant_id) as session:
            query = select(CampaignRecipient).where(col(CampaignRecipient.contact_id) == self.contact_id)
            return (await session.execute(query)).scalar_one()


@pytest.fixture
def world(sessions: Sessions, tenant: Tenant) -> World:
    return World(sessions, tenant)


class TestStopRecipients:
    async def test_a_reply_stops_the_campaign_that_was_answered(self, world: World) -> None:
        await world.build(message={}, recipient={"armed_at": NOW})
        assert await world.stop(StopReason.REPLIED) == [world.campaign_id]
        recipient = await world.recipient()
        assert (recipient.stop_reason, recipient.stopped_at, recipient.replied_at) == (StopReason.REPLIED, NOW, NOW)

    async def test_the_same_stop_again_answers_the_same_list(self, world: World) -> None:
        await world.build(message={}, recipient={})
        assert await world.stop(StopReason.REPLIED) == [world.campaign_id]
        assert await world.stop(StopReason.REPLIED) == [world.campaign_id]

    async def test_the_first_reason_stays(self, world: World) -> None:
        await world.build(message={}, recipient={})
        await world.stop(StopReason.REPLIED)
        assert await world.stop(StopReason.CONVERTED, NOW + timedelta(seconds=5)) == []
        recipient = await world.recipient()
        assert recipient.stop_reason == StopReason.REPLIED
        assert recipient.converted_at == NOW + timedelta(seconds=5)

    @pytest.mark.parametrize(("reason", "field"), [("replied", "replied_at"), ("converted", "converted_at")])
    async def test_without_exit_on_it_is_noted_and_nothing_ends(self, world: World, reason: str, field: str) -> None:
        await world.build(message={}, recipient={}, exit_on_json=[])
        assert await world.stop(StopReason(reason)) == []
        recipient = await world.recipient()
        assert (recipient.stop_reason, recipient.stopped_at, getattr(recipient, field)) == (None, None, NOW)

    async def test_an_opt_out_stops_whatever_exit_on_says(self, world: World) -> None:
        await world.build(message={}, recipient={}, exit_on_json=[])
        assert await world.stop(StopReason.OPTED_OUT) == [world.campaign_id]
        assert (await world.recipient()).stop_reason == StopReason.OPTED_OUT

    async def test_an_opt_out_leaves_transactional_campaigns_alone(self, world: World) -> None:
        await world.build(message={}, recipient={}, purpose=Purpose.TRANSACTIONAL)
        assert await world.stop(StopReason.OPTED_OUT) == []
        assert (await world.recipient()).stop_reason is None

    async def test_writing_before_the_campaign_reached_the_contact_is_no_reply_to_it(self, world: World) -> None:
        await world.build(message={"status": MessageStatus.QUEUED}, recipient={"state": RecipientState.QUEUED})
        assert await world.stop(StopReason.REPLIED) == []
        assert (await world.recipient()).replied_at is None

    async def test_a_purchase_before_the_campaign_reached_the_contact_stops_it(self, world: World) -> None:
        await world.build(message=None, recipient={"state": RecipientState.HELD})
        assert await world.stop(StopReason.CONVERTED) == [world.campaign_id]

    async def test_a_reply_to_a_message_of_last_month_does_not_touch_its_campaign(self, world: World) -> None:
        old = NOW - timedelta(days=30)
        await world.build(message={"created_at": old}, recipient={"ended_at": old}, status=CampaignStatus.DONE)
        assert await world.stop(StopReason.REPLIED) == []
        assert (await world.recipient()).replied_at is None

    async def test_a_sequence_that_still_waits_is_stopped_however_old_its_last_message(self, world: World) -> None:
        old = NOW - timedelta(days=30)
        await world.build(message={"created_at": old}, recipient={"armed_at": old}, status=CampaignStatus.DONE)
        assert await world.stop(StopReason.REPLIED) == [world.campaign_id]

    @pytest.mark.parametrize("status", [CampaignStatus.CANCELLED, CampaignStatus.FAILED, CampaignStatus.DRAFT])
    async def test_a_campaign_that_is_over_is_left_as_it_is(self, world: World, status: CampaignStatus) -> None:
        await world.build(message={}, recipient={}, status=status)
        assert await world.stop(StopReason.OPTED_OUT) == []
        assert (await world.recipient()).stop_reason is None

    async def test_deletion_stops_everything(self, world: World) -> None:
        await world.build(message=None, recipient={}, status=CampaignStatus.CANCELLED, purpose=Purpose.TRANSACTIONAL)
        assert await world.stop(StopReason.DELETED) == [world.campaign_id]

    async def test_an_ended_sequence_is_marked_but_needs_no_signal(self, world: World) -> None:
        await world.build(message={}, recipient={"ended_at": NOW})
        assert await world.stop(StopReason.REPLIED) == []
        assert (await world.recipient()).stop_reason == StopReason.REPLIED


class TestStopMany:
    async def test_stops_of_one_contact_apply_in_order_and_no_other_contact_is_touched(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        one = await World(sessions, tenant).build(message={}, recipient={})
        two = await World(sessions, tenant).build(message={}, recipient={})
        async with sessions.begin(tenant.id) as session:
            stopped = await stops.stop_many(
                session,
                tenant.id,
                [
                    Stop(contact_id=one.contact_id, reason=StopReason.OPTED_OUT, at=NOW),
                    Stop(contact_id=one.contact_id, reason=StopReason.REPLIED, at=NOW),
                ],
            )
        assert [(sequence.contact_id, sequence.reason) for sequence in stopped] == [
            (one.contact_id, StopReason.OPTED_OUT)
        ]
        assert (await two.recipient()).stop_reason is None
