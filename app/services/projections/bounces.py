"""Soft bounces: one says little about an address; several in a row, with nothing delivered in between, end it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.bounces import is_soft
from app.domain.status import Channel, SuppressionReason
from app.domain.tenant_rules import TenantRules
from app.models import Tenant
from app.repositories import consents, soft_bounces
from app.repositories.deliveries import Sent
from app.repositories.webhook_events import StoredEvent


async def project_bounces(
    session: AsyncSession, tenant_id: UUID, reports: Sequence[StoredEvent], sent: dict[UUID, Sent]
) -> None:
    """Count what was given up, by message, and suppress the addresses that the tenant's rule ends.

    A deferral does not count: the provider still tries, and tells how it ends.
    """
    soft = {sent[event.id].id: event for event in reports if event.id in sent and _counts(event)}
    if not soft:
        return
    await soft_bounces.mark(session, {id: event.at for id, event in soft.items()})
    tenant = await session.get_one(Tenant, tenant_id, populate_existing=True)
    rule = TenantRules.parse(tenant.settings_json).soft_bounces
    messages = {row.id: row for row in sent.values()}
    by_address = {messages[id].address: event for id, event in soft.items() if messages[id].address}
    since = max(event.at for event in soft.values()) - rule.period
    for address, bounces in (await soft_bounces.count(session, tenant_id, by_address, since)).items():
        if bounces >= rule.count:
            source = f"{by_address[address].provider}: {bounces} soft bounces in {rule.period.days} days"
            reason = SuppressionReason.BOUNCE
            await consents.suppress(session, tenant_id, Channel.EMAIL, address, reason=reason, source=source)


def _counts(event: StoredEvent) -> bool:
    if event.kind is not EventKind.FAILED or event.channel is not Channel.EMAIL or event.data.get("forwarded"):
        return False  # what failed at an address that ours forwards to says nothing about ours
    return is_soft(str(event.data.get("bounce", "")), event.text("error_code"), event.text("suppress"))
