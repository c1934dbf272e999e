from datetime import UTC, datetime, timedelta

from app.domain.consent import ConsentCell
from app.domain.contact_file.consent_fold import ConsentState, fold

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(days=9), NOW - timedelta(days=2)
YES, NO = ConsentCell(opt_in_at=NOW), ConsentCell(opt_out_at=NOW)


class TestFold:
    def test_yes_counts_for_somebody_never_asked(self) -> None:
        assert fold(ConsentState(), YES, NOW).is_in

    def test_yes_never_brings_back_a_withdrawn_consent(self) -> None:
        withdrawn = ConsentState(EARLIER, LATER)
        assert fold(withdrawn, YES, NOW) == withdrawn

    def test_yes_keeps_the_date_of_an_earlier_opt_in(self) -> None:
        assert fold(ConsentState(EARLIER), YES, NOW).opt_in_at == EARLIER

    def test_dated_opt_in_newer_than_the_opt_out_counts(self) -> None:
        assert fold(ConsentState(None, EARLIER), ConsentCell(opt_in_at=LATER), NOW).is_in

    def test_dated_opt_in_older_than_the_opt_out_does_not(self) -> None:
        assert fold(ConsentState(None, LATER), ConsentCell(opt_in_at=EARLIER), NOW).is_out

    def test_no_withdraws(self) -> None:
        assert fold(ConsentState(EARLIER), NO, NOW) == ConsentState(EARLIER, NOW)

    def test_no_of_somebody_who_is_out_changes_nothing(self) -> None:
        assert fold(ConsentState(None, EARLIER), NO, NOW) == ConsentState(None, EARLIER)

    def test_yes_after_the_file_was_sent_stands_against_its_no(self) -> None:
        assert fold(ConsentState(NOW + timedelta(minutes=1)), NO, NOW).is_in

    def test_yes_and_no_of_one_file_are_a_no_in_either_order(self) -> None:
        assert fold(fold(ConsentState(), YES, NOW), NO, NOW).is_out
        assert fold(fold(ConsentState(), NO, NOW), YES, NOW).is_out
