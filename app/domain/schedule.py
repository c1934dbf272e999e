"""When a follow-up is due: reckoned from the launch, spread so that not everybody is written to at the same second."""

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

DAY_SECONDS = 86400


def due_at(launched_at: datetime, after_days: float, day_seconds: float) -> datetime:
    """`after_days` days of `day_seconds` seconds each after the launch, never after the start of a sequence."""
    return launched_at + timedelta(seconds=after_days * day_seconds)


def spaced_until(sent_at: datetime, gap: timedelta, now: datetime) -> datetime | None:
    """When a follow-up may leave that comes too soon after the message before it; None when it does not.

    After a long pause or outage several steps are due at once. What comes sooner than half its distance waits out the
    whole of it; smaller delays, such as a night, move nothing.
    """
    return sent_at + gap if now - sent_at < gap / 2 else None


def jitter(contact_id: UUID, window_seconds: float, day_seconds: float = DAY_SECONDS) -> timedelta:
    """From zero up to `window_seconds` of a full day, shortened as the day is; always the same for a contact."""
    share = int.from_bytes(blake2b(contact_id.bytes, digest_size=8).digest()) / 2**64
    return timedelta(seconds=share * window_seconds * day_seconds / DAY_SECONDS)
