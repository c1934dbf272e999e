import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.status import Channel, MessageStatus, RecipientState, StopReason
from app.models import CampaignRecipient, CampaignStep, Message, Tenant
from app.services.projections.signals import WakeMessage, WakeSequence
from tests import factories, providers
from tests.inbox import Inbox

NOW = datetime.now(UTC)


async def sent(inbox: Inbox, **changes: Any) -> UUID:
    """A message of ours to a new contact."""
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        contact = await factories.make_contact(session, inbox.tenant_id)
        return (await factories.make_message(session, inbox.tenant_id, contact.id, **changes)).id


async def sent_by_campaign(inbox: Inbox, *, recipient: dict[str, Any] | None = None, **message: Any) -> UUID:
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        contact = await factories.make_contact(session, inbox.tenant_id)
        campaign = await factories.make_campaign(session, inbox.tenant_id, launched_at=NOW)
        for position in (0, 1):
            session.add(
                CampaignStep(
                    tenant_id=inbox.tenant_id,
                    campaign_id=campaign.id,
                    template_id=campaign.template_id,
                    position=position,
                    after_days=position,
                )
            )
        await factories.make_recipient(session, inbox.tenant_id, campaign.id, contact.id, **(recipient or {}))
        made = await factories.make_message(session, inbox.tenant_id, contact.id, campaign_id=campaign.id, **message)
        return made.id


class TestProjectStatuses:
    async def test_reports_move_the_message_forward_and_set_its_times(self, inbox: Inbox) -> None:
        id = await sent(inbox, status=MessageStatus.SENDING, unresolved_since=NOW)
        for status in ("sent", "delivered", "read"):
            await inbox.whatsapp(providers.whatsapp_status(id, status))
            await inbox.project()
        message = await inbox.message(id)
        assert message.status == MessageStatus.READ
        assert message.sent_at
        assert message.delivered_at
        assert message.read_at
        assert message.unresolved_since is None
        assert message.provider_message_id == f"wamid.{id}"

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "read"])))
    async def test_order_does_not_matter(self, inbox: Inbox, order: tuple[str, ...], together: bool) -> None:
        id = await sent(inbox)
        for number, status in enumerate(order):
            moment = str(int(time.time()) - 10 + number)
            await inbox.whatsapp(providers.whatsapp_status(id, status, timestamp=moment))
            if not together:
                await inbox.project()
        await inbox.project(times=2)
        assert (await inbox.message(id)).status == MessageStatus.READ

    async def test_read_alone_proves_that_it_was_delivered(self, inbox: Inbox) -> None:
        id = await sent(inbox)
        await inbox.whatsapp(providers.whatsapp_status(id, "read"))
        await inbox.project()
        message = await inbox.message(id)
        assert message.delivered_at == message.read_at is not None

    @pytest.mark.parametrize("order", [("delivered", "failed"), ("failed", "delivered")])
    @pytest.mark.parametrize("together", [True, False])
    async def test_a_receipt_is_proof_against_a_failure(
        self, inbox: Inbox, order: tuple[str, str], together: bool
    ) -> None:
        id = await sent(inbox)
        for status in order:
            failed = status == "failed"
            await inbox.whatsapp(providers.whatsapp_failure(id) if failed else providers.whatsapp_status(id, status))
            if not together:
                await inbox.project()
        await inbox.project()
        message = await inbox.message(id)
        assert (message.status, message.error_code, message.failed_at) == (MessageStatus.DELIVERED, "", None)

    async def test_a_failure_keeps_the_providers_words(self, inbox: Inbox) -> None:
        id = await sent(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(id, 131026))
        await inbox.project()
        message = await inbox.message(id)
        assert (message.status, message.error_code) == (MessageStatus.FAILED, "131026")
        assert message.failed_at
        assert message.error_detail

    async def test_without_a_reference_the_providers_id_finds_it(self, inbox: Inbox) -> None:
        id = await sent(inbox, provider_message_id="wamid.known")
        status = providers.whatsapp_status("", "delivered", id="wamid.known")
        del status["biz_opaque_callback_data"]
        await inbox.whatsapp(status)
        await inbox.project()
        assert (await inbox.message(id)).status == MessageStatus.DELIVERED

    async def test_another_tenants_reference_is_ignored(self, inbox: Inbox) -> None:
        async with inbox.sessions.system() as session:
            other: Tenant = await factories.make_tenant(session)
        async with inbox.sessions.begin(other.id) as session:
            contact = await factories.make_contact(session, other.id)
            theirs = await factories.make_message(session, other.id, contact.id)
        await inbox.whatsapp(providers.whatsapp_status(theirs.id, "read"))
        await inbox.project()
        async with inbox.sessions.begin(other.id) as session:
            assert (await session.get_one(Message, theirs.id)).status == MessageStatus.SENT

    async def test_a_reference_from_another_channel_is_ignored(self, inbox: Inbox) -> None:
        id = await sent(inbox, channel=Channel.EMAIL)
        await inbox.whatsapp(providers.whatsapp_status(id, "read"))
        await inbox.project()
        assert (await inbox.message(id)).status == MessageStatus.SENT

    @pytest.mark.parametrize("reference", ["not-a-uuid", "00000000-0000-0000-0000-000000000000", "msg_01HZX9"])
    async def test_a_reference_that_is_not_ours_is_ignored(self, inbox: Inbox, reference: str) -> None:
        await inbox.whatsapp(providers.whatsapp_status(reference, "read"))
        assert await inbox.project() == []

    async def test_a_click_is_noted_with_its_address(self, inbox: Inbox) -> None:
        id = await sent(inbox, channel=Channel.EMAIL)
        await inbox.email("click", "ana@example.com", message_id=id, url="https://shop.example/spring")
        await inbox.project(times=2)
        message = await inbox.message(id)
        assert message.clicked_at
        assert message.status == MessageStatus.DELIVERED
        (fact,) = await inbox.facts("clicked")
        assert (fact.message_id, fact.payload_json["url"]) == (id, "https://shop.example/spring")

    async def test_a_deferral_is_only_noted(self, inbox: Inbox) -> None:
        id = await sent(inbox, channel=Channel.EMAIL)
        await inbox.email("deferred", "ana@example.com", message_id=id, response="try later")
        await inbox.project()
        assert (await inbox.message(id)).status == MessageStatus.SENT
        assert len(await inbox.facts("deferred")) == 1

    async def test_a_proof_of_acceptance_settles_the_recipient(self, inbox: Inbox) -> None:
        id = await sent_by_campaign(
            inbox,
            recipient={"state": RecipientState.QUEUED},
            status=MessageStatus.UNKNOWN,
            unresolved_since=NOW,
            error_code="interrupted",
        )
        await inbox.whatsapp(providers.whatsapp_status(id, "delivered"))
        assert await inbox.project() == []
        message = await inbox.message(id)
        assert (message.status, message.error_code, message.unresolved_since) == (MessageStatus.DELIVERED, "", None)
        (recipient,) = await inbox.rows(CampaignRecipient)
        assert recipient.state == RecipientState.SENT
        assert [fact.message_id for fact in await inbox.facts("resolved")] == [id]


