"""What a consent cell of a file changes. A file never brings back a consent that its owner withdrew."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.consent import ConsentCell, is_opted_in, is_opted_out


@dataclass(frozen=True, slots=True)
class ConsentState:
    opt_in_at: datetime | None = None
    opt_out_at: datetime | None = None

    @property
    def is_in(self) -> bool:
        return is_opted_in(self.opt_in_at, self.opt_out_at)

    @property
    def is_out(self) -> bool:
        return is_opted_out(self.opt_in_at, self.opt_out_at)


def fold(state: ConsentState, cell: ConsentCell, now: datetime) -> ConsentState:
    """The state after `cell`. A plain yes (its time is the import's `now`) counts only for somebody who never said
    no; an opt-in with a date of its own counts from that date. Nobody is opted in or out a second time."""
    if cell.opt_out_at is not None:
        if state.is_out:
            return state
        return ConsentState(state.opt_in_at, _later(state.opt_out_at, cell.opt_out_at))
    assert cell.opt_in_at is not None
    if cell.opt_in_at == now and (state.opt_out_at is not None or state.is_in):
        return state
    return ConsentState(_later(state.opt_in_at, cell.opt_in_at), state.opt_out_at)


def _later(known: datetime | None, new: datetime) -> datetime:
    return new if known is None else max(known, new)
