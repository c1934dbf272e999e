"""What goes wrong. Each fault begins, lasts and ends within `strike`; its end is where the recovery is counted from."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from time import monotonic
from typing import Any

import psutil

from tests.chaos.place import Place

GONE_SECONDS = 30.0
SMART_SHUTDOWN_SECONDS = 5.0  # PostgreSQL's answer to SIGTERM waits for its clients, who stay: see `_terminate`
WAIT_SECONDS = 120.0
HOUR = 3_600.0
NO_SPACE = "No space left on device"
ALL_PARTS = ("worker-1", "api", "engine", "postgres")

Strike = Callable[[Place, Random], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    name: str
    what: str  # for the table
    strike: Strike
    needs_small_disk: bool = False


async def kill(place: Place, random: Random, *, part: str) -> None:
    """kill -9; the supervisor starts it again."""
    os.kill(place.product.pid(part), signal.SIGKILL)


async def _terminate(place: Place, random: Random, *, part: str) -> None:
    """SIGTERM. PostgreSQL then waits for its clients to leave; whoever runs it loses patience and sends SIGINT."""
    process = psutil.Process(place.product.pid(part))
    process.terminate()
    if part == "postgres":
        try:
            await asyncio.to_thread(process.wait, SMART_SHUTDOWN_SECONDS)
        except psutil.TimeoutExpired:
            process.send_signal(signal.SIGINT)


async def _freeze(place: Place, random: Random, *, part: str, seconds: float) -> None:
    """It stands still for longer than its heartbeat allows, and then goes on beside its successor."""
    process = psutil.Process(place.product.pid(part))
    process.suspend()
    await asyncio.sleep(seconds)
    process.resume()


async def _kill_all(place: Place, random: Random) -> None:
    """Every process at once, the supervisor too; then `relay up` again."""
    up = place.product.process
    assert up is not None
    supervisor = psutil.Process(up.pid)
    supervisor.suspend()  # or it would start again what dies first
    for process in [*reversed(supervisor.children(recursive=True)), supervisor]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # a backend that went with its postmaster
    await asyncio.to_thread(up.wait)
    place.product.process = None
    await place.product.up()


async def _terminate_all(place: Place, random: Random) -> None:
    """What a shutdown of the machine does; then `relay up` again."""
    left = await place.product.down()
    assert left == [], left
    await place.product.up()


async def _gone(place: Place, random: Random, *, part: str) -> None:
    """Killed, and not started again for a while: the supervisor stands still meanwhile."""
    assert place.product.process is not None
    supervisor = psutil.Process(place.product.process.pid)
    supervisor.suspend()
    try:
        os.kill(place.product.pid(part), signal.SIGKILL)
        await asyncio.sleep(GONE_SECONDS)
    finally:
        supervisor.resume()


async def _provider(place: Place, random: Random, *, fault: dict[str, Any], share: tuple[float, float]) -> None:
    rule = {**fault, "share": round(random.uniform(*share), 2)}
    before = await _befallen(place, fault["kind"])
    await place.simulator.put("/sandbox/faults", [rule])
    await asyncio.sleep(random.uniform(5, 10))
    await _until(lambda: _is_more(place, fault["kind"], before), "a request that the fault befalls")
    await place.simulator.put("/sandbox/faults", [])


async def _befallen(place: Place, kind: str) -> int:
    return int((await place.simulator.get("/stats", summary=1))["faults"].get(kind, 0))


async def _is_more(place: Place, kind: str, before: int) -> bool:
    return await _befallen(place, kind) > before


async def _until(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """A fault that strikes nothing would prove nothing."""
    deadline = monotonic() + WAIT_SECONDS
    while not await check():
        if monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what}")
        await asyncio.sleep(0.2)


async def _webhooks(place: Place, random: Random, *, changes: dict[str, Any]) -> None:
    async with behaving(place, changes):
        await asyncio.sleep(random.uniform(6, 12))


@asynccontextmanager
async def behaving(place: Place, changes: dict[str, Any]) -> AsyncIterator[None]:
    before = await place.simulator.get("/sandbox/behaviour")
    await place.simulator.put("/sandbox/behaviour", changes)
    try:
        yield
    finally:
        await place.simulator.put("/sandbox/behaviour", {name: before[name] for name in changes})


async def _disk_full(place: Place, random: Random) -> None:
    """Full until the server has noticed, and for a while longer. It may write on for long into files it made before:
    a new file of its log, which an administrator may ask for, is what it has no room for."""
    assert place.disk is not None
    before = place.log("postgres").count(NO_SPACE)

    async def noticed() -> bool:
        await asyncio.to_thread(place.ask_for_new_log_file)
        return place.log("postgres").count(NO_SPACE) > before

    place.disk.fill()
    await _until(noticed, f"'{NO_SPACE}' in the server's log")
    await asyncio.sleep(random.uniform(8, 15))
    place.disk.free()


async def _shift_clock(place: Place, random: Random, *, direction: int) -> None:
    place.shift_clock(direction * random.uniform(1, 12) * HOUR)
    await asyncio.sleep(random.uniform(8, 15))
    place.shift_clock(0)


def _processes() -> list[Fault]:
    found = []
    for part, name in (("worker-1", "worker"), ("api", "api"), ("engine", "engine"), ("postgres", "postgres")):
        found += [
            Fault(name=f"{name}-kill", what=f"`kill -9` of {name}", strike=partial(kill, part=part)),
            Fault(name=f"{name}-term", what=f"SIGTERM of {name}", strike=partial(_terminate, part=part)),
        ]
    return [
        *found,
        Fault(name="all-kill", what="`kill -9` of everything at once, then `relay up`", strike=_kill_all),
        Fault(name="all-term", what="SIGTERM of everything, then `relay up`", strike=_terminate_all),
        Fault(
            name="worker-freeze",
            what="worker frozen for 20 s, longer than its heartbeat",
            strike=partial(_freeze, part="worker-1", seconds=20),
        ),
        Fault(name="engine-gone", what="engine gone for 30 s", strike=partial(_gone, part="engine")),
        Fault(name="postgres-gone", what="PostgreSQL gone for 30 s", strike=partial(_gone, part="postgres")),
    ]


def _providers() -> list[Fault]:
    kinds: list[tuple[str, str, dict[str, Any], tuple[float, float]]] = [
        ("429", "provider answers 429 with Retry-After", {"kind": "throttle", "retry_after": 2}, (0.1, 0.5)),
        ("500", "provider answers 500, nothing accepted", {"kind": "error", "status": 500}, (0.05, 0.2)),
        ("503", "provider answers 503, nothing accepted", {"kind": "error", "status": 503}, (0.1, 1.0)),
        ("500-late", "provider accepts, then answers 500", {"kind": "error", "status": 500, "after_accept": True},
         (0.05, 0.3)),
        ("timeout", "provider accepts and never answers", {"kind": "hang", "seconds": 6}, (0.05, 0.3)),
        ("reset", "provider accepts, then resets the connection", {"kind": "reset"}, (0.05, 0.5)),
    ]  # fmt: skip
    return [
        Fault(name=f"provider-{name}", what=what, strike=partial(_provider, fault=fault, share=share))
        for name, what, fault, share in kinds
    ]


def _reports() -> list[Fault]:
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("doubled", "every webhook twice", {"duplicate_share": 1.0}),
        ("reordered", "webhooks of each message last first", {"reorder_share": 1.0, "whatsapp_batch": 1}),
        ("late", "webhooks 15 to 25 s late", {"webhook_delay_ms": [15_000, 25_000]}),
        ("lost", "three of five webhook posts lost until tried again", {"webhook_loss_share": 0.6}),
    ]
    return [
        Fault(name=f"webhooks-{name}", what=what, strike=partial(_webhooks, changes=changes))
        for name, what, changes in kinds
    ]


FAULTS = {
    fault.name: fault
    for fault in [
        *_processes(),
        *_providers(),
        *_reports(),
        Fault(
            name="clock-forward",
            what="the worker's clock jumps 1 to 12 h ahead, and back",
            strike=partial(_shift_clock, direction=1),
        ),
        Fault(
            name="clock-backward",
            what="the worker's clock jumps 1 to 12 h back, and ahead again",
            strike=partial(_shift_clock, direction=-1),
        ),
        Fault(name="disk-full", what="PostgreSQL's disk full", strike=_disk_full, needs_small_disk=True),
    ]
}
