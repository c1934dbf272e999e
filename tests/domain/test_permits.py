import pytest

from app.domain.permits import CLOCK_MARGIN, TURN_SECONDS, Share, fair_shares, settle, window_of

NOW = 1_000.0


def share(permits: int, want: int, until: float = NOW + 1) -> Share:
    return Share(permits, want, until)


class TestWindow:
    @pytest.mark.parametrize(
        ("per_second", "permits", "seconds"), [(80, 80, 1), (2.5, 2, 1), (1, 1, 1), (0.5, 1, 2), (0.1, 1, 10)]
    )
    def test_whole_messages_in_whole_windows(self, per_second: float, permits: int, seconds: float) -> None:
        window = window_of(per_second)
        assert window.permits == permits
        assert window.seconds == pytest.approx(seconds * CLOCK_MARGIN)


class TestFairShares:
    def test_everybody_gets_what_they_want_if_it_is_there(self) -> None:
        assert fair_shares(80, {"a": 10, "b": 60}, NOW) == {"a": 10, "b": 60}

    def test_who_wants_little_gets_it_and_the_others_share_the_rest(self) -> None:
        assert fair_shares(80, {"a": 10, "b": 100, "c": 50}, NOW) == {"a": 10, "b": 35, "c": 35}

    def test_all_of_it_is_given(self) -> None:
        assert sum(fair_shares(80, {"a": 80, "b": 80, "c": 80}, NOW).values()) == 80

    def test_too_few_for_all_go_round(self) -> None:
        holders = {
            name
            for turn in range(3)
            for name, permits in fair_shares(1, {"a": 1, "b": 1, "c": 1}, NOW + turn * TURN_SECONDS).items()
            if permits
        }
        assert holders == {"a", "b", "c"}


class TestSettle:
    def test_the_first_gets_what_it_wants(self) -> None:
        settled = settle({}, "a", held=0, want=30, permits=80, now=NOW, length=6)
        assert (settled.permits, settled.keep, settled.contested) == (30, 30, False)
        assert settled.shares == {"a": Share(30, 30, NOW + 6)}

    def test_the_next_gets_what_is_left_and_the_first_is_told(self) -> None:
        shares = settle({}, "a", held=0, want=80, permits=80, now=NOW, length=6).shares
        second = settle(shares, "b", held=0, want=80, permits=80, now=NOW, length=6)
        assert second.permits == 0
        first = settle(second.shares, "a", held=80, want=80, permits=80, now=NOW, length=6)
        assert (first.permits, first.keep, first.contested) == (80, 40, True)
        given_back = settle(first.shares, "a", held=40, want=80, permits=80, now=NOW, length=6)
        assert settle(given_back.shares, "b", held=0, want=80, permits=80, now=NOW, length=6).permits == 40

    def test_never_more_than_there_are(self) -> None:
        shares = {"a": share(50, 50), "b": share(20, 20)}
        assert settle(shares, "c", held=0, want=80, permits=80, now=NOW, length=6).permits == 10

    def test_a_lease_that_ran_out_is_void(self) -> None:
        shares = {"a": share(50, 50, until=NOW), "b": share(60, 60)}
        settled = settle(shares, "a", held=50, want=50, permits=80, now=NOW, length=6)
        assert settled.lapsed
        assert settled.permits == 20

    def test_who_died_is_forgotten(self) -> None:
        settled = settle({"a": share(80, 80, until=NOW)}, "b", held=0, want=80, permits=80, now=NOW, length=6)
        assert settled.permits == 80
        assert set(settled.shares) == {"b"}

    def test_a_lowered_limit_is_kept_by_giving_back(self) -> None:
        shares = {"a": share(40, 40), "b": share(40, 40)}
        settled = settle(shares, "a", held=40, want=40, permits=20, now=NOW, length=6)
        assert (settled.permits, settled.keep) == (40, 10)

    def test_who_leaves_leaves_no_trace(self) -> None:
        shares = {"a": share(40, 40)}
        assert settle(shares, "a", held=0, want=0, permits=80, now=NOW, length=6).shares == {}
