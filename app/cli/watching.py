"""What `relay campaign watch` shows: a live view on a terminal, lines anywhere else."""

import time
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from app.meter import Meter

COLUMNS = ("queued", "sent", "delivered", "read", "clicked", "replied", "failed", "unknown")
PEOPLE = ("recipients", "skipped", "held", "replied", "converted", "opted_out", "armed", "active")
# The rate is taken over at least this long, so that it does not jump with every chunk.
RATE_SECONDS = 3.0


class View:
    """Shows each answer of the API; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._meter = None if self._live else Meter("Campaign", self.console)
        self._rates: list[tuple[float, int]] = []
        self._away: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._last: dict[str, Any] = {}
        self._ready_at = 0.0

    def __enter__(self) -> Self:
        (self._live or self._meter).__enter__()  # type: ignore[union-attr]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._live or self._meter).__exit__(kind, error, trace)  # type: ignore[union-attr]

    def show(self, found: dict[str, Any]) -> None:
        self._last = found
        rate = self._rate(found["counts"]["sent"])
        waiting = standing_still(found, self._away)
        if self._live is not None:
            self._live.update(_screen(found, rate, waiting), refresh=True)
        else:
            self._lines(found, rate, waiting)

    def note_away(self, what: list[str]) -> None:
        """What does not answer now; it is shown with the time since which it does not."""
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        self._away = {words: self._away.get(words, now) for words in what}

    def ready_is_due(self, every: float) -> bool:
        """Whether it is time to ask how the parts are; while one is away, always."""
        if not self._away and time.monotonic() - self._ready_at < every:
            return False
        self._ready_at = time.monotonic()
        return True

    def _rate(self, sent: int) -> float:
        """Messages a second, over the last few seconds."""
        now = time.monotonic()
        self._rates.append((now, sent))
        while len(self._rates) > 2 and now - self._rates[1][0] > RATE_SECONDS:
            self._rates.pop(0)
        began, before = self._rates[0]
        return (sent - before) / (now - began) if now > began else 0.0

    def _lines(self, found: dict[str, Any], rate: float, waiting: dict[str, str]) -> None:
        """Progress every few seconds; what stands still once, when it begins and when it is over."""
        assert self._meter is not None
        decided, words = progress(found)
        self._meter.show(decided, found["counts"]["recipients"], words + (f", {rate:,.0f}/s" if rate else ""))
        for key, said in waiting.items():
            if key not in self._told:
                self._print(f"Standing still: {said}")
        for key in self._told.keys() - waiting.keys():
            self._print(f"Goes on: {self._told[key]}")
        self._told = waiting

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)


def progress(found: dict[str, Any]) -> tuple[int, str]:
    """How many recipients have an outcome, and the counts in words."""
    counts = found["counts"]
    names = ("sent", "delivered", "read", "replied", "converted", "failed", "skipped", "opted_out", "armed")
    waiting = [name for name in ("held", "unknown") if counts[name]]
    shown = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in (*names, *waiting))
    decided = max(counts["recipients"] - counts["queued"] - counts["held"], 0)
    return decided, f"{found['status']}: {shown}"


def standing_still(found: dict[str, Any], away: dict[str, str]) -> dict[str, str]:
    """What stands still, in words, by a key that stays the same while it does."""
    said = {words: f"since {since}: {words}" for words, since in away.items()}
    for item in found["waiting"] or []:
        times = [
            f"since {item['since'][:19]}Z" if item["since"] else "",
            f"until {item['until'][:19]}Z" if item["until"] else "",
        ]
        when = ", ".join(filter(None, times))
        key = f"{item['reason']} {item['channel_setting_id'] or ''}"
        said[key] = f"{item['detail']} [{when or 'until somebody acts'}] {item['what_to_do']}"
    return said


def _screen(found: dict[str, Any], rate: float, waiting: dict[str, str]) -> Group:
    counts, decided = found["counts"], progress(found)[0]
    head = Text.assemble(
        (found["name"], "bold"), f"  {found['status']}  {decided:,} of {counts['recipients']:,} decided  {rate:,.0f}/s"
    )
    people = Text("  ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in PEOPLE))
    table = Table(box=None, pad_edge=False)
    table.add_column("messages")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for title, rows in (("", found["by_channel"]), ("step ", found["by_step"])):
        for key, row in rows.items():
            table.add_row(escape(f"{title}{key}"), *(f"{row[name]:,}" for name in COLUMNS))
    still = [Text(f"■ {words}", style="yellow") for words in waiting.values()] or [
        Text("Nothing stands still.", "green")
    ]
    return Group(head, people, table, *still)
