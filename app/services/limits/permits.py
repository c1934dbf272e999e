"""The permits that a process holds, by the instant from which each may be used again."""

import math
from bisect import insort

# Instants are rounded up to this, so that a limit of thousands a second is a few hundred entries.
TICK = 0.002


class Permits:
    """A multiset of instants, on one clock, in order."""

    def __init__(self) -> None:
        self.count = 0
        self._ticks: list[int] = []
        self._counts: dict[int, int] = {}

    def put(self, at: float, count: int = 1) -> None:
        tick = math.ceil(at / TICK)
        if tick not in self._counts:
            insort(self._ticks, tick)
        self._counts[tick] = self._counts.get(tick, 0) + count
        self.count += count

    def due(self, until: float) -> int:
        """How many may be used by then."""
        total = 0
        for tick in self._ticks:
            if tick * TICK > until:
                break
            total += self._counts[tick]
        return total

    def when(self, number: int) -> float | None:
        """From when on so many may be used; None when there are fewer."""
        total = 0
        for tick in self._ticks:
            total += self._counts[tick]
            if total >= number:
                return tick * TICK
        return None

    def take(self, most: int, until: float = math.inf) -> list[float]:
        """Up to `most` of those that may be used by then, the earliest first."""
        taken: list[float] = []
        gone = 0
        for tick in self._ticks:
            if tick * TICK > until or len(taken) == most:
                break
            here = min(self._counts[tick], most - len(taken))
            taken += [tick * TICK] * here
            self._counts[tick] -= here
            if self._counts[tick]:
                break
            del self._counts[tick]
            gone += 1
        del self._ticks[:gone]
        self.count -= len(taken)
        return taken

    def clear(self) -> None:
        self.count = 0
        self._ticks.clear()
        self._counts.clear()
