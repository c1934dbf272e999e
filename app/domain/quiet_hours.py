"""Hours in which marketing waits, on the wall clock of the contact. They hold a message and never drop it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.pointers import Problems, child
from app.domain.zones import zone
from app.errors import InvalidInput

CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
# an hour free in every zone comes at least once a day that is not quiet as a whole, unless there is none at all
HORIZON = 2 * DAY
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """From `start` up to, but without, `end`, in whole minutes; may cross midnight. Equal ends mean no quiet hours.

    `days` are quiet as a whole: Monday is 0.
    """

    start: time
    end: time
    days: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, value: Any, pointer: str = "/quiet_hours") -> "QuietHours":
        """Read `{"start": "21:00", "end": "08:00", "days": ["sun"]}`. Raises InvalidInput that names each bad field."""
        if not isinstance(value, dict):
            raise InvalidInput.at(pointer, 'quiet_hours must be an object such as {"start": "21:00", "end": "08:00"}.')
        problems = Problems()
        problems.unknown_keys(value, ("start", "end", "days"), pointer)
        clocks: dict[str, time] = {}
        for key in ("start", "end"):
            match = CLOCK.fullmatch(value[key]) if isinstance(value.get(key), str) else None
            if match is None:
                problems.add(child(pointer, key), f"{key} must be a time such as 21:00.")
            else:
                clocks[key] = time(int(match[1]), int(match[2]))
        days = _days(value.get("days"), child(pointer, "days"), problems)
        problems.raise_any()
        return cls(start=clocks["start"], end=clocks["end"], days=days)

    def as_json(self) -> dict[str, Any]:
        """What `parse` reads."""
        clocks = {"start": self.start.isoformat("minutes"), "end": self.end.isoformat("minutes")}
        return {**clocks, "days": [WEEKDAYS[day] for day in sorted(self.days)]} if self.days else clocks

    def is_quiet(self, local: datetime) -> bool:
        return local.weekday() in self.days or self.covers(local.time())

    def next_end(self, clock: datetime) -> datetime:
        """Of what covers this naive local time: its day, or the window."""
        if clock.weekday() in self.days:
            return datetime.combine(clock.date() + DAY, time())
        end = datetime.combine(clock.date(), self.end)
        return end if end > clock else end + DAY

    def covers(self, clock: time) -> bool:
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def __str__(self) -> str:
        days = "".join(f" {WEEKDAYS[day]}" for day in sorted(self.days))
        return f"{self.start.isoformat('minutes')}-{self.end.isoformat('minutes')}{days}"


def _days(value: Any, pointer: str, problems: Problems) -> frozenset[int]:
    names = [] if value is None else value
    known = isinstance(names, list) and all(name in WEEKDAYS for name in names)
    days = frozenset(WEEKDAYS.index(name) for name in names) if known else frozenset()
    if not known or len(days) == len(WEEKDAYS):
        problems.add(pointer, f"days must be a list of {', '.join(WEEKDAYS)}, and not all of them.")
    return days


DEFAULT = QuietHours(start=time(21), end=time(8))
# By the country of the contact, where the tenant has said nothing. Not legal advice; a tenant may set its own.
COUNTRIES: Mapping[str, QuietHours] = {
    # 47 CFR 64.1200(c)(1). Some states are stricter (Florida, Oklahoma, Washington, Texas): not told apart here
    "US": DEFAULT,
    # unconfirmed: operators' charters say 20:00 or 22:00, and neither Sundays nor public holidays (not known here)
    "FR": QuietHours(start=time(20), end=time(8), days=frozenset({WEEKDAYS.index("sun")})),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietRules:
    """Whose quiet hours hold. None means none, absence that somebody else decides."""

    by_country: Mapping[str, QuietHours | None]
    general: QuietHours | None = DEFAULT
    has_general: bool = False

    @classmethod
    def parse(cls, general: Any, by_country: Any, pointer: str = "") -> "QuietRules":
        """From a tenant's settings: None is absent, `{}` is none. Raises InvalidInput that names each bad field."""
        problems = Problems()
        read = {
            country: _read(value, f"{pointer}/quiet_hours_by_country/{country}", problems)
            for country, value in (by_country or {}).items()
        }
        own = _read(general, f"{pointer}/quiet_hours", problems) if general is not None else DEFAULT
        problems.raise_any()
        return cls(by_country=read, general=own, has_general=general is not None)

    def of(self, country: str) -> QuietHours | None:
        """The tenant's of the country, else its general ones, else the country's usual ones, else 21:00 to 08:00."""
        if country in self.by_country:
            return self.by_country[country]
        return self.general if self.has_general else COUNTRIES.get(country, DEFAULT)


def _read(value: Any, pointer: str, problems: Problems) -> QuietHours | None:
    if value == {}:
        return None
    try:
        return QuietHours.parse(value, pointer)
    except InvalidInput as error:
        problems.errors += error.errors
        return None


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
    while instant - minute <= HORIZON + len(quiet.days) * DAY:
        latest = max(_leave(quiet, instant, zone(name)) for name in zones)
        if latest == instant:
            return None if instant == minute else instant
        instant = latest
    return _best_for_most(quiet, minute, zones)


def _leave(quiet: QuietHours, instant: datetime, tz: ZoneInfo) -> datetime:
    """The first instant from `instant` on at which the clock of `tz` shows no quiet time."""
    local = instant.astimezone(tz)
    while quiet.is_quiet(local):
        clock = local.replace(tzinfo=None, fold=0)
        target = instant + (quiet.next_end(clock) - clock)
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

    ahead = range(0, 25 + 24 * len(quiet.days), 6)
    later = {_leave(quiet, minute + timedelta(hours=hours), zone(name)) for name in zones for hours in ahead}
    best = max(sorted({minute, *later}), key=allowed)  # the earliest of the equally good
    return None if best == minute else best
