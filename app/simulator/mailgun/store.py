"""What the Events API lists."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

MAX_EVENTS = 50_000  # the oldest are forgotten first


class EventLog:
    """Events by domain, each with the time at which it happens: nobody sees it earlier."""

    def __init__(self) -> None:
        self.kept: deque[tuple[float, str, dict[str, Any]]] = deque(maxlen=MAX_EVENTS)

    def add(self, domain: str, at: float, data: dict[str, Any]) -> None:
        self.kept.append((at, domain, data))

    def find(self, domain: str, begin: float, end: float, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        """Oldest first."""
        found = [
            (at, data)
            for at, of, data in self.kept
            if of == domain
            and begin <= at <= end
            and all(value in _values(data, name) for name, value in wanted.items())
        ]
        return [data for _, data in sorted(found, key=lambda item: item[0])]


def _values(data: dict[str, Any], name: str) -> Iterator[str]:
    """What an event has to offer to a filter."""
    headers = data["message"]["headers"]
    match name:
        case "event" | "recipient" | "severity":
            yield data.get(name, "")
        case "message-id" | "to" | "from" | "subject":
            yield headers.get(name, "")
        case "tags":
            yield from data["tags"]
