from datetime import UTC, datetime, timedelta

from app.domain.consent import ConsentCell
from app.domain.contact_file.consent_fold import Answers, ConsentState, fold, fold_all
from app.domain.status import Channel

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

    def test_no_before_a_later_yes_changes_nothing(self) -> None:
        later = ConsentState(NOW + timedelta(minutes=1))
        assert fold(later, NO, NOW) == later


def answers(**cells: ConsentCell) -> Answers:
    return Answers(tuple((Channel(name), cell) for name, cell in cells.items()))


class TestAnswers:
    def test_first_times_are_what_folding_gives_to_somebody_never_asked(self) -> None:
        said = answers(whatsapp=YES, sms=NO)
        assert said.first == (NOW, None, None, None, None, NOW)
        assert fold_all([(said, "")], {}, NOW).times == said.first

    def test_opt_ins_go_with_their_address_and_opt_outs_stay(self) -> None:
        said = answers(whatsapp=YES, email=YES, sms=NO)
        assert said.without_address("phone") == answers(email=YES, sms=NO)
        assert said.without_address("email") == answers(whatsapp=YES, sms=NO)


class TestFoldAll:
    def test_only_times_that_change_are_given(self) -> None:
        before = {Channel.EMAIL: ConsentState(EARLIER), Channel.SMS: ConsentState(EARLIER)}
        folded = fold_all([(answers(email=YES, sms=NO), "form")], before, NOW)
        assert folded.times == (None, None, None, None, None, NOW)

    def test_each_channel_keeps_the_source_of_its_own_row(self) -> None:
        folded = fold_all([(answers(email=YES), "shop"), (answers(sms=YES), "web")], {}, NOW)
        assert folded.sources == ("", "shop", "web")

    def test_dated_opt_in_ends_an_earlier_opt_out(self) -> None:
        dated = answers(sms=ConsentCell(opt_in_at=LATER))
        assert fold_all([(dated, "")], {Channel.SMS: ConsentState(None, EARLIER)}, NOW).ends == ((Channel.SMS, LATER),)
        assert fold_all([(dated, "")], {}, NOW).ends == ()
