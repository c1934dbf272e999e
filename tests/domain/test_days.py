from datetime import UTC, date, datetime

import pytest

from app.domain.days import day_of, end_of


class TestDays:
    def test_the_day_is_the_tenants_own(self) -> None:
        now = datetime(2026, 5, 1, 23, 30, tzinfo=UTC)
        assert day_of(now, "UTC") == date(2026, 5, 1)
        assert day_of(now, "Europe/Lisbon") == date(2026, 5, 2)
        assert day_of(now, "America/New_York") == date(2026, 5, 1)

    @pytest.mark.parametrize(
        ("day", "zone", "end"),
        [
            (date(2026, 5, 1), "UTC", datetime(2026, 5, 2, tzinfo=UTC)),
            (date(2026, 5, 1), "Europe/Lisbon", datetime(2026, 5, 1, 23, tzinfo=UTC)),
            (date(2026, 10, 24), "Europe/Lisbon", datetime(2026, 10, 24, 23, tzinfo=UTC)),
            (date(2026, 10, 25), "Europe/Lisbon", datetime(2026, 10, 26, tzinfo=UTC)),  # 25 hours long
            (date(2026, 9, 5), "America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),  # no midnight that night
        ],
    )
    def test_it_ends_at_the_next_midnight_there(self, day: date, zone: str, end: datetime) -> None:
        assert end_of(day, zone) == end
        assert day_of(end, zone) > day
