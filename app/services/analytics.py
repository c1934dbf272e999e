"""Plain counts over a span of time, in all and per channel."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel
from app.errors import InvalidInput
from app.repositories.analytics import Span
from app.schemas.analytics import OverviewRead, Rates, Totals

USUAL_SPAN = timedelta(days=30)
LONGEST_SPAN = timedelta(days=400)
COUNTED = ("sent", "delivered", "read", "clicked", "replied", "failed")


async def overview(
    session: AsyncSession, tenant_id: UUID, start: datetime | None, stop: datetime | None
) -> OverviewRead:
    """Counts in [start, stop); without bounds the last 30 days. Raises InvalidInput for a span that is empty, reversed
    or longer than 400 days."""
    start, stop = _bounds(start, stop)
    span = Span(session, tenant_id, start, stop)
    total, channels = Totals(), {channel: Totals() for channel in Channel}
    for row in await span.messages():
        for name in COUNTED:
            for totals in (total, channels[Channel(row.channel)]):
                setattr(totals, name, getattr(totals, name) + getattr(row, name))
    for row in await span.skipped():
        total.skipped += row.skipped
        channels[Channel(row.channel)].skipped += row.skipped
    for row in await span.opted_out():
        total.opted_out += row.opted_out
        channels[Channel(row.channel)].opted_out += row.opted_out
    for row in await span.conversions():
        credited = [channels[Channel(row.channel)]] if row.channel else []
        for totals in (total, *credited):
            totals.conversions += row.conversions
            totals.revenue[row.currency] = totals.revenue.get(row.currency, 0) + row.revenue
    for totals in (total, *channels.values()):
        totals.rates = _rates(totals)
    return OverviewRead(from_=start, to=stop, total=total, channels=channels)


def _bounds(start: datetime | None, stop: datetime | None) -> tuple[datetime, datetime]:
    stop = stop or (max(start, datetime.now(UTC)) if start else datetime.now(UTC))
    try:
        start = start or stop - USUAL_SPAN
    except OverflowError:
        raise InvalidInput.at("?to", "This time is out of range.") from None
    if start > stop:
        raise InvalidInput.at("?from", "`from` must not be later than `to`.")
    if stop - start > LONGEST_SPAN:
        raise InvalidInput.at("?from", f"At most {LONGEST_SPAN.days} days at once: move `from` or `to`.")
    return start, stop


def _rates(totals: Totals) -> Rates:
    tried = totals.sent
    if not tried:
        return Rates()
    return Rates(
        delivered=round(totals.delivered / tried, 4),
        read=round(totals.read / tried, 4),
        clicked=round(totals.clicked / tried, 4),
        replied=round(totals.replied / tried, 4),
        failed=round(totals.failed / tried, 4),
    )
