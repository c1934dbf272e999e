"""What a contact allowed on a channel: an opt-in counts while no opt-out came at or after it."""

from dataclasses import dataclass
from datetime import UTC, datetime

YES = frozenset({"yes", "y", "1", "true"})
NO = frozenset({"no", "n", "0", "false"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentCell:
    """What one cell of an import says; exactly one of the two is set, UTC."""

    opt_in_at: datetime | None = None
    opt_out_at: datetime | None = None


def is_opted_in(opt_in_at: datetime | None, opt_out_at: datetime | None) -> bool:
    return opt_in_at is not None and (opt_out_at is None or opt_in_at > opt_out_at)


def is_opted_out(opt_in_at: datetime | None, opt_out_at: datetime | None) -> bool:
    """Said no, and no yes since; a contact that was never asked is neither in nor out."""
    return opt_out_at is not None and (opt_in_at is None or opt_in_at <= opt_out_at)


def parse_consent(cell: str | bool | int | None, now: datetime) -> ConsentCell | None:
    """Read a consent cell: yes/no/1/0/true/false (as of `now`), or the ISO date or time of the opt-in.

    None when the cell is empty, which is unknown and counts as no. A time without offset is UTC.
    Raises ValueError with a sentence for anything else, also for an opt-in that lies in the future.
    """
    text = "" if cell is None else str(cell).strip()
    word = text.casefold()
    if not word:
        return None
    if word in YES:
        return ConsentCell(opt_in_at=now)
    if word in NO:
        return ConsentCell(opt_out_at=now)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a consent: use yes, no, 1, 0, true, false or an ISO date.") from None
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"The consent date {text} is out of range.") from None
    if moment > now:
        raise ValueError(f"The consent date {text} lies in the future.")
    return ConsentCell(opt_in_at=moment)
