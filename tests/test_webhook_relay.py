import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from app import ids, temporal
from app.contracts.sequence import (
    CONTACT_STOPPED,
    DELIVERY_FAILED,
    SEQUENCE_WORKFLOW,
    ContactStopped,
    DeliveryFailed,
    SequenceInput,
)
from app.db import Sessions, connect_system
from app.domain.status import Channel, MessageStatus, StopReason
from app.embedded.engine import EngineServer
from app.ids import sequence_workflow_id
from app.models import Campaign, CampaignRecipient, CampaignStep, Contact, Message, Tenant, WebhookEvent
from app.repositories import webhook_events
from app.services.projections import project
from app.settings import Settings
from app.temporal import Workflows
from app.webhook_relay import WebhookRelay
from tests import factories, providers
from tests.inbox import Inbox, open_inbox

NOW = datetime.now(UTC)
ENOUGH_SECONDS = 40.0  # for what has to happen, not a measure of how fast


@workflow.defn(name=SEQUENCE_WORKFLOW)
class RecordingSequence:
    """Stands where the sequence does, and answers the first thing it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, input: SequenceInput) -> str:
        await workflow.wait_condition(lambda: bool(self.told))
        return self.told[0]

    @workflow.signal(name=DELIVERY_FAILED)
    def delivery_failed(self, failed: DeliveryFailed) -> None:
        self.told.append(f"failed at {failed.step}")

    @workflow.signal(name=CONTACT_STOPPED)
    def contact_stopped(self, stopped: ContactStopped) -> None:
        self.told.append(f"stopped: {stopped.reason}")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineServer]:
    """An engine of its own: these tests stop it, and run a workflow of their own under a known name."""
    with EngineServer(tmp_path_factory.mktemp("engine")) as server:
        yield server


@pytest.fixture
async def own_client(engine: EngineServer, settings: Settings) -> Client:
    return await temporal.connect(settings.model_copy(update={"temporal_address": engine.address}))


@pytest.fixture
async def inbox(sessions: Sessions, tenant: Tenant, settings: Settings) -> AsyncIterator[Inbox]:
    async with open_inbox(sessions, tenant, settings) as opened:
        yield opened


@pytest.fixture
def relay(sessions: Sessions, own_client: Client, settings: Settings) -> WebhookRelay:
    return WebhookRelay(sessions, Workflows(own_client), settings)


@asynccontextmanager
async def running(relay: WebhookRelay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    yield
    stop.set()
    await task


async def unprocessed(inbox: Inbox) -> list[WebhookEvent]:
    return [event for event in await inbox.stored() if event.processed_at is None]


async def all_processed(inbox: Inbox) -> None:
    async with asyncio.timeout(ENOUGH_SECONDS):
        while await unprocessed(inbox):
            await asyncio.sleep(0.05)


async def in_campaign(inbox: Inbox) -> tuple[Campaign, Contact, Message]:
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        contact = await factories.make_contact(session, inbox.tenant_id, phone=f"+3519{str(uuid4().int)[:8]}")
        campaign = await factories.make_campaign(session, inbox.tenant_id, launched_at=NOW)
        session.add(
            CampaignStep(
                tenant_id=inbox.tenant_id,
                campaign_id=campaign.id,
                template_id=campaign.template_id,
                position=1,
                after_days=1,
            )
        )
        await factories.make_recipient(session, inbox.tenant_id, campaign.id, contact.id, armed_at=NOW)
        message = await factories.make_message(session, inbox.tenant_id, contact.id, campaign_id=campaign.id)
    return campaign, contact, message


async def armed(client: Client, inbox: Inbox, campaign: Campaign, contact: Contact) -> WorkflowHandle[Any, Any]:
    """The sequence of the contact, running."""
    input = SequenceInput(tenant_id=inbox.tenant_id, campaign_id=campaign.id, contact_id=contact.id)
    await Workflows(client).arm_sequence(input, NOW)
    return sequence_of(client, inbox, campaign, contact)


def sequence_of(client: Client, inbox: Inbox, campaign: Campaign, contact: Contact) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(sequence_workflow_id(inbox.tenant_id, campaign.id, contact.id))


def recorder(client: Client) -> Worker:
    return Worker(
        client,
        task_queue=ids.TASK_QUEUE,
        workflows=[RecordingSequence],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


async def result_of(handle: WorkflowHandle[Any, Any]) -> str:
    return str(await asyncio.wait_for(handle.result(), ENOUGH_SECONDS))


class TestRun:
    async def test_a_reply_reaches_the_running_sequence(
        self, inbox: Inbox, relay: WebhookRelay, own_client: Client
    ) -> None:
        campaign, contact, _ = await in_campaign(inbox)
        async with recorder(own_client), running(relay):
            sequence = await armed(own_client, inbox, campaign, contact)
            await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "hello")])
            assert await result_of(sequence) == "stopped: replied"
            await all_processed(inbox)

    async def test_a_failure_starts_the_sequence_when_none_runs(
        self, inbox: Inbox, relay: WebhookRelay, own_client: Client
    ) -> None:
        campaign, contact, message = await in_campaign(inbox)
        async with recorder(own_client), running(relay):
            await inbox.whatsapp(providers.whatsapp_failure(message.id))
            await all_processed(inbox)
            assert await result_of(sequence_of(own_client, inbox, campaign, contact)) == "failed at 0"
        assert (await inbox.message(message.id)).status == MessageStatus.FAILED

    async def test_a_stop_of_someone_without_a_sequence_needs_no_signal(
        self, inbox: Inbox, relay: WebhookRelay
    ) -> None:
        _, contact, _ = await in_campaign(inbox)
        async with running(relay):
            await inbox.sms_from(contact.phone or "", "STOP")
            await all_processed(inbox)
        (recipient,) = await inbox.rows(CampaignRecipient)
        assert recipient.stop_reason == StopReason.OPTED_OUT

    async def test_several_relays_share_the_work(
        self, inbox: Inbox, sessions: Sessions, own_client: Client, settings: Settings
    ) -> None:
        number = f"+3519{str(uuid4().int)[:8]}"
        texts = [f"message {count}" for count in range(450)]
        for start in range(0, len(texts), 50):
            await inbox.whatsapp(messages=[providers.whatsapp_text(number, text) for text in texts[start : start + 50]])
        relays = [WebhookRelay(sessions, Workflows(own_client), settings) for _ in range(3)]
        async with running(relays[0]), running(relays[1]), running(relays[2]):
            await all_processed(inbox)
        contact = await inbox.contact(phone=number)
        stored = await inbox.rows(Message, contact_id=contact.id)
        assert sorted(row.payload_json["text"] for row in stored) == sorted(texts)


class TestEngineAway:
    async def test_projections_go_on_and_the_signals_follow_when_it_is_back(
        self, inbox: Inbox, sessions: Sessions, engine: EngineServer, own_client: Client, settings: Settings
    ) -> None:
        campaign, contact, _ = await in_campaign(inbox)
        other_campaign, other_contact, failing = await in_campaign(inbox)
        _, _, delivered = await in_campaign(inbox)
        sequence = await armed(own_client, inbox, campaign, contact)
        relay = WebhookRelay(sessions, Workflows(own_client), settings)
        async with running(relay):
            await asyncio.to_thread(engine.stop)
            try:
                await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "hello")])
                await inbox.whatsapp(providers.whatsapp_failure(failing.id))
                await inbox.whatsapp(providers.whatsapp_status(delivered.id, "delivered"))
                async with asyncio.timeout(ENOUGH_SECONDS):
                    while [event.attempts > 0 for event in await unprocessed(inbox)] != [True, True]:
                        await asyncio.sleep(0.05)
                # PostgreSQL is the gate: what was reported already counts
                assert (await inbox.message(delivered.id)).status == MessageStatus.DELIVERED
                assert (await inbox.message(failing.id)).status == MessageStatus.FAILED
                (stopped,) = await inbox.rows(CampaignRecipient, contact_id=contact.id)
                assert stopped.stop_reason == StopReason.REPLIED
                assert all("engine is away" in event.error for event in await unprocessed(inbox))
            finally:
                again = EngineServer(engine.data.root, engine.port, engine.ui_port)
                await asyncio.to_thread(again.start)
                engine.process = again.process
            await all_processed(inbox)
        async with recorder(own_client):
            assert await result_of(sequence) == "stopped: replied"
            woken = sequence_of(own_client, inbox, other_campaign, other_contact)
            assert await result_of(woken) == "failed at 0"


class TestCrash:
    async def test_dying_between_projection_and_signal_repeats_both_safely(
        self, inbox: Inbox, relay: WebhookRelay, own_client: Client
    ) -> None:
        campaign, contact, _ = await in_campaign(inbox)
        sequence = await armed(own_client, inbox, campaign, contact)
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "hello")])
        with pytest.raises(ConnectionResetError):
            await project_and_die(inbox)
        assert len(await unprocessed(inbox)) == 1
        async with recorder(own_client), running(relay):
            assert await result_of(sequence) == "stopped: replied"
            await all_processed(inbox)
        assert len(await inbox.rows(Message, direction="in")) == 1
        assert (await inbox.contact(id=contact.id)).last_inbound_at


async def project_and_die(inbox: Inbox) -> None:
    """What a worker does until the signals, which it does not live to send."""
    async with inbox.sessions.system() as holding:
        events = await webhook_events.take(holding, 10_000)
        mine = [event for event in events if event.tenant_id == inbox.tenant_id]
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            assert len(await project(session, inbox.tenant_id, mine, inbox.settings)) == 1
        raise ConnectionResetError("the worker dies here")


class TestPoison:
    async def test_an_event_that_cannot_be_projected_stands_alone_and_is_kept(
        self, inbox: Inbox, relay: WebhookRelay
    ) -> None:
        poison = await store_poison(inbox)
        numbers = [f"+3519{str(uuid4().int)[:8]}" for _ in range(20)]
        await inbox.whatsapp(messages=[providers.whatsapp_text(number, "hello") for number in numbers])
        async with running(relay):
            async with asyncio.timeout(ENOUGH_SECONDS):
                while [event.id for event in await unprocessed(inbox)] != [poison]:
                    await asyncio.sleep(0.05)
        (event,) = await unprocessed(inbox)
        assert event.attempts >= 1
        assert "ValueError" in event.error
        assert event.next_attempt_at > event.created_at
        assert {contact.phone for contact in await inbox.rows(Contact)} == set(numbers)

    async def test_it_is_processed_once_it_is_mended(self, inbox: Inbox, relay: WebhookRelay) -> None:
        poison = await store_poison(inbox)
        async with running(relay):
            async with asyncio.timeout(ENOUGH_SECONDS):
                while not (await inbox.stored())[0].attempts:
                    await asyncio.sleep(0.05)
            async with inbox.sessions.begin(inbox.tenant_id) as session:
                row = await session.get_one(WebhookEvent, poison)
                row.event_json = {**row.event_json, "suppress": "bounce"}
                row.next_attempt_at = NOW - timedelta(seconds=1)
            await all_processed(inbox)
        (event,) = await inbox.stored()
        assert (event.error, event.attempts) == ("", 1)
        assert await inbox.suppression("ana@example.com") is not None


async def store_poison(inbox: Inbox) -> UUID:
    """A report with a reason for suppression that nobody knows."""
    sender = inbox.senders[Channel.EMAIL]
    id = uuid4()
    row = {
        "id": id,
        "tenant_id": inbox.tenant_id,
        "settings_id": sender.id,
        "channel": "email",
        "provider": "sendgrid",
        "kind": "failed",
        "event": {"key": "k", "address": "ana@example.com", "suppress": "no such reason"},
        "payload": {},
        "occurred_at": NOW,
    }
    connection = await connect_system(inbox.sessions.engine)
    await webhook_events.add(connection, [orjson.dumps(row)])
    await connection.close()
    return id
