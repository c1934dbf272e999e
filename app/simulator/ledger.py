"""The sandbox's own count of what it accepted, kept apart from anything the sender says."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class Journal:
    """An append-only file of JSON lines. Every write goes to the operating system before the sender gets its answer,
    so that the count survives a killed process."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.descriptor = -1
        if path is not None:
            _cut_torn_line(path)
            self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, *records: dict[str, Any]) -> None:
        if self.descriptor < 0:
            return
        data = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)
        while data:
            data = data[os.write(self.descriptor, data) :]

    def read(self) -> Iterator[dict[str, Any]]:
        if self.path is not None and self.path.exists():
            with self.path.open("rb") as lines:
                for line in lines:
                    yield orjson.loads(line)

    def clear(self) -> None:
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.fsync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1


def _cut_torn_line(path: Path) -> None:
    """A process killed inside a write leaves half a line, whose sender never got an answer."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            start = max(0, position - 65_536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                file.truncate(start + newline + 1)
                return
            position = start
        file.truncate(0)


class Ledger:
    """Accepted messages by provider, recipient and reference; refused ones by provider and code."""

    def __init__(self) -> None:
        self.accepted: dict[tuple[str, str, str], list[str]] = {}
        self.totals: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self.rejected: dict[str, Counter[str]] = {}
        self.duplicates = 0

    def accept(self, provider: str, recipient: str, reference: str, message_id: str) -> None:
        self.totals[provider] += 1
        key = (provider, recipient, reference)
        ids = self.accepted.get(key)
        if ids is None:
            self.accepted[key] = [message_id]
            return
        ids.append(message_id)
        # Without a reference nobody can say whether the second is a repetition.
        if reference and len(ids) == 2:
            self.duplicates += 1

    def reject(self, provider: str, code: str, throttled: bool) -> None:
        if throttled:
            self.throttled[provider] += 1
        else:
            self.rejected.setdefault(provider, Counter())[code] += 1

    def stats(self, providers: tuple[str, ...]) -> dict[str, Any]:
        return {
            provider: {
                "accepted": self.totals[provider],
                "rejected": dict(self.rejected.get(provider, {})),
                "throttled": self.throttled[provider],
            }
            for provider in providers
        }

    def entries(self) -> list[dict[str, Any]]:
        return [
            {
                "provider": provider,
                "recipient": recipient,
                "reference": reference,
                "count": len(ids),
                "message_ids": ids,
            }
            for (provider, recipient, reference), ids in self.accepted.items()
        ]
