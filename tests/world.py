"""A whole Relay for a test: one tenant with a sender on each channel, a worker in this process, and the simulator.

With `webhooks` the API runs too, and the simulator reports to it.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from sqlalchemy import text
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

import api
import worker
from app.channels.registry import ADAPTERS, adapter_class
from app.contracts.campaign import CANCEL, PAUSE, RESUME, CampaignInput
from app.contracts.message import MessageInput
from app.db import Sessions
from app.domain.status import CampaignStatus, Channel, Direction, MessageStatus, MessageType, Purpose
from app.ids import campaign_workflow_id, new_id, sequence_workflow_id
from app.models import Campaign, CampaignStep, ChannelSetting, Consent, Contact, Message, Tenant
from app.secrets import Vault
from app.services import campaigns
from app.settings import Settings
from app.simulator.accounts import IDENTITY
from app.simulator.server import serving
from app.temporal import Workflows
from tests import factories

PROVIDERS = {Channel.WHATSAPP: "whatsapp_cloud", Channel.SMS: "twilio", Channel.EMAIL: "sendgrid"}
CORE = {
    "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
    "blocks": {"subject": "For {{ contact.first_name }}", "body": "Hi {{ contact.first_name }}, {{ code }}"},
    "whatsapp": {
        "name": "spring_offer",
        "language": "en_US",
        "body": ["{{ contact.first_name }}", "{{ code }}"],
    },
}
WAIT_SECONDS = 60.0
PATHS = {Channel.WHATSAPP: "whatsapp", Channel.SMS: "sms", Channel.EMAIL: "email"}
SIGNALS = {CampaignStatus.PAUSED: PAUSE, CampaignStatus.RUNNING: RESUME, CampaignStatus.CANCELLED: CANCEL}


@dataclass
class World:
    settings: Settings
    sessions: Sessions
    client: Client
    tenant: Tenant
    simulator: str
    http: httpx.AsyncClient
    webhooks: bool = False
    providers: dict[Channel, str] = field(default_factory=lambda: dict(PROVIDERS))
    senders: dict[Channel, UUID] = field(default_factory=dict)
    credentials: dict[Channel, dict[str, str]] = field(default_factory=dict)

    @property
    def workflows(self) -> Workflows:
        return Workflows(self.client)

    async def add_senders(
        self, channels: Sequence[Channel] = tuple(Channel), per_second: float | None = 5_000, **limits: Any
    ) -> None:
        """A sender per channel, with an account of its own at the simulator. Days are short in tests, so unless it is
        said nobody waits for the limit of a pair."""
        for channel in channels:
            id = new_id()
            account = await self.put_account(channel, _own_account(self.providers[channel], id))
            sealed = Vault(self.settings.keys).seal(account, tenant_id=self.tenant.id, row_id=id)
            async with self.sessions.begin(self.tenant.id) as session:
                session.add(
                    ChannelSetting(
                        id=id,
                        tenant_id=self.tenant.id,
                        channel=channel,
                        provider=self.providers[channel],
                        name=channel.value,
                        account=adapter_class(channel, self.providers[channel]).account_hint(account),
                        is_default=True,
                        settings_json={
                            "credentials": sealed,
                            "limits": {"messages_per_second": per_second, "seconds_per_recipient": 0, **limits},
                        },
                    )
                )
            self.senders[channel], self.credentials[channel] = id, account
            if self.webhooks:
                url = f"{self.settings.public_url}/v1/webhooks/{PATHS[channel]}/{id}"
                await self.put_account(channel, account, webhook_url=url)

    async def at_any_hour(self) -> None:
        """Single messages keep the tenant's quiet hours; tests that are not about them run at night too."""
        async with self.sessions.begin(self.tenant.id) as session:
            await session.execute(text("""UPDATE tenants SET settings_json = '{"quiet_hours": {}}'"""))

    async def put_account(self, channel: Channel, credentials: dict[str, str], **changes: Any) -> dict[str, str]:
        """Make or change the account at the simulator; its credentials."""
        provider = self.providers[channel]
        known: dict[str, str] = (await self.http.get(f"{self.simulator}/sandbox/accounts")).json()[provider]
        body = {"provider": provider, "credentials": {**known, **credentials}, **changes}
        if channel is Channel.WHATSAPP:
            body["templates"] = "*"
        if provider == "resend":
            body["messages_per_second"] = 5_000  # a team's usual ten are not the test's subject
        answer = (await self._control("POST", "/sandbox/accounts", body)).json()
        assert answer["webhook"].get("verified", True), answer["webhook"]
        found: dict[str, str] = answer["credentials"]
        return found

    async def behave(self, **changes: Any) -> None:
        """See app.simulator.behaviour.Behaviour."""
        await self._control("PUT", "/sandbox/behaviour", changes)

    async def script(self, contact: Contact, channel: Channel, *steps: Any) -> None:
        """What this person does with messages on the channel."""
        address = contact.email if channel is Channel.EMAIL else contact.phone
        await self._control(
            "PUT", "/sandbox/people", [{"address": address, "channel": channel.value, "script": list(steps)}]
        )

    async def faults(self, *faults: dict[str, Any]) -> None:
        """What goes wrong from now on; none ends them."""
        await self._control("PUT", "/sandbox/faults", list(faults))

    async def write(self, contact: Contact, words: str, channel: Channel = Channel.WHATSAPP) -> None:
        """The person writes to us now."""
        body = {"provider": self.providers[channel], "from": contact.phone, "text": words}
        await self._control("POST", "/sandbox/inbound", body)

    async def _control(self, method: str, path: str, body: Any) -> httpx.Response:
        answer = await self.http.request(method, f"{self.simulator}{path}", json=body)
        assert answer.is_success, answer.text
        return answer

    async def add_contacts(
        self, count: int, *, consents: Sequence[Channel] = tuple(Channel), **changes: Any
    ) -> list[Contact]:
        async with self.sessions.begin(self.tenant.id) as session:
            contacts = [factories.new_contact(self.tenant.id, **changes) for _ in range(count)]
            session.add_all(contacts)
            await session.flush()
            session.add_all(
                Consent(
                    tenant_id=self.tenant.id,
                    contact_id=contact.id,
                    channel=channel,
                    opt_in_at_utc=datetime.now(UTC),
                    source="test",
                )
                for contact in contacts
                for channel in consents
            )
        return contacts

    async def make_campaign(
        self, *, followups: Sequence[float] = (), core: dict[str, Any] = CORE, **changes: Any
    ) -> Campaign:
        """A launched campaign, as the API leaves it before it starts the workflow."""
        async with self.sessions.begin(self.tenant.id) as session:
            template = await factories.make_template(session, self.tenant.id, core_schema_json=core)
            campaign = await factories.make_campaign(
                session,
                self.tenant.id,
                **{
                    "template_id": template.id,
                    "status": CampaignStatus.PENDING,
                    "launched_at": datetime.now(UTC),
                    "variables_json": {"code": "SPRING"},
                    "quiet_hours_json": {},
                    "fallback_order_json": ["sms", "email"],
                    "workflow_started_at": datetime.now(UTC),
                    **changes,
                },
            )
            session.add_all(
                CampaignStep(
                    tenant_id=self.tenant.id,
                    campaign_id=campaign.id,
                    position=position,
                    after_days=after_days,
                    template_id=template.id,
                    template_name=template.name,
                    core_schema_json=core,
                )
                for position, after_days in enumerate([0.0, *followups])
            )
        return campaign

    async def launch(self, **options: Any) -> Campaign:
        campaign = await self.make_campaign(**options)
        await self.start(campaign)
        return campaign

    async def start(self, campaign: Campaign) -> None:
        await self.workflows.start_campaign(CampaignInput(tenant_id=self.tenant.id, campaign_id=campaign.id))

    async def steer(self, campaign: Campaign, to: CampaignStatus) -> None:
        """Pause, resume or cancel, as the API does it."""
        async with self.sessions.begin(self.tenant.id) as session:
            await campaigns.move(session, self.tenant.id, campaign.id, to)
        await self.workflows.signal_campaign(self.tenant.id, campaign.id, SIGNALS[to])

    async def send(self, contact: Contact, channel: Channel = Channel.WHATSAPP, **changes: Any) -> Message:
        """A single message, as the API leaves it, and its workflow started."""
        message = await self.write_message(contact, channel, **changes)
        await self.workflows.start_message(MessageInput(tenant_id=self.tenant.id, message_id=message.id))
        return message

    async def write_message(self, contact: Contact, channel: Channel = Channel.WHATSAPP, **changes: Any) -> Message:
        message = Message(
            **{
                "id": new_id(),
                "tenant_id": self.tenant.id,
                "conversation_id": contact.id,
                "contact_id": contact.id,
                "channel": channel,
                "direction": Direction.OUT,
                "type": MessageType.TEMPLATE,
                "purpose": Purpose.TRANSACTIONAL,
                "status": MessageStatus.QUEUED,
                "workflow_started_at": datetime.now(UTC),
                "payload_json": {"core_schema": CORE, "template_lang": "en", "variables": {"code": "42"}},
                **changes,
            }
        )
        async with self.sessions.begin(self.tenant.id) as session:
            session.add(message)
        return message

    async def outcome(self, message: Message) -> str:
        """How the message's workflow ended."""
        handle = self.client.get_workflow_handle(f"msg/{self.tenant.id}/{message.id}")
        result: dict[str, str] = await asyncio.wait_for(handle.result(), WAIT_SECONDS)
        return result["outcome"]

    async def sequence_result(self, campaign: Campaign, contact: Contact) -> str:
        """Why the contact's sequence ended; waits for its beginning too."""
        handle = self.client.get_workflow_handle(sequence_workflow_id(self.tenant.id, campaign.id, contact.id))

        async def is_there() -> bool:
            try:
                await handle.describe()
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                return False
            return True

        await self.eventually(is_there, f"a sequence for {contact.id}")
        result: dict[str, str] = await asyncio.wait_for(handle.result(), WAIT_SECONDS)
        return result["ended"]

    async def until_armed(self, campaign: Campaign, count: int) -> None:
        sql = "SELECT count(armed_at) FROM campaign_recipients WHERE campaign_id = :id"
        await self.until(sql, (count,), id=campaign.id)

    async def until_sent(self, campaign: Campaign, contact: Contact, step: int, channel: Channel) -> None:
        """Wait until a provider has the message."""
        sql = (
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND contact_id = :contact_id AND step = :step "
            "AND channel = :channel AND sent_at IS NOT NULL"
        )
        await self.until(sql, (1,), id=campaign.id, contact_id=contact.id, step=step, channel=channel.value)

    async def sent_to(self, contact: Contact) -> list[tuple[int, str, int]]:
        """Step, channel and number of acceptances of every message the simulator accepted for the contact, in order."""
        accepted = {reference: count for (_, reference), count in (await self.accepted()).items()}
        rows = await self.rows(
            "SELECT id, step, channel FROM messages WHERE contact_id = :id AND direction = 'out' ORDER BY created_at",
            id=contact.id,
        )
        return [(step, channel, accepted[str(id)]) for id, step, channel in rows if str(id) in accepted]

    async def ended(self, campaign: Campaign) -> dict[str, Any]:
        """Wait until the campaign's workflow is over; its result."""
        handle = self.client.get_workflow_handle(campaign_workflow_id(self.tenant.id, campaign.id))
        result: dict[str, Any] = await asyncio.wait_for(handle.result(), WAIT_SECONDS)
        return result

    async def runs(self, campaign: Campaign) -> int:
        """How often the campaign's workflow began, continue-as-new counted in."""
        id = campaign_workflow_id(self.tenant.id, campaign.id)
        return (await self.client.count_workflows(f"WorkflowId = '{id}'")).count

    async def open_workflows(self, campaign: Campaign) -> int:
        query = f"CampaignId = '{campaign.id}' AND ExecutionStatus = 'Running'"
        return (await self.client.count_workflows(query)).count

    async def until_closed(self, campaign: Campaign) -> None:
        """Wait until no workflow of the campaign is open. The engine lists an end a moment after it."""

        async def none_left() -> bool:
            return await self.open_workflows(campaign) == 0

        await self.eventually(none_left, "no open workflow of the campaign")

    async def until_over(self, campaign: Campaign, count: int) -> None:
        """Wait until so many sequences of the campaign have ended."""
        sql = "SELECT count(ended_at) FROM campaign_recipients WHERE campaign_id = :id"
        await self.until(sql, (count,), id=campaign.id)

    async def until_accepted(self, count: int) -> None:
        """Wait until the simulator has at least so many messages."""

        async def enough() -> bool:
            stats = (await self.http.get(f"{self.simulator}/stats?summary=1")).json()
            return bool(sum(provider["accepted"] for provider in stats["totals"].values()) >= count)

        await self.eventually(enough, f"{count} messages accepted")

    async def settle(self) -> None:
        """Give what must not happen a moment to happen."""
        await asyncio.sleep(1)

    async def leave(self) -> None:
        """End what is still open, so that no other test's worker goes on with it."""
        async for found in self.client.list_workflows(f"TenantId = '{self.tenant.id}' AND ExecutionStatus = 'Running'"):
            try:
                await self.client.get_workflow_handle(found.id, run_id=found.run_id).terminate()
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:  # the list is a little behind: it ended meanwhile
                    raise

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.sessions.begin(self.tenant.id) as session:
            return list((await session.execute(text(sql), values)).all())

    async def until(self, sql: str, expected: Any, **values: Any) -> None:
        """Wait until the first row of the query equals `expected`."""
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            rows = await self.rows(sql, **values)
            found = tuple(rows[0]) if rows else ()
            if found == expected:
                return
            assert asyncio.get_running_loop().time() < deadline, f"{sql}: still {found}, not {expected}"
            await asyncio.sleep(0.05)

    async def eventually(self, check: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while not await check():
            assert asyncio.get_running_loop().time() < deadline, f"still not: {what}"
            await asyncio.sleep(0.05)

    async def until_status(self, campaign: Campaign, status: CampaignStatus) -> None:
        await self.until("SELECT status FROM campaigns WHERE id = :id", (status.value,), id=campaign.id)

    async def accepted(self) -> dict[tuple[str, str], int]:
        """How often the simulator accepted each (recipient, reference) of this tenant's messages."""
        stats = (await self.http.get(f"{self.simulator}/stats")).json()
        ours = {str(row[0]) for row in await self.rows("SELECT id FROM messages WHERE direction = 'out'")}
        return {
            (item["recipient"], item["reference"]): item["count"]
            for item in stats["accepted"]
            if item["reference"] in ours
        }

    async def statuses(self, campaign: Campaign) -> dict[tuple[int, str, str], int]:
        """Message rows of the campaign by step, channel and status."""
        rows = await self.rows(
            "SELECT step, channel, status, count(*) FROM messages WHERE campaign_id = :id GROUP BY 1, 2, 3",
            id=campaign.id,
        )
        return {(step, channel, status): count for step, channel, status, count in rows}


def _own_account(provider: str, id: UUID) -> dict[str, str]:
    """What makes an account another one than the simulator's own."""
    if provider == "whatsapp_cloud":
        return {"phone_number_id": str(id.int)[-15:], "access_token": f"EAA{id.hex}"}
    if provider == "twilio":
        return {"account_sid": f"AC{id.hex}"}
    if provider == "sendgrid":
        return {"api_key": f"SG.{id.hex}.secret"}
    if provider == "mailgun":
        return {"domain": f"{id.hex}.example.org", "from_email": f"hello@{id.hex}.example.org"}
    return {IDENTITY[provider]: id.hex}


@asynccontextmanager
async def world(
    settings: Settings, sessions: Sessions, client: Client, *, webhooks: bool = False, **changes: Any
) -> AsyncIterator[World]:
    """Simulator and tenant, with `webhooks` also the API; no worker yet."""
    async with sessions.system() as session:
        tenant = await factories.make_tenant(session)
    async with serving() as simulator, httpx.AsyncClient() as http:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            moved = settings.model_copy(
                update={
                    **{f"{provider}_base_url": simulator.url for _, provider in ADAPTERS if provider != "smtp"},
                    "smtp_base_url": simulator.mail.url,
                    # port 9 refuses: reports that nobody is to hear
                    "public_url": f"http://127.0.0.1:{listener.getsockname()[1] if webhooks else 9}",
                    "temporal_address": client.service_client.config.target_host,
                    **changes,
                }
            )
            place = World(moved, sessions, client, tenant, simulator.url, http, webhooks)
            async with serving_api(moved, listener) if webhooks else nullcontext():
                yield place
                await place.leave()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they belong to the test runner


@asynccontextmanager
async def serving_api(settings: Settings, listener: socket.socket) -> AsyncIterator[None]:
    server = _Server(uvicorn.Config(api.create_app(settings), log_level="warning", ws="none"))
    serving_task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            assert not serving_task.done(), serving_task
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await serving_task


@asynccontextmanager
async def working(world: World) -> AsyncIterator[worker.Parts]:
    """A worker in this process, with everything that belongs to it."""
    stop = asyncio.Event()
    async with worker.build(world.settings, world.client) as parts, asyncio.TaskGroup() as loops:
        for loop in parts.loops(stop):
            loops.create_task(loop)
        async with parts.worker:
            yield parts
        stop.set()
