"""Progress of long work: a bar on a terminal, a line every few seconds anywhere else."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_SECONDS = 4.0


class Meter:
    """Shows `done` of `total` and a few words. Use it as a context manager."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title, self.console = title, console or Console()
        self._progress: Progress | None = None
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[words]}"))
            self._progress = Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True)
            self._task = self._progress.add_task(title, total=None, words="")
        self._last, self._told_at = "", 0.0

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
        if self._last:
            self._line()

    def show(self, done: float, total: float, words: str) -> None:
        """`total` 0 is unknown."""
        line = f"{done:,.0f} of {total:,.0f}, {words}" if total else words
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total or None, words=words)
            self._last = line
        elif line != self._last:
            self._last = line
            if time.monotonic() - self._told_at >= LINE_SECONDS:
                self._line()

    def _line(self) -> None:
        """The last line stays on the screen once the bar is gone."""
        self.console.print(f"{self.title}: {self._last}", highlight=False, soft_wrap=True, markup=False)
        self._last, self._told_at = "", time.monotonic()
