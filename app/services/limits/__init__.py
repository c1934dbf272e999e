"""The limits of this process's senders. What may leave in which second is reasoned in app.domain.permits."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.db import Sessions
from app.domain.permits import window_of
from app.services.limits.sender_limit import Permit, SenderLimit
from app.services.senders import Sender

__all__ = ["Permit", "Room", "SendLimits"]


class SendLimits:
    """One for all that a process sends; a sender without a limit costs nothing here."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._limits: dict[UUID, SenderLimit] = {}

    def of(self, sender: Sender) -> SenderLimit | None:
        if sender.per_second is None:
            return None
        window = window_of(sender.per_second)
        limit = self._limits.get(sender.settings_id)
        if limit is None:
            limit = self._limits[sender.settings_id] = SenderLimit(
                self.sessions, sender.tenant_id, sender.settings_id, window
            )
        limit.window = window
        return limit

    async def room(self, sender: Sender | None, want: int, *, seconds: float, urgent: bool = False) -> "Room":
        """Room for up to `want` messages of the sender; waits its turn, but no longer than `seconds`."""
        limit = self.of(sender) if sender else None
        if sender is None or limit is None:
            return Room(self)
        return Room(self, sender, await limit.reserve(want, seconds=seconds, urgent=urgent))

    def block(self, sender: Sender, length: timedelta) -> None:
        limit = self.of(sender)
        if limit is not None:
            limit.block(length.total_seconds())

    async def close(self) -> None:
        for limit in self._limits.values():
            await limit.close()


class Room:
    """The permits of one claim: those it waited for, and for other senders what is there. What is not used goes back
    when the block ends."""

    def __init__(self, limits: SendLimits, sender: Sender | None = None, permits: Sequence[Permit] = ()) -> None:
        self.limits, self.sender = limits, sender
        self._reserved, self._taken = list(permits), list(permits)

    @property
    def size(self) -> int | None:
        """For how many messages there is room; None without a limit."""
        return None if self.sender is None else len(self._reserved)

    def take(self, sender: Sender, want: int) -> list[Permit] | None:
        """Up to `want` permits; None where the sender has no limit."""
        limit = self.limits.of(sender)
        if limit is None:
            return None
        mine: list[Permit] = []
        if self.sender is not None and sender.settings_id == self.sender.settings_id:
            mine, self._reserved = self._reserved[:want], self._reserved[want:]
        if len(mine) < want:
            more = limit.take(want - len(mine))
            self._taken += more
            mine += more
        return mine

    def return_in(self, sender: Sender) -> timedelta:
        """When to come back for a message for which there was no room."""
        limit = self.limits.of(sender)
        return timedelta(seconds=limit.return_in() if limit else 0)

    def close(self, used: Sequence[Permit | None] = ()) -> None:
        """Give back all but what is `used`."""
        kept = set(map(id, used))
        for permit in self._taken:
            if id(permit) not in kept:
                permit.give_back()
