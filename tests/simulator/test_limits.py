from app.simulator.limits import Arrivals


class TestArrivals:
    def test_the_most_in_any_second_and_not_in_a_second_of_the_clock(self) -> None:
        arrivals = Arrivals()
        times = [0.75, 0.875, 1.0, 1.125, 1.5, 1.75, 3.0]
        for at in times:
            arrivals.add(at)
        assert arrivals.most_per_second == 5
        assert list(arrivals.times) == times
