"""Shifts the clock of a worker's Python while it runs.

Python imports this module at its start when its directory is on PYTHONPATH. In a process that the supervisor calls a
worker, `datetime.now`, `datetime.utcnow`, `time.time` and `time.time_ns` are ahead of the machine by the seconds in the
file that CHAOS_CLOCK names; it is mapped, so that a change holds at once. Other processes are left alone.

Not shifted: the monotonic clock (a real jump doesn't move it either), the core of the Temporal SDK, which is Rust, and
everything outside of the process: PostgreSQL, the engine, the API.
"""

import ctypes
import datetime
import gc
import mmap
import os
import struct
import time
from collections.abc import Callable
from typing import Any

NANOSECONDS = 1_000_000_000


def _shift_of(path: str) -> Callable[[], float]:
    with open(path, "rb") as file:
        kept = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    return lambda: float(struct.unpack("d", kept[:8])[0])


def _shift_datetime(shift: Callable[[], float]) -> None:
    """In place: a subclass would be another type to everybody who asks for datetime. `today` follows time.time."""
    kind = datetime.datetime
    namespace: dict[str, Any] = gc.get_referents(kind.__dict__)[0]
    for name in ("now", "utcnow"):
        namespace[name] = classmethod(_shifted(namespace[name], shift))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _shifted(original: Any, shift: Callable[[], float]) -> Callable[..., datetime.datetime]:
    def tell(kind: type[datetime.datetime], *arguments: Any, **named: Any) -> datetime.datetime:
        told: datetime.datetime = original.__get__(None, kind)(*arguments, **named)
        return told + datetime.timedelta(seconds=shift())

    return tell


def _shift_time(shift: Callable[[], float]) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + shift()
    time.time_ns = lambda: real_ns() + int(shift() * NANOSECONDS)


if "CHAOS_CLOCK" in os.environ and os.environ.get("RELAY_PART", "").startswith("worker"):
    _shift = _shift_of(os.environ["CHAOS_CLOCK"])
    _shift_datetime(_shift)
    _shift_time(_shift)
