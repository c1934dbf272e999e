"""Hours in which marketing waits, on the wall clock of the contact. They hold a message and never drop it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.pointers import Problems, child
from app.domain.zones import zone
from app.errors import InvalidInput

CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
MINUTE = timedelta(minutes=1)
# an hour free in every zone comes at least once a day, unless there is none at all
HORIZON = timedelta(hours=48)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """From `start` up to, but without, `end`, in whole minutes; may cross midnight. Equal ends mean no quiet hours."""

    start: time
    end: time

    @classmethod
    def parse(cls, value: Any, pointer: str = "/quiet_hours") -> "QuietHours":
        """Read `{"start": "21:00", "end": "08:00"}`. Raises InvalidInput that names each bad field."""
        if not isinstance(value, dict):
            raise InvalidInput.at(pointer, 'quiet_hours must be an object such as {"start": "21:00", "end": "08:00"}.')
        problems = Problems()
        problems.unknown_keys(value, ("start", "end"), pointer)
        clocks: dict[str, time] = {}
        for key in ("start", "end"):
            match = CLOCK.fullmatch(value[key]) if isinstance(value.get(key), str) else None
            if match is None:
                problems.add(child(pointer, key), f"{key} must be a time such as 21:00.")
            else:
                clocks[key] = time(int(match[1]), int(match[2]))
        problems.raise_any()
        return cls(start=clocks["start"], end=clocks["end"])

    def covers(self, clock: time) -> bool:
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def __str__(self) -> str:
        return f"{self.start.isoformat('minutes')}-{self.end.isoformat('minutes')}"


DEFAULT = QuietHours(start=time(21), end=time(8))


def resolve_quiet_hours(
    campaign_value: dict[str, Any] | None, tenant_value: dict[str, Any] | None
) -> QuietHours | None:
    """The campaign's own, else the tenant's, else 21:00 to 08:00. `{}` on either means none, and so does None here."""
    value = campaign_value if campaign_value is not None else tenant_value
    if value is None:
        return DEFAULT
    return QuietHours.parse(value) if value else None


def allowed_at(quiet: QuietHours, now: datetime, zones: Sequence[str]) -> datetime | None:
    """None when `now` is allowed in every zone, else the UTC instant from which it is.

    Where the zones leave no common hour (a toll-free number spans half the globe), the hour that suits most of them
    counts as allowed. No zones at all are read as UTC. Raises ZoneInfoNotFoundError for a name that is no zone.
    """
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    return _allowed_from(quiet, minute, tuple(zones) or ("UTC",))


@lru_cache(maxsize=8192)
def _allowed_from(quiet: QuietHours, minute: datetime, zones: tuple[str, ...]) -> datetime | None:
    """The clocks and all offsets in use are whole minutes, so one answer serves every instant of the minute."""
    instant = minute
    while instant - minute <= HORIZON:
        latest = max(_leave(quiet, instant, zone(name)) for name in zones)
        if latest == instant:
            return None if instant == minute else instant
        instant = latest
    return _best_for_most(quiet, minute, zones)


def _leave(quiet: QuietHours, instant: datetime, tz: ZoneInfo) -> datetime:
    """The first instant from `instant` on at which the clock of `tz` shows no quiet time."""
    local = instant.astimezone(tz)
    while quiet.start != quiet.end and quiet.covers(local.time()):
        end = datetime.combine(local.date(), quiet.end)
        clock = local.replace(tzinfo=None, fold=0)
        target = instant + (end - clock if end > clock else end - clock + timedelta(days=1))
        if target.astimezone(tz).utcoffset() != local.utcoffset():
            # the clock was changed on the way: look again at that moment, it may have jumped over the end
            target = _clock_change(instant, target, tz)
        instant = target
        local = instant.astimezone(tz)
    return instant


def _clock_change(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    """The first minute between the two at which the offset of `tz` is no longer that of `before`."""
    offset = before.astimezone(tz).utcoffset()
    while after - before > MINUTE:
        middle = before + MINUTE * ((after - before) // MINUTE // 2)
        if middle.astimezone(tz).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _best_for_most(quiet: QuietHours, minute: datetime, zones: tuple[str, ...]) -> datetime | None:
    def allowed(instant: datetime) -> int:
        return sum(_leave(quiet, instant, zone(name)) == instant for name in zones)

    later = {_leave(quiet, minute + timedelta(hours=hours), zone(name)) for name in zones for hours in range(0, 25, 6)}
    best = max(sorted({minute, *later}), key=allowed)  # the earliest of the equally good
    return None if best == minute else best
