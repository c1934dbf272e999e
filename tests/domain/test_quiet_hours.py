from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.quiet_hours import COUNTRIES, DEFAULT, WEEKDAYS, QuietHours, QuietRules, allowed_at
from app.errors import InvalidInput

ZONES = sorted(available_timezones())
MINUTE = timedelta(minutes=1)
TEN_YEARS = 10 * 365 * 86_400
MOMENTS = st.integers(0, TEN_YEARS).map(lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
WINDOWS = [
    DEFAULT,
    QuietHours(start=time(1), end=time(2, 30)),  # ends inside the hour that most changes skip or repeat
    QuietHours(start=time(2, 30), end=time(3, 30)),
    QuietHours(start=time(23, 30), end=time(0, 30)),
    COUNTRIES["FR"],  # a whole day, and clocks change on Sundays
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def is_quiet(quiet: QuietHours, instant: datetime, zone: str) -> bool:
    """As a person with a calendar and a clock on the wall would say it."""
    local = instant.astimezone(ZoneInfo(zone))
    clock, start, end = local.time(), quiet.start, quiet.end
    if local.weekday() in quiet.days:
        return True
    return start <= clock < end if start <= end else clock >= start or clock < end


def by_brute_force(quiet: QuietHours, now: datetime, *zones: str) -> datetime | None:
    """The first whole minute from `now` on that is quiet in none of the zones."""
    instant = now.replace(second=0, microsecond=0)
    while any(is_quiet(quiet, instant, zone) for zone in zones):
        instant += MINUTE
    return None if instant <= now else instant


def changes_of(zone: str, year: int) -> list[tuple[datetime, timedelta]]:
    """The hours after which the clock of `zone` was changed in `year`, and by how much."""
    tz = ZoneInfo(zone)
    changes = []
    for day in (datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(365)):
        hours = [(day + timedelta(hours=n)).astimezone(tz) for n in (range(25) if _shift(day, tz, 24) else ())]
        for before, after in pairwise(hours):
            if shift := _shift(before, tz, 1):
                changes.append((after.astimezone(UTC), shift))
    return changes


def _shift(moment: datetime, tz: ZoneInfo, hours: int) -> timedelta:
    before, after = (at.astimezone(tz).utcoffset() for at in (moment, moment.astimezone(UTC) + timedelta(hours=hours)))
    assert before is not None
    assert after is not None
    return after - before


class TestParse:
    def test_reads_start_and_end(self) -> None:
        assert QuietHours.parse({"start": "21:00", "end": "08:00"}) == DEFAULT

    @pytest.mark.parametrize("quiet", [DEFAULT, COUNTRIES["FR"]])
    def test_reads_what_it_writes(self, quiet: QuietHours) -> None:
        assert QuietHours.parse(quiet.as_json()) == quiet

    @pytest.mark.parametrize(
        ("value", "pointers"),
        [
            ({"start": "21:00"}, ["/quiet_hours/end"]),
            ({"start": "24:00", "end": "8"}, ["/quiet_hours/start", "/quiet_hours/end"]),
            ({"start": "21:00", "end": "08:00", "zone": "UTC"}, ["/quiet_hours/zone"]),
            ({"start": 21, "end": None}, ["/quiet_hours/start", "/quiet_hours/end"]),
            ("21:00-08:00", ["/quiet_hours"]),
            ({"start": "21:00", "end": "08:00", "days": "sun"}, ["/quiet_hours/days"]),
            ({"start": "21:00", "end": "08:00", "days": [1]}, ["/quiet_hours/days"]),
            ({"start": "21:00", "end": "08:00", "days": list(WEEKDAYS)}, ["/quiet_hours/days"]),
        ],
    )
    def test_names_each_bad_field(self, value: Any, pointers: list[str]) -> None:
        with pytest.raises(InvalidInput) as raised:
            QuietHours.parse(value)
        assert [error.pointer for error in raised.value.errors] == pointers


class TestQuietRules:
    WIDE: ClassVar = {"start": "20:00", "end": "09:00"}
    NARROW: ClassVar = {"start": "23:00", "end": "06:00"}

    def of(self, country: str, general: Any = None, by_country: Any = None) -> QuietHours | None:
        return QuietRules.parse(general, by_country).of(country)

    def test_the_tenants_of_a_country_win_over_its_general_ones(self) -> None:
        assert self.of("PT", self.WIDE, {"PT": self.NARROW}) == QuietHours.parse(self.NARROW)
        assert self.of("ES", self.WIDE, {"PT": self.NARROW}) == QuietHours.parse(self.WIDE)

    def test_the_tenants_general_ones_win_over_the_countrys_usual_ones(self) -> None:
        assert self.of("FR", self.WIDE) == QuietHours.parse(self.WIDE)
        assert self.of("FR") == COUNTRIES["FR"]

    @pytest.mark.parametrize("country", ["PT", "US", ""])
    def test_elsewhere_from_nine_to_eight(self, country: str) -> None:
        assert self.of(country) == DEFAULT

    def test_an_empty_object_means_none(self) -> None:
        assert self.of("FR", {}) is None
        assert self.of("FR", self.WIDE, {"FR": {}}) is None

    def test_names_each_bad_field(self) -> None:
        with pytest.raises(InvalidInput) as raised:
            QuietRules.parse({"start": "9"}, {"PT": {"start": "21:00", "end": "08:00", "days": ["someday"]}})
        assert [error.pointer for error in raised.value.errors] == [
            "/quiet_hours_by_country/PT/days",
            "/quiet_hours/start",
            "/quiet_hours/end",
        ]


class TestAllowedAt:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            ("2026-01-15T12:00:00+00:00", None),
            ("2026-01-15T20:59:59+00:00", None),
            ("2026-01-15T21:00:00+00:00", "2026-01-16T08:00:00+00:00"),
            ("2026-01-16T07:59:59+00:00", "2026-01-16T08:00:00+00:00"),
            ("2026-01-16T08:00:00+00:00", None),
        ],
    )
    def test_holds_over_midnight_until_the_end(self, now: str, expected: str | None) -> None:
        assert allowed_at(DEFAULT, at(now), ("Europe/Lisbon",)) == (expected and at(expected))

    def test_a_window_within_one_day(self) -> None:
        siesta = QuietHours(start=time(13), end=time(15))
        assert allowed_at(siesta, at("2026-01-15T12:30:00+00:00"), ("Europe/Madrid",)) == at("2026-01-15T14:00+00:00")
        assert allowed_at(siesta, at("2026-01-15T14:00:00+00:00"), ("Europe/Madrid",)) is None

    def test_equal_ends_mean_no_quiet_hours(self) -> None:
        none = QuietHours(start=time(9), end=time(9))
        assert allowed_at(none, at("2026-01-15T09:00:00+00:00"), ("UTC",)) is None

    def test_every_zone_must_be_awake(self) -> None:
        zones = ("America/New_York", "America/Los_Angeles")
        assert allowed_at(DEFAULT, at("2026-01-15T14:00:00+00:00"), zones) == at("2026-01-15T16:00:00+00:00")
        assert allowed_at(DEFAULT, at("2026-01-15T17:00:00+00:00"), zones) is None
        assert allowed_at(DEFAULT, at("2026-01-16T02:00:00+00:00"), zones) == at("2026-01-16T16:00:00+00:00")

    def test_without_a_common_hour_most_zones_decide_and_the_hold_ends(self) -> None:
        zones = ("Pacific/Auckland", "America/New_York", "America/Chicago", "Europe/Lisbon")
        now = at("2026-01-15T03:00:00+00:00")
        until = allowed_at(DEFAULT, now, zones)
        assert until is not None
        assert now < until <= now + timedelta(hours=25)
        assert allowed_at(DEFAULT, until, zones) is None

    def test_no_zone_is_read_as_utc(self) -> None:
        assert allowed_at(DEFAULT, at("2026-07-15T22:00:00+00:00"), ()) == at("2026-07-16T08:00:00+00:00")

    def test_an_end_in_the_skipped_hour_is_over_when_the_clock_jumps(self) -> None:
        quiet = QuietHours(start=time(1), end=time(2, 30))
        # New York, 8 March 2026: 01:59 is followed by 03:00
        held = allowed_at(quiet, at("2026-03-08T06:30:00+00:00"), ("America/New_York",))
        assert held == at("2026-03-08T07:00:00+00:00")

    def test_an_end_in_the_repeated_hour_counts_both_times(self) -> None:
        quiet = QuietHours(start=time(0), end=time(1, 30))
        # New York, 1 November 2026: 01:59 is followed by 01:00 again
        zones = ("America/New_York",)
        assert allowed_at(quiet, at("2026-11-01T04:30:00+00:00"), zones) == at("2026-11-01T05:30:00+00:00")
        assert allowed_at(quiet, at("2026-11-01T06:10:00+00:00"), zones) == at("2026-11-01T06:30:00+00:00")

    def test_every_clock_change_of_every_zone(self) -> None:
        seen = set()
        for zone in ZONES:
            for change in changes_of(zone, 2026):
                if change in seen:
                    continue
                seen.add(change)
                for window in WINDOWS:
                    for hours in (9, 3, 1, 0.25, -0.25):
                        now = change[0] - timedelta(hours=hours)
                        assert allowed_at(window, now, (zone,)) == by_brute_force(window, now, zone), (zone, now)
        assert len(seen) > 10

    @settings(deadline=None)  # it goes minute by minute
    @given(
        zone=st.sampled_from(ZONES),
        now=MOMENTS,
        start=st.integers(0, 1439),
        end=st.integers(0, 1439),
    )
    def test_agrees_with_the_wall_clock_in_every_zone(self, zone: str, now: datetime, start: int, end: int) -> None:
        quiet = QuietHours(start=time(start // 60, start % 60), end=time(end // 60, end % 60))
        assert allowed_at(quiet, now, (zone,)) == by_brute_force(quiet, now, zone)

    def test_a_quiet_day_is_quiet_from_midnight_to_midnight(self) -> None:
        zones = ("Europe/Paris",)  # an hour ahead of UTC in winter; 17 January 2026 is a Saturday
        assert allowed_at(COUNTRIES["FR"], at("2026-01-17T18:59:00+00:00"), zones) is None
        monday = at("2026-01-19T07:00:00+00:00")
        assert allowed_at(COUNTRIES["FR"], at("2026-01-17T19:00:00+00:00"), zones) == monday
        assert allowed_at(COUNTRIES["FR"], at("2026-01-18T11:00:00+00:00"), zones) == monday

    @settings(max_examples=40, deadline=None)
    @given(
        zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=4, unique=True),
        now=MOMENTS,
        start=st.integers(20 * 60, 23 * 60),
        end=st.integers(0, 8 * 60),
        days=st.frozensets(st.integers(0, 6), max_size=1),
    )
    def test_several_zones_are_all_awake_and_no_minute_is_lost(
        self, zones: list[str], now: datetime, start: int, end: int, days: frozenset[int]
    ) -> None:
        quiet = QuietHours(start=time(start // 60, start % 60), end=time(end // 60, end % 60), days=days)
        until = allowed_at(quiet, now, zones)
        if until is None:
            until = now
        if any(is_quiet(quiet, until, zone) for zone in zones):  # then there is no common hour to wait for
            spans = (now + timedelta(minutes=step) for step in range(0, 2 * 24 * 60, 5))
            assert all(any(is_quiet(quiet, moment, zone) for zone in zones) for moment in spans)
        else:
            assert (by_brute_force(quiet, now, *zones) or now) == until
            assert until - now <= timedelta(hours=49 if len(zones) == 1 else 74)

    @settings(max_examples=200, deadline=None)
    @given(zone=st.sampled_from(ZONES), now=MOMENTS)
    def test_nobody_waits_two_days_for_the_usual_hours_of_any_country(self, zone: str, now: datetime) -> None:
        for quiet in (DEFAULT, *COUNTRIES.values()):
            until = allowed_at(quiet, now, (zone,))
            assert until is None or until - now < timedelta(hours=48)

    @given(
        zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=6).map(tuple),
        now=MOMENTS,
    )
    def test_a_hold_ends_within_two_days_and_then_lets_pass(self, zones: tuple[str, ...], now: datetime) -> None:
        until = allowed_at(DEFAULT, now, zones)
        if until is not None:
            assert now < until <= now + timedelta(hours=50)
            assert allowed_at(DEFAULT, until, zones) is None
