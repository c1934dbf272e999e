"""Throughput limits and injected faults."""

import random
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from app.simulator.behaviour import Fault


@dataclass(slots=True)
class Bucket:
    """A token bucket that holds one second's worth of messages."""

    rate: float
    tokens: float
    at: float

    def take(self, rate: float, now: float) -> bool:
        if rate != self.rate:
            self.rate, self.tokens = rate, max(1.0, rate)
        self.tokens = min(max(1.0, rate), self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Arrivals:
    """When each request of a sender arrived, and the most of them in any one second, wherever it begins."""

    def __init__(self) -> None:
        self.times = array("d")
        self.last_second: deque[float] = deque()
        self.most_per_second = 0

    def add(self, now: float) -> None:
        self.times.append(now)
        window = self.last_second
        window.append(now)
        while window[0] <= now - 1:
            window.popleft()
        self.most_per_second = max(self.most_per_second, len(window))


class Limits:
    """Messages per second of every sender. Every request counts as it arrives, also one that is refused."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.arrivals: dict[str, Arrivals] = {}

    def allow(self, sender: str, rate: float | None, now: float) -> bool:
        self.arrivals.setdefault(sender, Arrivals()).add(time.monotonic())
        if rate is None:
            return True
        bucket = self.buckets.get(sender)
        if bucket is None:
            bucket = self.buckets[sender] = Bucket(rate=rate, tokens=max(1.0, rate), at=now)
        return bucket.take(rate, now)

    def remaining(self, sender: str) -> int:
        bucket = self.buckets.get(sender)
        return int(bucket.tokens) if bucket else 0


class Faults:
    def __init__(self) -> None:
        self.rules: list[Fault] = []
        self.left: list[int] = []
        self.taken: list[int] = []
        self.counts: Counter[str] = Counter()
        self.random = random.Random(0)

    def set(self, rules: list[Fault]) -> None:
        self.rules, self.left, self.taken = rules, [rule.next or 0 for rule in rules], [0] * len(rules)

    def take(self, provider: str, stage: Literal["before", "after"], *, reading: bool = False) -> Fault | None:
        """The fault that befalls this request, if any. `after` is asked once the request was accepted."""
        for index, rule in enumerate(self.rules):
            after = rule.after_accept or rule.kind in ("hang", "reset")
            if after != (stage == "after") or rule.provider not in (None, provider) or (reading and not rule.reads):
                continue
            if rule.share is not None:
                if self.random.random() >= rule.share:
                    continue
            elif self.left[index] == 0:
                continue
            else:
                self.left[index] -= 1
            self.taken[index] += 1
            self.counts[rule.kind] += 1
            return rule
        return None
