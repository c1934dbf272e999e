"""The frame on real parts, with sizes that say nothing about speed: numbers exist, and counts agree."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import benchmarks.__main__
from app.embedded.errors import PlatformError
from benchmarks.figures import percentile, spread
from benchmarks.frame import Measurement, Row, Trial, perform
from benchmarks.platform import Platform
from benchmarks.report import BEGIN, END, filled, markdown, merge, rates
from benchmarks.rows import all_rows
from benchmarks.svg import Chart, nice_step, render

REPOSITORY = Path(__file__).parents[2]
CONTACTS = 150


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Launch and its floor, once each, by the command itself; the stub counts what both sent."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    # a database that is not there: the suite takes nobody's, whatever the environment says
    environment = {**os.environ, "RELAY_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    options = ["--rows", "launch", "--n", str(CONTACTS), "--rounds", "1", "--out", str(out)]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return out


class TestResults:
    def test_trial_and_floor_were_measured(self, results: Path) -> None:
        row = json.loads(results.read_text())["rows"]["launch"]
        (only,) = row["rounds"]
        assert only["trial"]["value"] > 0
        assert only["floor"]["value"] > 0
        assert row["floor_share"]["median"] == pytest.approx(only["trial"]["value"] / only["floor"]["value"], abs=0.001)

    def test_every_part_used_the_processor_and_memory(self, results: Path) -> None:
        row = json.loads(results.read_text())["rows"]["launch"]
        trial, floor = row["rounds"][0]["trial"], row["rounds"][0]["floor"]
        assert set(trial["peak_memory_mb"]) == {"postgres", "engine", "worker-1", "stub", "bench"}
        assert set(floor["peak_memory_mb"]) == {"postgres", "stub", "bench"}
        assert all(size > 1 for size in trial["peak_memory_mb"].values())
        assert trial["cpu_seconds_per_1000"]["worker-1"] > 0
        assert trial["samples"]

    def test_progress_ends_with_everybody(self, results: Path) -> None:
        trial = json.loads(results.read_text())["rows"]["launch"]["rounds"][0]["trial"]
        assert trial["progress"]["accepted"][-1][1] == CONTACTS

    def test_machine_is_described(self, results: Path) -> None:
        machine = json.loads(results.read_text())["machine"]
        assert machine["cores"] == os.cpu_count()
        assert machine["fsync_ms"]["median"] > 0
        assert "PostgreSQL" in machine["postgresql"]
        assert machine["postgresql_settings"]["synchronous_commit"] == "on"

    def test_report_has_table_and_plot(self, results: Path) -> None:
        plot = results.with_suffix(".svg")
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.report", str(results)],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        )
        assert "| campaign launch to last J+0 accepted | 150 | ≥ 2,500 messages/s |" in made.stdout
        assert ElementTree.fromstring(plot.read_text()).tag.endswith("svg")


def test_unknown_row_is_refused_with_the_known_ones() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rows", "lunch"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert made.returncode != 0
    assert "lunch" in made.stderr
    assert "launch" in made.stderr


def test_row_names_are_distinct() -> None:
    names = [row.name for row in all_rows()]
    assert len(names) == len(set(names))


class TestFigures:
    def test_percentile_is_a_value_that_was_measured(self) -> None:
        assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
        assert percentile(list(range(1, 101)), 0.99) == 99
        assert percentile([7.0], 0.99) == 7.0

    def test_spread(self) -> None:
        assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


class TestReport:
    def test_later_file_replaces_a_row(self) -> None:
        first: dict[str, Any] = {"began_at": "1", "rows": {"a": 1, "b": 2}, "failed": {"c": "why"}}
        second: dict[str, Any] = {"rows": {"b": 3, "c": 4}, "failed": {}}
        assert merge([first, second]) == {"began_at": "1", "rows": {"a": 1, "b": 3, "c": 4}, "failed": {}}

    def test_floor_share_is_shown_with_what_was_asked(self, results: Path) -> None:
        found = json.loads(results.read_text())
        found["rows"]["launch"]["floor_share"] = {"median": 0.5, "min": 0.4, "max": 0.6}
        assert "**50%** (40%–60%), asked ≥ 45%" in markdown(found)

    def test_page_is_filled_between_its_marks_and_can_be_again(self) -> None:
        page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
        once = filled(page, "new\n")
        assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
        assert filled(once, "new\n") == once
        with pytest.raises(ValueError, match="results:begin"):
            filled("no marks", "new")

    def test_rate_is_the_slope_of_a_count(self) -> None:
        assert rates([(0.0, 0), (1.0, 10), (2.0, 30)]) == [(1.0, 10.0), (2.0, 20.0)]

    @pytest.mark.parametrize(("highest", "step"), [(5, 1), (9.5, 2), (12, 2.5), (100, 20), (0.04, 0.01), (1_249, 250)])
    def test_ticks_are_round_numbers_that_reach_the_highest_value(self, highest: float, step: float) -> None:
        assert nice_step(highest) == pytest.approx(step)

    def test_plot_is_well_formed_whatever_the_names(self) -> None:
        svg = render([Chart(title="a < b & c", unit="s", series={"<x>": [(0.0, 1.0), (2.0, 3.0)]}, limit=5.0)])
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_trial_ends_when_a_part_does() -> None:
    """It would wait for that part forever."""

    async def wait_for_the_stub(platform: Platform, size: int) -> Measurement:
        os.kill(platform.pids["stub"], signal.SIGKILL)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with pytest.raises(PlatformError, match=r"stub ended \(killed by SIGKILL\)"):
        perform(Trial(measure=wait_for_the_stub, needs=frozenset({"stub"})), 1)


def test_wrong_count_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rows are measured all the same, and the exit code tells."""

    async def lost(platform: Platform, size: int) -> Measurement:
        platform.require(False, "all are sent")
        raise AssertionError("unreachable")

    async def nothing(platform: Platform, size: int) -> Measurement:
        with platform.window() as window:
            await asyncio.sleep(0.01)
        return Measurement(value=size, units=size, window=window)

    rows = [
        Row(name=name, title=name, unit="x", size=1, trial=Trial(measure=measure, needs=frozenset()))
        for name, measure in (("lossy", lost), ("idle", nothing))
    ]
    monkeypatch.setattr(benchmarks.__main__, "all_rows", lambda: rows)
    out = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--rounds", "1", "--n", "3", "--out", str(out)])
    with pytest.raises(SystemExit, match="failed: lossy"):
        benchmarks.__main__.main()
    found = json.loads(out.read_text())
    assert found["failed"] == {"lossy": "WrongCount: not so: all are sent"}
    assert found["rows"]["idle"]["trial"] == {"median": 3, "min": 3, "max": 3}
    assert "lossy: WrongCount" in markdown(found)
