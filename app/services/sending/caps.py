"""What the frequency caps of a tenant need to know of contacts; nothing is looked up where there are none."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.frequency import Sent
from app.domain.status import Purpose
from app.domain.tenant_rules import TenantRules
from app.repositories import frequency

NOTHING: Mapping[UUID, Sequence[Sent]] = {}


async def look(
    session: AsyncSession,
    rules: TenantRules,
    purpose: Purpose,
    contact_ids: Sequence[UUID],
    now: datetime,
    *,
    campaign_id: UUID | None = None,
    step: int = 0,
    own: Sequence[UUID] = (),
) -> Mapping[UUID, Sequence[Sent]]:
    """Call it before any quota is locked. See `frequency.marketing_since`."""
    if not rules.caps or not contact_ids or purpose is not Purpose.MARKETING:
        return NOTHING
    since = now - max(cap.period for cap in rules.caps)
    return await frequency.marketing_since(session, contact_ids, since, campaign_id=campaign_id, step=step, own=own)
