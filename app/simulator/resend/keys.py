"""What the provider remembers of idempotency keys."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["new", "same", "other", "under_way"]


@dataclass(slots=True)
class Kept:
    """The request that used a key first: its body and the e-mail it made."""

    digest: str
    email_id: str
    at: float


class Keys:
    """By account and key. A key is used once a request with it was accepted; a refused request leaves it free."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Kept] = {}
        self.under_way: set[tuple[str, str]] = set()

    def judge(self, account: str, key: str, body: bytes, *, lifetime: float, now: float) -> tuple[Verdict, str]:
        """What a request with this key is, and the e-mail that the first one made."""
        if not key:
            return "new", ""
        if (account, key) in self.under_way:
            return "under_way", ""
        kept = self.kept.get((account, key))
        if kept is None or now - kept.at >= lifetime:
            return "new", ""
        return ("same" if kept.digest == digest_of(body) else "other"), kept.email_id

    def keep(self, account: str, facts: dict[str, Any]) -> None:
        """Remember what an accepted e-mail's facts say of its key."""
        if facts["key"]:
            self.kept[account, facts["key"]] = Kept(facts["digest"], facts["id"], facts["at"])


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