class TestWaking:
    async def test_a_failed_campaign_message_calls_for_the_next_channel(self, inbox: Inbox) -> None:
        id = await sent_by_campaign(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(id))
        (pending,) = await inbox.project(times=2)
        assert isinstance(pending.signal, WakeSequence)
        assert pending.signal.failed.step == 0
        assert [step.position for step in pending.signal.input.steps] == [1]
        assert pending.event_ids == {(await inbox.stored())[0].id}

    async def test_nothing_is_tried_for_a_recipient_that_is_stopped(self, inbox: Inbox) -> None:
        id = await sent_by_campaign(
            inbox, recipient={"stopped_at": NOW, "stop_reason": StopReason.REPLIED, "state": RecipientState.SENT}
        )
        await inbox.whatsapp(providers.whatsapp_failure(id))
        assert await inbox.project() == []
        (recipient,) = await inbox.rows(CampaignRecipient)
        assert recipient.state == RecipientState.FAILED

    async def test_a_failure_that_a_receipt_outweighs_wakes_nobody(self, inbox: Inbox) -> None:
        id = await sent_by_campaign(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(id), providers.whatsapp_status(id, "delivered"))
        assert await inbox.project() == []

    async def test_a_failed_single_send_wakes_its_workflow(self, inbox: Inbox) -> None:
        id = await sent(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(id))
        (pending,) = await inbox.project(times=2)
        assert isinstance(pending.signal, WakeMessage)
        assert pending.signal.input.message_id == id

    async def test_a_resolved_single_send_wakes_its_workflow_however_often_it_is_projected(self, inbox: Inbox) -> None:
        id = await sent(inbox, status=MessageStatus.UNKNOWN, unresolved_since=NOW - timedelta(minutes=1))
        await inbox.whatsapp(providers.whatsapp_status(id, "sent"))
        (pending,) = await inbox.project(times=3)
        assert isinstance(pending.signal, WakeMessage)
        assert len(await inbox.facts("resolved")) == 1
        await inbox.whatsapp(providers.whatsapp_status(id, "delivered"))
        assert await inbox.project() == [], "a later receipt resolves nothing"
