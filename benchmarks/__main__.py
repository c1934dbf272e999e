"""`python -m benchmarks`: measures rows and writes what came out as JSON; `python -m benchmarks.report` renders it."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger

from benchmarks import machine
from benchmarks.frame import Row, measure_row
from benchmarks.rows import all_rows

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3


def main() -> None:
    logger.disable("app")  # what the parts' starters say
    wanted = _arguments()
    rows = _chosen(wanted.rows)
    began = datetime.now(UTC)
    out: Path = wanted.out or RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "began_at": began.isoformat(timespec="seconds"),
        "rounds": wanted.rounds,
        "machine": machine.describe(out.parent),
        "rows": {},
        "failed": {},
    }
    for row in rows:
        try:
            results["rows"][row.name] = measure_row(row, wanted.n or row.size, wanted.rounds)
        except Exception as error:  # the other rows are measured all the same; the exit code tells
            logger.exception("row {}", row.name)
            results["failed"][row.name] = f"{type(error).__name__}: {error}"
        out.write_text(json.dumps(results, indent=1) + "\n")  # after each row: what is measured stays, whatever comes
    sys.stdout.write(f"{out}\n")
    if results["failed"]:
        sys.exit(f"failed: {', '.join(results['failed'])}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help="names separated by commas; all of them without it")
    parser.add_argument("--n", type=int, help="size of every chosen row; each has its own without it")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often trial and floor take turns")
    parser.add_argument("--out", type=Path, help="file for the results")
    return parser.parse_args()


def _chosen(names: str) -> list[Row]:
    rows = {row.name: row for row in all_rows()}
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(rows)
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join(rows)}")
    return [rows[name] for name in wanted]


if __name__ == "__main__":
    main()
