"""Processor time and memory of each part, read from outside."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 0.5
MEGABYTE = 1024 * 1024


@dataclass
class Window:
    """A stretch of time: how long it took, and the processor time each part used in it. Complete once it is over."""

    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)


@contextmanager
def window(pids: Mapping[str, int]) -> Iterator[Window]:
    found = Window()
    before, began = {part: cpu_seconds(pid) for part, pid in pids.items()}, time.perf_counter()
    yield found
    found.seconds = time.perf_counter() - began
    found.cpu = {part: cpu_seconds(pid) - before.get(part, 0.0) for part, pid in pids.items()}


def cpu_seconds(pid: int) -> float:
    """Of a process with all its descendants, those that have ended included."""
    total = 0.0
    for process in _family(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent has its time now, or had it when it was read
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(pid: int) -> int:
    """Resident bytes of a process and its descendants; what they share is counted once."""
    own, shared = 0, 0
    for process in _family(pid):
        try:
            found = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        common = getattr(found, "shared", 0)  # Linux only; elsewhere it is counted in each
        own, shared = own + found.rss - common, max(shared, common)
    return own + shared


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    if process == psutil.Process():
        return [process]  # its children are the other parts
    return [process, *process.children(recursive=True)]


class Sampler:
    """Samples the memory of every part, and what the trial says of its progress, until it is stopped."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self.began = time.perf_counter()
        self.samples: list[dict[str, float]] = []
        self.progress: dict[str, list[tuple[float, float]]] = {}

    async def run(self) -> None:
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        found = await asyncio.to_thread(lambda: {part: memory(pid) for part, pid in self.pids.items()})
        self.samples.append({"at": self.now(), **{part: round(size / MEGABYTE, 1) for part, size in found.items()}})

    def note(self, name: str, count: float) -> None:
        self.progress.setdefault(name, []).append((self.now(), count))

    def now(self) -> float:
        return round(time.perf_counter() - self.began, 2)

    def memory_at(self, part: str, instant: float) -> float:
        """Megabytes of the part at the sample nearest to the instant."""
        return min(self.samples, key=lambda sample: abs(sample["at"] - instant))[part]

    def peaks(self) -> dict[str, float]:
        return {part: max(sample[part] for sample in self.samples if part in sample) for part in self.pids}
