from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from app.domain.schedule import due_at, jitter, spaced_until

LAUNCH = datetime(2026, 3, 28, 10, tzinfo=UTC)
CONTACT = UUID("0199b1d2-0000-7000-8000-000000000001")


class TestDueAt:
    def test_counts_days_from_the_launch(self) -> None:
        assert due_at(LAUNCH, 3, 86400) == LAUNCH + timedelta(days=3)

    def test_takes_half_days_and_short_days(self) -> None:
        assert due_at(LAUNCH, 0.5, 86400) == LAUNCH + timedelta(hours=12)
        assert due_at(LAUNCH, 7, 4) == LAUNCH + timedelta(seconds=28)

    def test_day_zero_is_the_launch(self) -> None:
        assert due_at(LAUNCH, 0, 86400) == LAUNCH


class TestSpacedUntil:
    def test_what_comes_sooner_than_half_its_distance_waits_out_the_whole(self) -> None:
        day = timedelta(days=1)
        assert spaced_until(LAUNCH, 2 * day, LAUNCH + timedelta(minutes=1)) == LAUNCH + 2 * day
        assert spaced_until(LAUNCH, 2 * day, LAUNCH + day - timedelta(seconds=1)) == LAUNCH + 2 * day

    def test_a_night_moves_nothing(self) -> None:
        assert spaced_until(LAUNCH + timedelta(hours=11), timedelta(days=1), LAUNCH + timedelta(days=1)) is None


class TestJitter:
    def test_is_always_the_same_for_a_contact(self) -> None:
        assert jitter(CONTACT, 3600) == jitter(CONTACT, 3600)

    def test_stays_in_the_window_and_spreads(self) -> None:
        found = [jitter(uuid4(), 3600) for _ in range(500)]
        assert all(timedelta(0) <= one < timedelta(hours=1) for one in found)
        assert sum(one < timedelta(minutes=30) for one in found) in range(150, 350)

    def test_shrinks_with_the_day(self) -> None:
        assert jitter(CONTACT, 3600, day_seconds=8640) == jitter(CONTACT, 360)
