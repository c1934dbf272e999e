"""The one place that writes what a contact allowed or refused, and what follows for the address."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.consent import is_opted_in
from app.domain.status import Channel, OptOutScope, SuppressionReason
from app.repositories import consents

# a person's own no, which a later yes of the same person overrules; whatever else suppresses stands by itself
WITHDRAWABLE = frozenset({SuppressionReason.STOP, SuppressionReason.UNSUBSCRIBE, SuppressionReason.MANUAL})


async def record_opt_in(
    session: AsyncSession,
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    *,
    at: datetime,
    source: str,
    meta: dict[str, Any] | None = None,
) -> None:
    """The contact said yes at `at`. Lifts a STOP or unsubscribe that came before, never a bounce or a complaint.

    Times never move backwards, so reports may come twice and in any order.
    """
    opt_in_at, opt_out_at = await consents.upsert(
        session, tenant_id, contact_id, channel, opt_in_at=at, source=source, meta=meta or {}
    )
    await consents.add_event(
        session, tenant_id, contact_id, channel, kind="opted_in", at=at, source=source, meta=meta or {}
    )
    if is_opted_in(opt_in_at, opt_out_at):
        address = await consents.address_of(session, tenant_id, contact_id, channel)
        if address:
            await consents.lift(session, channel, address, at=at)


async def record_opt_out(
    session: AsyncSession,
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    *,
    at: datetime,
    source: str,
    reason: SuppressionReason,
    address: str,
    meta: dict[str, Any] | None = None,
    scope: OptOutScope = OptOutScope.ALL,
) -> None:
    """The contact said no at `at`; `address` is suppressed on the channel for `reason`, unless a later yes is known.

    With an empty `address` only the consent changes, and with a no to marketing alone too.
    """
    if scope is OptOutScope.MARKETING and not await consents.refuses_all(session, contact_id, channel):
        meta, address = {**(meta or {}), "scope": scope.value}, ""
    opt_in_at, opt_out_at = await consents.upsert(
        session, tenant_id, contact_id, channel, opt_out_at=at, source=source, meta=meta or {}
    )
    await consents.add_event(
        session, tenant_id, contact_id, channel, kind="opted_out", at=at, source=source, meta=meta or {}
    )
    taken_back = reason in WITHDRAWABLE and is_opted_in(opt_in_at, opt_out_at)
    if address and not taken_back:
        await consents.suppress(session, tenant_id, channel, address, reason=reason, source=source)
