"""A tenant's calendar days."""

from datetime import UTC, date, datetime, time, timedelta

from app.domain.zones import zone


def day_of(now: datetime, timezone: str) -> date:
    return now.astimezone(zone(timezone)).date()


def end_of(day: date, timezone: str) -> datetime:
    """The first instant of the next day, in UTC. Where the clock jumps over midnight, that is the moment it jumps."""
    midnight = datetime.combine(day + timedelta(days=1), time(), zone(timezone))
    return midnight.astimezone(UTC)
