"""What a trial needs before it begins: a tenant with a WhatsApp sender, a template, contacts, and campaigns."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.contracts.campaign import CampaignInput
from app.domain.status import Channel
from app.ids import new_id
from app.models import Role, Tenant
from app.repositories import backlog
from app.schemas.campaigns import CampaignCreate
from app.schemas.channel_settings import ChannelSettingCreate
from app.schemas.templates import TemplateCreate
from app.secrets import Vault
from app.services import api_keys, campaigns, channel_settings, templates, tenants
from app.temporal import Workflows
from benchmarks.platform import Platform

NO_LIMIT = 10_000  # messages per second: more than anything here can send
POLL_SECONDS = 0.1
ASK_SECONDS = 0.5  # a question to the database, which counts every row
CREDENTIALS = {
    "phone_number_id": "300400500600700",
    "waba_id": "200300400500600",
    "access_token": "token-of-the-benchmark",
    "app_secret": "app-secret-of-the-benchmark",
    "verify_token": "verify-token-of-the-benchmark",
}
CORE = {
    "blocks": {"subject": "Spring", "body": "Hi {{ contact.first_name }}, {{ code }} is yours."},
    "whatsapp": {"name": "spring_offer", "language": "en_US", "body": ["{{ contact.first_name }}", "{{ code }}"]},
    "variables": [{"name": "code", "type": "string", "required": True, "default": None}],
}
_MAKE_CONTACTS = text(
    """
    WITH made AS (
        INSERT INTO contacts (tenant_id, phone, email, first_name, country)
        SELECT :tenant_id, '+35191' || lpad(n::text, 7, '0'), 'person' || n || '@example.com', 'Ana', 'PT'
        FROM generate_series(1, :count) n RETURNING id
    )
    INSERT INTO consents (tenant_id, contact_id, channel, opt_in_at_utc)
    SELECT :tenant_id, id, channel, now() FROM made, unnest(ARRAY['whatsapp', 'sms', 'email']) AS channel
    """
)
_COUNTED = text(
    """
    SELECT (SELECT count(*) FROM messages WHERE campaign_id = :id AND step = :step AND sent_at IS NOT NULL),
           (SELECT min(sent_at) FROM messages WHERE campaign_id = :id AND step = :step),
           (SELECT max(sent_at) FROM messages WHERE campaign_id = :id AND step = :step),
           (SELECT count(armed_at) FROM campaign_recipients WHERE campaign_id = :id)
    """
)


@dataclass(frozen=True)
class Shop:
    """A tenant ready to send."""

    tenant: Tenant
    api_key: str
    sender_id: UUID
    template_id: UUID


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: messages of one step that the provider accepted, and sequences armed."""

    sent: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    armed: int


async def make_shop(platform: Platform, *, contacts: int, name: str = "Bench", per_second: float = NO_LIMIT) -> Shop:
    """A tenant with so many contacts, each of whom may be written to on every channel."""
    async with platform.sessions.system() as session:
        tenant = await tenants.create(session, name=name, default_region="PT")
        _, key = await api_keys.create(session, tenant.id, name="bench", role=Role.OWNER)
    sender = ChannelSettingCreate.model_validate(
        {
            "channel": Channel.WHATSAPP,
            "provider": "whatsapp_cloud",
            "name": "bench",
            "credentials": CREDENTIALS,
            "limits": {"messages_per_second": per_second},
            "is_default": True,
        }
    )
    template = TemplateCreate.model_validate(
        {"name": "spring", "channel": "any", "lang": "en", "category": "marketing", "core_schema": CORE}
    )
    sender_id, template_id = new_id(), new_id()
    async with platform.sessions.begin(tenant.id) as session:
        vault = Vault(platform.settings.keys)
        await channel_settings.create(session, tenant.id, sender, id=sender_id, vault=vault)
        await templates.create(session, tenant.id, template, id=template_id)
        await session.execute(_MAKE_CONTACTS, {"tenant_id": tenant.id, "count": contacts})
    return Shop(tenant=tenant, api_key=key, sender_id=sender_id, template_id=template_id)


async def launch(platform: Platform, shop: Shop, *, followups: Sequence[float] = ()) -> UUID:
    """Launch a campaign to everybody in the shop, as the API does it; its id."""
    wanted = CampaignCreate.model_validate(
        {
            "name": "Bench",
            "primary_channel": Channel.WHATSAPP,
            "template_id": shop.template_id,
            "variables": {"code": "SPRING"},
            "quiet_hours": {},
            "followups": [{"after_days": days, "template_id": shop.template_id} for days in followups],
            "launch": True,
        }
    )
    async with platform.sessions.begin(shop.tenant.id) as session:
        campaign = await campaigns.create(session, shop.tenant, wanted, id=new_id())
    await Workflows(platform.client).start_campaign(CampaignInput(tenant_id=shop.tenant.id, campaign_id=campaign.id))
    async with platform.sessions.begin(shop.tenant.id) as session:
        await backlog.mark_started(session, "campaigns", campaign.id)
    return campaign.id


async def until_accepted(platform: Platform, count: int) -> None:
    """Wait until the provider accepted so many messages. Asks the provider, which costs the others nothing."""
    while (counts := await platform.stub.counts()).accepted < count:
        platform.progress("accepted", counts.accepted)
        await asyncio.sleep(POLL_SECONDS)
    platform.progress("accepted", counts.accepted)


async def until_recorded(platform: Platform, shop: Shop, campaign_id: UUID, count: int, step: int = 0) -> Progress:
    """Wait until the database too has so many messages of the step as sent."""
    while True:
        now = await progress(platform, shop, campaign_id, step)
        if now.sent >= count:
            return now
        await asyncio.sleep(POLL_SECONDS)


async def until_armed(platform: Platform, shop: Shop, campaign_id: UUID, count: int) -> Progress:
    """Wait until so many sequences of the campaign are armed."""
    while (now := await progress(platform, shop, campaign_id)).armed < count:
        platform.progress("armed", now.armed)
        await asyncio.sleep(ASK_SECONDS)
    platform.progress("armed", now.armed)
    return now


async def progress(platform: Platform, shop: Shop, campaign_id: UUID, step: int = 0) -> Progress:
    async with platform.sessions.begin(shop.tenant.id) as session:
        return Progress(*(await session.execute(_COUNTED, {"id": campaign_id, "step": step})).one())
