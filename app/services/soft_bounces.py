"""Soft bounces: one says little about an address; several in a row, with nothing delivered in between, end it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel, SuppressionReason
from app.domain.tenant_rules import TenantRules
from app.models import Tenant
from app.repositories import consents, soft_bounces


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounced:
    """A message to this e-mail address was given up, for a reason that may pass."""

    address: str
    provider: str
    at: datetime


async def note(session: AsyncSession, tenant_id: UUID, bounced: Mapping[UUID, Bounced]) -> None:
    """Count these messages, and suppress the addresses that the tenant's rule ends. Safe to repeat."""
    if not bounced:
        return
    await soft_bounces.mark(session, {id: it.at for id, it in bounced.items()})
    tenant = await session.get_one(Tenant, tenant_id, populate_existing=True)
    rule = TenantRules.parse(tenant.settings_json).soft_bounces
    by_address = {it.address: it for it in bounced.values() if it.address}
    since = max(it.at for it in bounced.values()) - rule.period
    for address, count in (await soft_bounces.count(session, tenant_id, by_address, since)).items():
        if count >= rule.count:
            source = f"{by_address[address].provider}: {count} soft bounces in {rule.period.days} days"
            reason = SuppressionReason.BOUNCE
            await consents.suppress(session, tenant_id, Channel.EMAIL, address, reason=reason, source=source)
