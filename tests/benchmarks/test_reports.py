"""The rows of provider reports, small: their counts agree, or they would have no result."""

import json
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.test_suite import REPOSITORY


def test_webhooks_and_relay_have_results(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    options = ["--rows", "webhooks,relay", "--n", "300", "--rounds", "1", "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(out.read_text())["rows"]
    assert rows["webhooks"]["trial"]["median"] > 0
    assert rows["webhooks"]["floor"]["median"] > 0
    trial = rows["webhooks"]["rounds"][0]["trial"]
    assert trial["units"] == 300
    assert trial["facts"]["p99_ms"] >= trial["facts"]["p50_ms"]
    assert rows["relay"]["trial"]["median"] > 0
