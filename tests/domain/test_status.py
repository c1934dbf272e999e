from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.status import ALLOWED_MOVES, MessageStatus, may_move, settle, sources_of

S = MessageStatus
REPORTS = [S.SENT, S.DELIVERED, S.READ]


class TestMayMove:
    def test_every_status_has_its_moves(self) -> None:
        assert set(ALLOWED_MOVES) == set(MessageStatus)

    def test_read_received_and_skipped_are_final(self) -> None:
        assert not any(may_move(final, new) for final in (S.READ, S.RECEIVED, S.SKIPPED) for new in MessageStatus)

    def test_a_delivered_message_does_not_fail(self) -> None:
        assert not may_move(S.DELIVERED, S.FAILED)
        assert may_move(S.FAILED, S.DELIVERED)


class TestSourcesOf:
    @pytest.mark.parametrize("new", MessageStatus)
    def test_names_exactly_the_states_that_may_move(self, new: MessageStatus) -> None:
        assert set(sources_of(new)) == {status.value for status in MessageStatus if may_move(status, new)}


class TestSettle:
    @pytest.mark.parametrize("start", [S.SENDING, S.UNKNOWN, S.SENT])
    def test_receipts_settle_the_same_in_any_order(self, start: MessageStatus) -> None:
        assert {settle(start, order) for order in permutations(REPORTS)} == {S.READ}

    @pytest.mark.parametrize("start", [S.SENDING, S.UNKNOWN, S.SENT])
    def test_a_receipt_beats_a_failure_in_any_order(self, start: MessageStatus) -> None:
        assert {settle(start, order) for order in permutations([S.SENT, S.FAILED, S.DELIVERED])} == {S.DELIVERED}

    @given(st.lists(st.sampled_from([*REPORTS, S.FAILED]), min_size=1), st.randoms(use_true_random=False))
    def test_duplicates_and_order_change_nothing(self, reports: list[MessageStatus], random: object) -> None:
        shuffled = list(reports) * 2
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert settle(S.SENDING, shuffled) == settle(S.SENDING, reports)

    @given(st.sampled_from(MessageStatus), st.lists(st.sampled_from(MessageStatus)))
    def test_moves_only_along_the_table(self, start: MessageStatus, reports: list[MessageStatus]) -> None:
        status = start
        for report in reports:
            after = settle(status, [report])
            assert after == status or may_move(status, after)
            status = after
        assert settle(start, reports) == status
