"""Processor time and memory of each part, read from outside."""

import asyncio
import os
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
    before, began = cpu_seconds(pids), time.perf_counter()
    yield found
    found.seconds = time.perf_counter() - began
    found.cpu = {part: seconds - before[part] for part, seconds in cpu_seconds(pids).items()}


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor time of each part so far: of its process with all descendants, those that have ended included."""
    return {part: _cpu_seconds(family) for part, family in _families(pids).items()}


def memory(pids: Mapping[str, int]) -> dict[str, int]:
    """Resident bytes of each part, its descendants included; what they share is counted once."""
    return {part: _memory(family) for part, family in _families(pids).items()}


def _cpu_seconds(family: list[psutil.Process]) -> float:
    total = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its parent has its time now, or had it when it was read
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory(family: list[psutil.Process]) -> int:
    own, shared = 0, 0
    for process in family:
        try:
            found = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        common = getattr(found, "shared", 0)  # Linux only; elsewhere it is counted in each
        own, shared = own + found.rss - common, max(shared, common)
    return own + shared


def _families(pids: Mapping[str, int]) -> dict[str, list[psutil.Process]]:
    """The processes of each part, found in one pass over all of them; this one's children are the other parts."""
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            children.setdefault(process.ppid(), []).append(process)
        except psutil.NoSuchProcess:
            continue
    return {
        part: [psutil.Process(pid), *([] if pid == os.getpid() else _below(pid, children))]
        for part, pid in pids.items()
    }


def _below(pid: int, children: Mapping[int, list[psutil.Process]]) -> list[psutil.Process]:
    found = list(children.get(pid, ()))
    for process in found:  # grows while it is gone through
        found += children.get(process.pid, ())
    return found


class Sampler:
    """Keeps the memory of every part at each sample, and what the trial says of its progress."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self.began = time.perf_counter()
        self.samples: list[dict[str, float]] = []
        self.progress: dict[str, list[tuple[float, float]]] = {}

    async def sample(self) -> None:
        found = await asyncio.to_thread(memory, self.pids)
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
