"""Looks on from the provider's side: how many messages it had accepted, and when."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple

from app.demo.clients import JsonClient

EVERY_SECONDS = 0.1
# What was on the wire when a process died is still accepted in this time; it says nothing of a recovery.
ON_THE_WIRE = 0.3


class Sample(NamedTuple):
    at: float
    accepted: int
    duplicates: int


@dataclass
class Watcher:
    simulator: JsonClient
    samples: list[Sample] = field(default_factory=list)

    async def look(self) -> Sample:
        stats = await self.simulator.get("/stats", summary=1)
        accepted = sum(provider["accepted"] for provider in stats["totals"].values())
        sample = Sample(time(), accepted, stats["duplicates"])
        self.samples.append(sample)
        return sample

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    def recovered(self, since: float) -> float | None:
        """Seconds from `since` to the next accepted message; None when there was none yet."""
        start = bisect_left(self.samples, since + ON_THE_WIRE, key=lambda sample: sample.at)
        if start >= len(self.samples):
            return None
        before = self.samples[start].accepted
        found = next((sample for sample in self.samples[start:] if sample.accepted > before), None)
        return found.at - since if found else None

    def duplicates_between(self, begin: float, end: float) -> int:
        counts = [sample.duplicates for sample in self.samples if begin <= sample.at <= end]
        return counts[-1] - counts[0] if counts else 0


@asynccontextmanager
async def watching(simulator: JsonClient) -> AsyncIterator[Watcher]:
    watcher = Watcher(simulator)
    task = asyncio.create_task(watcher._watch())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
