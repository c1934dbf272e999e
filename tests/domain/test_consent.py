from datetime import UTC, datetime, timedelta

import pytest

from app.domain.consent import ConsentCell, is_opted_in, is_opted_out, parse_consent

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class TestParseConsent:
    @pytest.mark.parametrize("cell", ["yes", "YES", " true ", "1", 1, True])
    def test_yes_is_an_opt_in_now(self, cell: str | int | bool) -> None:
        assert parse_consent(cell, NOW) == ConsentCell(opt_in_at=NOW)

    @pytest.mark.parametrize("cell", ["no", "False", "0", 0, False])
    def test_no_is_an_opt_out_now(self, cell: str | int | bool) -> None:
        assert parse_consent(cell, NOW) == ConsentCell(opt_out_at=NOW)

    @pytest.mark.parametrize("cell", ["", "  ", None])
    def test_empty_is_unknown(self, cell: str | None) -> None:
        assert parse_consent(cell, NOW) is None

    @pytest.mark.parametrize(
        ("cell", "moment"),
        [
            ("2025-06-01", datetime(2025, 6, 1, tzinfo=UTC)),
            ("2025-06-01T10:30:00", datetime(2025, 6, 1, 10, 30, tzinfo=UTC)),
            ("2025-06-01T10:30:00+02:00", datetime(2025, 6, 1, 8, 30, tzinfo=UTC)),
            ("2025-06-01T10:30:00Z", datetime(2025, 6, 1, 10, 30, tzinfo=UTC)),
        ],
    )
    def test_a_date_is_the_moment_of_the_opt_in(self, cell: str, moment: datetime) -> None:
        assert parse_consent(cell, NOW) == ConsentCell(opt_in_at=moment)

    @pytest.mark.parametrize("cell", ["maybe", "01/06/2025", "2027-01-01", "0001-01-01T00:00:00+10:00", "2"])
    def test_anything_else_is_refused_by_name(self, cell: str) -> None:
        with pytest.raises(ValueError, match=r"consent"):
            parse_consent(cell, NOW)


class TestIsOptedIn:
    def test_needs_a_yes_after_the_last_no(self) -> None:
        later = NOW + timedelta(seconds=1)
        assert is_opted_in(NOW, None)
        assert is_opted_in(later, NOW)
        assert not is_opted_in(NOW, NOW)
        assert not is_opted_in(NOW, later)
        assert not is_opted_in(None, None)


class TestIsOptedOut:
    def test_needs_a_no_that_no_yes_followed(self) -> None:
        assert is_opted_out(None, NOW)
        assert is_opted_out(NOW, NOW)
        assert not is_opted_out(NOW, None)
        assert not is_opted_out(None, None)
