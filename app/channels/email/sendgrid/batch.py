"""Many messages in one request of SendGrid: what they have in common is the content, the rest are substitutions.

A request has one content, and each of its personalizations replaces tags in it, with 10,000 bytes at most. Messages of
one template are alike but for a name and some links, so most of them fit; those that do not leave alone.

https://www.twilio.com/docs/sendgrid/for-developers/sending-email/personalizations
"""

import os.path
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.channels.email.sendgrid.mail import PARTS

MOST = 1_000
MOST_BYTES = 9_500  # of the substitutions of one message, tags included; SendGrid's limit is 10,000
MOST_GROWING = 8  # groups that a message is tried with, the largest and the newest


@dataclass(slots=True)
class Shared:
    """What all versions of one part begin and end with."""

    head: str
    tail: str
    shortest: int
    longest: int  # in bytes

    @classmethod
    def of(cls, value: str) -> "Shared":
        return cls(value, value, len(value), len(value.encode()))

    def with_another(self, value: str) -> "Shared":
        return Shared(
            head=self.head if value.startswith(self.head) else os.path.commonprefix([self.head, value]),
            tail=self.tail if value.endswith(self.tail) else _common_suffix(self.tail, value),
            shortest=min(self.shortest, len(value)),
            longest=max(self.longest, len(value.encode())),
        )

    @property
    def ends(self) -> tuple[str, str]:
        """Head and tail that overlap in no version."""
        room = self.shortest - len(self.head)
        return self.head, self.tail[len(self.tail) - room :] if room < len(self.tail) else self.tail

    @property
    def most_bytes(self) -> int:
        """What of the longest version is its own."""
        head, tail = self.ends
        return self.longest - len(head.encode()) - len(tail.encode())


@dataclass(slots=True)
class Group:
    """Messages that share a request, by their index."""

    contents: dict[int, Mapping[str, Any]]
    parts: dict[str, Shared]
    people: set[str]
    tags: dict[str, str] = field(default_factory=lambda: {part: f"-{secrets.token_hex(12)}-" for part in PARTS})

    @classmethod
    def of(cls, index: int, to: str, content: Mapping[str, Any]) -> "Group":
        parts = {part: Shared.of(content[part]) for part in PARTS if content.get(part)}
        return cls({index: content}, parts, {to.lower()})

    def takes(self, index: int, to: str, content: Mapping[str, Any]) -> bool:
        """Add it if it fits: the same parts, and nobody twice, which SendGrid refuses."""
        if to.lower() in self.people or self.parts.keys() != {part for part in PARTS if content.get(part)}:
            return False
        parts = {part: shared.with_another(content[part]) for part, shared in self.parts.items()}
        tags = sum(len(self.tags[part]) for part in parts)
        if sum(shared.most_bytes for shared in parts.values()) + tags > MOST_BYTES:
            return False
        self.contents[index], self.parts = content, parts
        self.people.add(to.lower())
        return True

    def content(self) -> list[dict[str, str]]:
        """As a request has it, with a tag for what differs."""
        return [
            {"type": PARTS[part], "value": self.tags[part].join(shared.ends)} for part, shared in self.parts.items()
        ]

    def substitutions(self, index: int) -> dict[str, str]:
        found: dict[str, str] = {}
        for part, shared in self.parts.items():
            value, (head, tail) = self.contents[index][part], shared.ends
            found[self.tags[part]] = value[len(head) : len(value) - len(tail)]
        return found


def groups(messages: Sequence[tuple[int, str, Mapping[str, Any]]]) -> list[Group]:
    """Index, recipient and content of each message, put together as far as they fit: one group for each language or so,
    and one of its own for what fits nowhere."""
    found: list[Group] = []
    growing: list[Group] = []
    for index, to, content in messages:
        if any(group.takes(index, to, content) for group in growing):
            continue
        found.append(Group.of(index, to, content))
        growing = [*sorted(growing, key=lambda group: -len(group.contents))[: MOST_GROWING - 1], found[-1]]
    return found


def _common_suffix(one: str, other: str) -> str:
    return os.path.commonprefix([one[::-1], other[::-1]])[::-1]
