"""Results as Markdown and a plot: `python -m benchmarks.report FILE... [--svg PLOT] [--into PAGE]`.

Of several files, a later one replaces the rows of an earlier one. The Markdown goes to standard output, or between the
two marks of a page.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.svg import Chart, Point, render

PLOTTED = ("memory", "launch")  # the first of these that was measured, else any that says how it went on
BINS = 80
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
PART_ORDER = ("postgres", "engine", "worker-1", "worker-2", "api", "stub", "bench")
HEAD = ("row", "N", "target", "measured", "floor", "share of the floor")
MEMORY_TARGET = 300.0

Row = Mapping[str, Any]
Reduce = Callable[[Sequence[float]], float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--svg", type=Path, help="where the plot goes; without it beside the first file")
    parser.add_argument("--into", type=Path, help="page to write the Markdown into, between its marks")
    given = parser.parse_args()
    results = merge([json.loads(file.read_text()) for file in given.files])
    if given.into:
        given.into.write_text(filled(given.into.read_text(), markdown(results)))
    else:
        sys.stdout.write(markdown(results))
    if charts := plot(results["rows"]):
        (given.svg or given.files[0].with_suffix(".svg")).write_text(render(charts))


def filled(page: str, words: str) -> str:
    """The page with these words between its marks. Raises ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{words}\n{END}{after}"


def merge(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for result in results:
        rows |= result["rows"]
        failed = {name: words for name, words in failed.items() if name not in rows} | result["failed"]
    return {**results[0], "rows": rows, "failed": failed}


def markdown(results: Mapping[str, Any]) -> str:
    rows = results["rows"]
    parts = [f"Measured {results['began_at']}.\n", _machine(results["machine"])]
    parts.append(_table(HEAD, [_figures(row) for row in rows.values()]))
    floors = [f"- {row['title']}: {row['floor_says']}" for row in rows.values() if row["floor_says"]]
    if floors:
        parts.append("\n".join(["Floors:\n", *floors]) + "\n")
    parts.append("Processor seconds per 1,000, by part:\n")
    parts.append(_by_part(rows, "cpu_seconds_per_1000", median, ".2f"))
    parts.append("Peak memory in MB, by part:\n")
    parts.append(_by_part(rows, "peak_memory_mb", max, ".0f"))
    if failed := results["failed"]:
        parts.append("\n".join(["Failed:\n", *(f"- {name}: {words}" for name, words in failed.items())]) + "\n")
    facts = [f"- {row['title']}: {_facts(row)}" for row in rows.values() if _facts(row)]
    if facts:
        parts.append("\n".join(["Also:\n", *facts]) + "\n")
    return "\n".join(parts)


def _machine(machine: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in machine["postgresql_settings"].items())
    return (
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['ram_gb']} GB, {machine['os']}, "
        f"{machine['filesystem']}; fsync {machine['fsync_ms']['median']} ms (longest {machine['fsync_ms']['max']} ms); "
        f"load before {machine['load_before']}\n"
        f"- Python {machine['python']}, {machine['postgresql']}, {machine['temporal']}, commit {machine['commit']}\n"
        f"- PostgreSQL: {settings}\n"
        f"- engine: SQLite with {', '.join(machine['engine_pragmas'])}\n"
    )


def _figures(row: Row) -> tuple[str, ...]:
    bound = "≤" if row["lower_is_better"] else "≥"
    target = f"{bound} {row['target']:,g} {row['unit']}" if row["target"] is not None else "–"
    asked = row["floor_share_target"]
    share = "–"
    if "floor_share" in row:
        share = _spread(row["floor_share"], percent=True) + (f", asked ≥ {asked:.0%}" if asked else "")
    return (
        row["title"],
        f"{row['size']:,}",
        target,
        f"{_spread(row['trial'])} {row['unit']}",
        _spread(row["floor"]) if "floor" in row else "–",
        share,
    )


def _spread(values: Mapping[str, float], *, percent: bool = False) -> str:
    """The median, and the range when there were several rounds."""
    words = [f"{values[name]:.0%}" if percent else _number(values[name]) for name in ("median", "min", "max")]
    return words[0] if len(set(words)) == 1 else f"**{words[0]}** ({words[1]}–{words[2]})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _by_part(rows: Mapping[str, Row], what: str, over_rounds: Reduce, shape: str) -> str:
    lines = [
        (f"{row['title']}{suffix}", _over_rounds([it[side][what] for it in row["rounds"]], over_rounds))
        for row in rows.values()
        for side, suffix in (("trial", ""), ("floor", " – floor"))
        if side in row["rounds"][0]
    ]
    found = {part for _, values in lines for part in values}
    parts = [part for part in PART_ORDER if part in found] + sorted(found - set(PART_ORDER))
    cells = [
        [title, *(f"{values[part]:{shape}}" if part in values else "" for part in parts)] for title, values in lines
    ]
    return _table(("", *parts), cells)


def _facts(row: Row) -> str:
    values = _over_rounds([it["trial"]["facts"] for it in row["rounds"]], median)
    return ", ".join(f"{name} {_number(value)}" for name, value in values.items())


def _over_rounds(found: Sequence[Mapping[str, Any]], reduce: Reduce) -> dict[str, float]:
    """Each number of the rounds as one."""
    names = [name for name, value in found[0].items() if isinstance(value, int | float)]
    return {name: reduce([it[name] for it in found]) for name in names}


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"


def plot(rows: Mapping[str, Row]) -> list[Chart]:
    """Throughput and memory over time, of the last round of the row that shows them best."""
    told = [name for name, row in rows.items() if row["rounds"][-1]["trial"]["progress"]]
    chosen = next((name for name in PLOTTED if name in told), told[0] if told else None)
    if chosen is None:
        return []
    row, trial = rows[chosen], rows[chosen]["rounds"][-1]["trial"]
    samples = trial["samples"]
    parts = [part for part in samples[0] if part != "at"]
    memory: dict[str, Sequence[Point]] = {part: [(it["at"], it[part]) for it in samples] for part in parts}
    return [
        Chart(
            title=f"{row['title']}, N = {row['size']:,}: throughput",
            unit="per second",
            series={name: rates(counts) for name, counts in trial["progress"].items()},
        ),
        Chart(title="memory by part; dashed: a worker's target", unit="MB", series=memory, limit=MEMORY_TARGET),
    ]


def rates(counts: Sequence[Sequence[float]]) -> list[Point]:
    """A growing count as a rate: the slope over stretches of equal length."""
    stretch = max((counts[-1][0] - counts[0][0]) / BINS, 1.0)
    found: list[Point] = []
    since, before = counts[0]
    for at, count in counts[1:]:
        if at - since >= stretch:
            found.append((at, (count - before) / (at - since)))
            since, before = at, count
    return found


if __name__ == "__main__":
    main()
