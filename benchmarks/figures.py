"""Medians and percentiles."""

from collections.abc import Sequence
from math import ceil
from statistics import median


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the longest of these, as facts of a measurement."""
    return {
        "p50_ms": round(percentile(seconds, 0.50) * 1_000, 2),
        "p99_ms": round(percentile(seconds, 0.99) * 1_000, 2),
        "longest_ms": round(max(seconds) * 1_000, 2),
    }
