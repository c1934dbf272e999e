from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.frequency import FrequencyCap, Sent, capped, parse_caps
from app.domain.pointers import Problems
from app.domain.status import Channel

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR


def cap(messages: int = 2, period: timedelta = 7 * DAY, channel: Channel | None = None) -> FrequencyCap:
    return FrequencyCap(channel=channel, messages=messages, period=period)


def sent(*hours_ago: float, channel: Channel = Channel.SMS) -> list[Sent]:
    return [Sent(channel=channel, at=NOW - hours * HOUR) for hours in hours_ago]


class TestCapped:
    def test_less_than_the_cap_passes(self) -> None:
        assert capped([cap(2)], Channel.SMS, sent(1), NOW) is None

    def test_waits_until_the_earliest_that_counts_leaves_the_period(self) -> None:
        found = capped([cap(2)], Channel.SMS, sent(1, 100), NOW)
        assert found is not None
        assert found.until == NOW + 68 * HOUR

    def test_of_more_than_the_cap_so_many_must_leave_that_there_is_room(self) -> None:
        found = capped([cap(2)], Channel.SMS, sent(1, 50, 100), NOW)
        assert found is not None
        assert found.until == NOW + 118 * HOUR

    def test_what_is_older_than_the_period_does_not_count(self) -> None:
        assert capped([cap(1)], Channel.SMS, sent(168, 200), NOW) is None

    def test_a_cap_of_a_channel_counts_that_channel_only(self) -> None:
        of_sms = [cap(1, channel=Channel.SMS)]
        assert capped(of_sms, Channel.EMAIL, sent(1), NOW) is None
        assert capped(of_sms, Channel.SMS, sent(1, channel=Channel.EMAIL), NOW) is None
        assert capped(of_sms, Channel.SMS, sent(1), NOW) is not None

    def test_a_cap_over_all_channels_counts_them_together(self) -> None:
        together = [*sent(1), *sent(2, channel=Channel.EMAIL)]
        assert capped([cap(2)], Channel.WHATSAPP, together, NOW) is not None

    def test_the_cap_that_waits_longest_decides(self) -> None:
        found = capped([cap(1, DAY), cap(1, 2 * DAY)], Channel.SMS, sent(1), NOW)
        assert found is not None
        assert (found.until, found.cap.period) == (NOW + 47 * HOUR, 2 * DAY)

    @given(
        hours=st.lists(st.floats(0, 400), max_size=12),
        messages=st.integers(1, 5),
        period=st.integers(1, 300).map(lambda hours: hours * HOUR),
    )
    def test_at_the_instant_there_is_room_and_not_a_moment_before(
        self, hours: list[float], messages: int, period: timedelta
    ) -> None:
        rule, earlier = [cap(messages, period)], sent(*hours)
        found = capped(rule, Channel.SMS, earlier, NOW)
        if found is None:
            assert sum(it.at > NOW - period for it in earlier) < messages
        else:
            assert capped(rule, Channel.SMS, earlier, found.until) is None
            assert capped(rule, Channel.SMS, earlier, found.until - timedelta(microseconds=1)) is not None


class TestParse:
    def test_reads_days_and_hours(self) -> None:
        problems = Problems()
        read = parse_caps(
            [{"messages": 3, "period_days": 7}, {"channel": "sms", "messages": 1, "period_hours": 12}],
            "/caps",
            problems,
        )
        assert read == (cap(3, 7 * DAY), cap(1, 12 * HOUR, Channel.SMS))
        assert not problems.errors

    @pytest.mark.parametrize(
        ("value", "pointers"),
        [
            ({}, ["/caps"]),
            ([3], ["/caps/0"]),
            ([{"messages": 3}], ["/caps/0/period_days"]),
            ([{"messages": 3, "period_days": 1, "period_hours": 1}], ["/caps/0/period_days"]),
            ([{"messages": 0, "period_days": 91}], ["/caps/0/messages", "/caps/0/period_days"]),
            ([{"messages": True, "period_hours": 0}], ["/caps/0/messages", "/caps/0/period_hours"]),
            ([{"messages": 1, "period_days": 1, "channel": "fax"}], ["/caps/0/channel"]),
            ([{"messages": 1, "period_days": 1, "per": "day"}], ["/caps/0/per"]),
        ],
    )
    def test_names_each_bad_field(self, value: Any, pointers: list[str]) -> None:
        problems = Problems()
        assert parse_caps(value, "/caps", problems) == ()
        assert [error.pointer for error in problems.errors] == pointers
