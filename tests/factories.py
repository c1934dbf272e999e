"""Rows for tests. Each maker takes a session of the right tenant, and any column as a keyword."""

import itertools
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.registry import adapter_class
from app.domain.status import CampaignStatus, Channel, Direction, MessageStatus, MessageType, RecipientState
from app.ids import new_id, outbox_id
from app.models import Campaign, CampaignRecipient, ChannelSetting, Contact, Message, Template, Tenant
from app.secrets import Vault

_numbers = itertools.count(910_000_000)


async def make_tenant(session: AsyncSession, **changes: Any) -> Tenant:
    id = new_id()
    tenant = Tenant(**{"id": id, "name": "Tenant", "slug": f"tenant-{id}", "default_region": "PT", **changes})
    session.add(tenant)
    await session.flush()
    return tenant


async def make_contact(session: AsyncSession, tenant_id: UUID, **changes: Any) -> Contact:
    contact = new_contact(tenant_id, **changes)
    session.add(contact)
    await session.flush()
    return contact


def new_contact(tenant_id: UUID, **changes: Any) -> Contact:
    """Not in a session yet, for those who add many at once."""
    number = next(_numbers)
    return Contact(
        **{
            "tenant_id": tenant_id,
            "phone": f"+351{number}",
            "email": f"person{number}@example.com",
            "first_name": "Ana",
            "country": "PT",
            **changes,
        }
    )


async def make_template(session: AsyncSession, tenant_id: UUID, **changes: Any) -> Template:
    id = new_id()
    core = {"blocks": {"body": "Hi {{ contact.first_name }}"}}
    template = Template(**{"id": id, "tenant_id": tenant_id, "name": f"t-{id}", "core_schema_json": core, **changes})
    session.add(template)
    await session.flush()
    return template


async def make_campaign(session: AsyncSession, tenant_id: UUID, **changes: Any) -> Campaign:
    """A running one that ends on reply and conversion, with a template of its own."""
    if "template_id" not in changes:
        changes["template_id"] = (await make_template(session, tenant_id)).id
    campaign = Campaign(
        **{
            "tenant_id": tenant_id,
            "name": "Spring",
            "primary_channel": Channel.WHATSAPP,
            "exit_on_json": ["reply", "conversion"],
            "status": CampaignStatus.RUNNING,
            **changes,
        }
    )
    session.add(campaign)
    await session.flush()
    return campaign


async def make_recipient(
    session: AsyncSession, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, **changes: Any
) -> CampaignRecipient:
    recipient = CampaignRecipient(
        **{
            "tenant_id": tenant_id,
            "campaign_id": campaign_id,
            "contact_id": contact_id,
            "state": RecipientState.SENT,
            **changes,
        }
    )
    session.add(recipient)
    await session.flush()
    return recipient


async def make_message(session: AsyncSession, tenant_id: UUID, contact_id: UUID, **changes: Any) -> Message:
    """An outbound one that was sent over WhatsApp; of a campaign it has the outbox id."""
    channel, campaign_id = changes.get("channel", Channel.WHATSAPP), changes.get("campaign_id")
    id = outbox_id(campaign_id, contact_id, changes.get("step", 0), channel) if campaign_id else new_id()
    message = Message(
        **{
            "id": id,
            "tenant_id": tenant_id,
            "conversation_id": contact_id,
            "contact_id": contact_id,
            "channel": channel,
            "direction": Direction.OUT,
            "type": MessageType.TEMPLATE,
            "status": MessageStatus.SENT,
            **changes,
        }
    )
    session.add(message)
    await session.flush()
    return message


async def make_channel_setting(
    session: AsyncSession,
    tenant_id: UUID,
    vault: Vault,
    channel: Channel,
    provider: str,
    credentials: dict[str, str],
    **changes: Any,
) -> ChannelSetting:
    id = new_id()
    sealed = vault.seal(credentials, tenant_id=tenant_id, row_id=id)
    setting = ChannelSetting(
        **{
            "id": id,
            "tenant_id": tenant_id,
            "channel": channel,
            "provider": provider,
            "name": f"{provider}-{id}",
            "account": adapter_class(channel, provider).account_hint(credentials),
            "settings_json": {"credentials": sealed, "limits": {}},
            **changes,
        }
    )
    session.add(setting)
    await session.flush()
    return setting
