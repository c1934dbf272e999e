"""What the provider remembers of idempotency keys."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["new", "same", "other", "under_way"]


@dataclass(slots=True)
class Kept:
    """The request that used a key first: its body and its answer."""

    digest: str
    answer: dict[str, Any]
    at: float


class Keys:
    """By account and key; that of a batch begins with its path, as neither endpoint knows the other's keys.

    A key is used once a request with it was accepted; a refused request leaves it free.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Kept] = {}
        self.under_way: set[tuple[str, str]] = set()

    def judge(self, account: str, key: str, body: bytes, *, lifetime: float, now: float) -> tuple[Verdict, Any]:
        """What a request with this key is, and the answer to the first one."""
        if not key:
            return "new", None
        if (account, key) in self.under_way:
            return "under_way", None
        kept = self.kept.get((account, key))
        if kept is None or now - kept.at >= lifetime:
            return "new", None
        return ("same" if kept.digest == digest_of(body) else "other"), kept.answer

    def keep(self, account: str, facts: dict[str, Any]) -> None:
        """Remember what an accepted e-mail's facts say of its key; of a batch the first one's do."""
        if facts["key"]:
            answer = facts.get("answer") or {"id": facts["id"]}
            self.kept[account, facts["key"]] = Kept(facts["digest"], answer, facts["at"])


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
