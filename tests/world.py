"""A whole Relay for a test: one tenant with a sender on each channel, a worker in this process, and the simulator."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from temporalio.client import Client

import worker
from app.contracts.campaign import CampaignInput
from app.db import Sessions
from app.domain.status import CampaignStatus, Channel
from app.ids import new_id
from app.models import Campaign, CampaignStep, ChannelSetting, Consent, Contact, Tenant
from app.secrets import Vault
from app.settings import Settings
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


@dataclass
class World:
    settings: Settings
    sessions: Sessions
    client: Client
    tenant: Tenant
    simulator: str
    http: httpx.AsyncClient
    senders: dict[Channel, UUID] = field(default_factory=dict)

    @property
    def workflows(self) -> Workflows:
        return Workflows(self.client)

    async def add_senders(self, channels: Sequence[Channel] = tuple(Channel), per_second: float = 5_000) -> None:
        """A sender per channel, with an account of its own at the simulator."""
        for channel in channels:
            id = new_id()
            account = await self._account(channel, id)
            sealed = Vault(self.settings.keys).seal(account, tenant_id=self.tenant.id, row_id=id)
            async with self.sessions.begin(self.tenant.id) as session:
                session.add(
                    ChannelSetting(
                        id=id,
                        tenant_id=self.tenant.id,
                        channel=channel,
                        provider=PROVIDERS[channel],
                        name=channel.value,
                        account=str(id),
                        is_default=True,
                        settings_json={"credentials": sealed, "limits": {"messages_per_second": per_second}},
                    )
                )
            self.senders[channel] = id

    async def _account(self, channel: Channel, id: UUID) -> dict[str, str]:
        provider = PROVIDERS[channel]
        credentials: dict[str, str] = dict((await self.http.get(f"{self.simulator}/sandbox/accounts")).json()[provider])
        digits = str(id.int)[-15:]
        if channel is Channel.WHATSAPP:
            credentials["phone_number_id"] = digits
        elif channel is Channel.SMS:
            credentials["account_sid"] = f"AC{id.hex}"
        else:
            credentials["api_key"] = f"SG.{id.hex}.secret"
        answer = await self.http.post(
            f"{self.simulator}/sandbox/accounts",
            json={
                "provider": provider,
                "credentials": credentials,
                **({"templates": "*"} if channel is Channel.WHATSAPP else {}),
            },
        )
        answer.raise_for_status()
        found: dict[str, str] = answer.json()["credentials"]
        return found

    async def add_contacts(
        self, count: int, *, consents: Sequence[Channel] = tuple(Channel), **changes: Any
    ) -> list[Contact]:
        async with self.sessions.begin(self.tenant.id) as session:
            contacts = [await factories.make_contact(session, self.tenant.id, **changes) for _ in range(count)]
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
        await self.workflows.start_campaign(CampaignInput(tenant_id=self.tenant.id, campaign_id=campaign.id))
        return campaign

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


@asynccontextmanager
async def world(settings: Settings, sessions: Sessions, client: Client, **changes: Any) -> AsyncIterator[World]:
    """Simulator and tenant; no worker yet."""
    async with sessions.system() as session:
        tenant = await factories.make_tenant(session)
    async with serving() as simulator, httpx.AsyncClient() as http:
        moved = settings.model_copy(
            update={
                "whatsapp_cloud_base_url": simulator.url,
                "twilio_base_url": simulator.url,
                "sendgrid_base_url": simulator.url,
                **changes,
            }
        )
        yield World(moved, sessions, client, tenant, simulator.url, http)


@asynccontextmanager
async def working(world: World) -> AsyncIterator[worker.Parts]:
    """A worker in this process, with everything that belongs to it."""
    stop = asyncio.Event()
    async with worker.build(world.settings, world.client) as parts, asyncio.TaskGroup() as loops:
        for loop in (parts.relay.run(stop), parts.starter.run(stop), parts.resolver.run(stop)):
            loops.create_task(loop)
        async with parts.worker:
            yield parts
        stop.set()
