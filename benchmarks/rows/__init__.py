"""One module per topic; each has `ROWS`, a list of `Row`. The docstring of `benchmarks` says how to write one."""

from importlib import import_module

from benchmarks.frame import Row

MODULES = ("stub", "launch", "arming", "j1", "fairness", "webhooks", "relay", "imports", "history", "memory", "limits")


def all_rows() -> list[Row]:
    """Every row, in the order of the table."""
    return [row for module in MODULES for row in import_module(f"benchmarks.rows.{module}").ROWS]
