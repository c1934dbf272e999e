"""Quotas of a day: of each sender and of the tenant. A message counts from its claim, in the claim's transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.days import day_of, end_of
from app.domain.status import Channel
from app.repositories import daily_usage
from app.services.senders import Sender


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many messages of each channel may be claimed on this day; channels without a quota are left out."""

    day: date
    until: datetime
    counts: dict[Channel, int]


def limited(senders: Iterable[Sender]) -> list[Sender]:
    """Those with a quota, in the one order in which rows are locked: two claims can't wait for each other."""
    found = (sender for sender in senders if sender.per_day is not None or sender.tenant_per_day is not None)
    return sorted(found, key=lambda sender: sender.settings_id)


async def take(
    session: AsyncSession, senders: Mapping[Channel, Sender], wanted: Mapping[Channel, int], now: datetime
) -> Allowance | None:
    """Count what is wanted, as far as the quotas go. None where there is no quota at all."""
    asked = limited(senders[channel] for channel in wanted)
    if not asked:
        return None
    day, counts = day_of(now, asked[0].timezone), {sender.channel: wanted[sender.channel] for sender in asked}
    for sender in asked:
        if sender.per_day is not None:
            counts[sender.channel] = await daily_usage.take(
                session,
                tenant_id=sender.tenant_id,
                subject_id=sender.settings_id,
                day=day,
                quota=sender.per_day,
                want=counts[sender.channel],
            )
    for sender in asked:
        if sender.tenant_per_day is not None:
            own = counts[sender.channel]
            counts[sender.channel] = await daily_usage.take(
                session,
                tenant_id=sender.tenant_id,
                subject_id=sender.tenant_id,
                day=day,
                quota=sender.tenant_per_day,
                want=own,
            )
            if sender.per_day is not None:
                await daily_usage.give_back(session, sender.settings_id, day, own - counts[sender.channel])
    return Allowance(day, end_of(day, asked[0].timezone), counts)


async def give_back(session: AsyncSession, sender: Sender, day: date, count: int) -> None:
    """These were counted and will be claimed again, or were not claimed at all."""
    if sender.per_day is not None:
        await daily_usage.give_back(session, sender.settings_id, day, count)
    if sender.tenant_per_day is not None:
        await daily_usage.give_back(session, sender.tenant_id, day, count)


async def lock(session: AsyncSession, senders: Iterable[Sender], day: date) -> None:
    """In the order of `take`, before any message is locked."""
    asked = limited(senders)
    await daily_usage.lock(session, [sender.settings_id for sender in asked if sender.per_day is not None], day)
    tenants = {sender.tenant_id for sender in asked if sender.tenant_per_day is not None}
    await daily_usage.lock(session, sorted(tenants), day)
