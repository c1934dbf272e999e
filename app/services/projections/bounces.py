"""Reports of messages that were given up for a reason that may pass."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.bounces import is_soft
from app.domain.status import Channel
from app.repositories.deliveries import Sent
from app.repositories.webhook_events import StoredEvent
from app.services import soft_bounces
from app.services.soft_bounces import Bounced


async def project_bounces(
    session: AsyncSession, tenant_id: UUID, reports: Sequence[StoredEvent], sent: dict[UUID, Sent]
) -> None:
    """Count them. A deferral does not count: the provider still tries, and tells how it ends."""
    soft = {
        sent[event.id].id: Bounced(address=sent[event.id].address, provider=event.provider, at=event.at)
        for event in reports
        if event.id in sent and _counts(event)
    }
    await soft_bounces.note(session, tenant_id, soft)


def _counts(event: StoredEvent) -> bool:
    if event.kind is not EventKind.FAILED or event.channel is not Channel.EMAIL or event.data.get("forwarded"):
        return False  # what failed at an address that ours forwards to says nothing about ours
    return is_soft(str(event.data.get("bounce", "")), event.text("error_code"), event.text("suppress"))
