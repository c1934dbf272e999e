from app.services.limits.permits import Permits


class TestPermits:
    def test_the_earliest_are_taken_first(self) -> None:
        permits = Permits()
        permits.put(3.0)
        permits.put(1.0, 2)
        permits.put(2.0)
        assert permits.take(3) == [1.0, 1.0, 2.0]
        assert permits.count == 1

    def test_none_is_taken_before_its_time(self) -> None:
        permits = Permits()
        permits.put(1.0)
        permits.put(2.0, 5)
        assert permits.take(10, until=1.5) == [1.0]
        assert permits.due(1.5) == 0
        assert permits.due(2.0) == 5

    def test_an_instant_is_never_rounded_down(self) -> None:
        permits = Permits()
        permits.put(1.0001)
        assert (permits.when(1) or 0) >= 1.0001

    def test_when_so_many_are_free(self) -> None:
        permits = Permits()
        permits.put(1.0, 2)
        permits.put(2.0, 2)
        assert [permits.when(number) for number in range(1, 6)] == [1.0, 1.0, 2.0, 2.0, None]

    def test_after_taking_all_there_are_none(self) -> None:
        permits = Permits()
        permits.put(1.0, 3)
        assert len(permits.take(2)) == 2
        assert len(permits.take(2)) == 1
        assert permits.take(2) == []
        assert permits.count == 0
