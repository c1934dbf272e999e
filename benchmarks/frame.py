"""What a row is, and how rows are measured: trial and floor by turns, each on a platform of its own."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.figures import spread
from benchmarks.meters import Window
from benchmarks.platform import Platform, platform

# A trial that takes longer hangs.
LONGEST_SECONDS = 900
SLOWEST_PER_SECOND = 20
USUAL_NEEDS = frozenset({"engine", "worker", "stub"})


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a trial found. `value` is in the row's unit; `units` is what processor time is divided by."""

    value: float
    units: int
    window: Window
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Something measured once. `says` is what it does, in a few words, where the table shows it."""

    measure: Callable[[Platform, int], Coroutine[Any, Any, Measurement]]
    says: str = ""
    needs: frozenset[str] = USUAL_NEEDS
    workers: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `target` is the least (or, with `lower_is_better`, the most) that `value` should be, and
    `floor_share` the least share of the floor; None where nothing was asked. `most_rounds` is for what takes long and
    comes out the same each time."""

    name: str
    title: str
    unit: str
    size: int
    trial: Trial
    target: float | None = None
    floor: Trial | None = None
    floor_share: float | None = None
    lower_is_better: bool = False
    most_rounds: int | None = None


def measure_row(row: Row, size: int, rounds: int) -> dict[str, Any]:
    """The row's entry in the results: every round, and what they come to."""
    measured: list[dict[str, Any]] = []
    rounds = min(rounds, row.most_rounds or rounds)
    for number in range(1, rounds + 1):
        found = {"trial": perform(row.trial, size)}
        if row.floor is not None:
            found["floor"] = perform(row.floor, size)
        measured.append(found)
        words = ", ".join(f"{name} {result['value']:,.1f}" for name, result in found.items())
        sys.stderr.write(f"{row.name} {number}/{rounds}: {words} {row.unit}\n")
    return {
        "title": row.title,
        "unit": row.unit,
        "size": size,
        "target": row.target,
        "lower_is_better": row.lower_is_better,
        "floor_says": row.floor.says if row.floor else "",
        "floor_share_target": row.floor_share,
        **_summary(measured),
        "rounds": measured,
    }


def perform(trial: Trial, size: int) -> dict[str, Any]:
    """One measurement on a platform of its own, as it goes into the results."""

    async def go() -> dict[str, Any]:
        async with platform(needs=trial.needs, workers=trial.workers, settings=trial.settings) as place:
            async with asyncio.timeout(LONGEST_SECONDS + size / SLOWEST_PER_SECOND):
                found = await _while_alive(trial.measure(place, size), place)
            await place.sampler.sample()
            return {
                "value": round(found.value, 3),
                "units": found.units,
                "seconds": round(found.window.seconds, 3),
                "cpu_seconds_per_1000": {
                    part: round(seconds * 1_000 / found.units, 3) for part, seconds in found.window.cpu.items()
                },
                "peak_memory_mb": place.sampler.peaks(),
                "facts": dict(found.facts),
                "samples": place.sampler.samples,
                "progress": place.sampler.progress,
            }

    return uvloop.run(go())


async def _while_alive(measuring: Coroutine[Any, Any, Measurement], place: Platform) -> Measurement:
    """The measurement, or the reason why a part ended under it: it might wait for that part forever."""
    task = asyncio.create_task(measuring)
    try:
        await asyncio.wait({task, place.watching}, return_when=asyncio.FIRST_COMPLETED)
        if place.watching.done():
            place.watching.result()
        return await task
    finally:
        task.cancel()


def _summary(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"trial": spread([it["trial"]["value"] for it in measured])}
    if "floor" in measured[0]:
        found["floor"] = spread([it["floor"]["value"] for it in measured])
        found["floor_share"] = spread([it["trial"]["value"] / it["floor"]["value"] for it in measured])
    return found
