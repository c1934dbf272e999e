"""What the consent cells of a file change. A file never brings back a consent that its owner withdrew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.consent import ConsentCell, is_opted_in, is_opted_out
from app.domain.status import Channel

CHANNELS = (Channel.WHATSAPP, Channel.EMAIL, Channel.SMS)
Times = tuple[datetime | None, ...]  # opt-in and opt-out of each of CHANNELS, in that order


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


UNASKED = ConsentState()


@dataclass(frozen=True, slots=True)
class Answers:
    """What one row says, at most once per channel. `first` are the times this makes for somebody who was never asked,
    worked out once: many rows share one of these."""

    cells: tuple[tuple[Channel, ConsentCell], ...] = ()
    first: Times = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        said = dict(self.cells)
        cells = [said.get(channel) for channel in CHANNELS]
        times = [time for cell in cells for time in ((cell.opt_in_at, cell.opt_out_at) if cell else (None, None))]
        object.__setattr__(self, "first", tuple(times))

    def without_address(self, name: str) -> "Answers":
        """Without the opt-ins that were meant for the `phone` or `email` that is left out; an opt-out is kept."""
        kept = [
            (channel, cell)
            for channel, cell in self.cells
            if cell.opt_in_at is None or (channel is Channel.EMAIL) != (name == "email")
        ]
        return Answers(tuple(kept))


NO_ANSWERS = Answers()


@dataclass(slots=True)
class Folded:
    """The times that a batch changes for one contact, and per channel the source it names. `ends` has the channels on
    which a dated opt-in is later than an opt-out."""

    times: Times
    sources: tuple[str, ...]
    ends: tuple[tuple[Channel, datetime], ...] = ()


def fold_all(given: Iterable[tuple[Answers, str]], before: Mapping[Channel, ConsentState], now: datetime) -> Folded:
    """All that the rows of one contact say, in their order, with the source of each row."""
    after: dict[Channel, tuple[ConsentState, str]] = {}
    for answers, source in given:
        for channel, cell in answers.cells:
            state = after[channel][0] if channel in after else before.get(channel, UNASKED)
            after[channel] = fold(state, cell, now), source
    times: list[datetime | None] = []
    sources: list[str] = []
    ends = []
    for channel in CHANNELS:
        was = before.get(channel, UNASKED)
        state, source = after.get(channel, (was, ""))
        times.append(state.opt_in_at if state.opt_in_at != was.opt_in_at else None)
        times.append(state.opt_out_at if state.opt_out_at != was.opt_out_at else None)
        sources.append(source)
        if state != was and state.opt_in_at and state.opt_out_at and state.is_in:
            ends.append((channel, state.opt_in_at))
    return Folded(tuple(times), tuple(sources), tuple(ends))


def fold(state: ConsentState, cell: ConsentCell, now: datetime) -> ConsentState:
    """The state after `cell`. A plain yes (its time is the import's `now`) counts only for somebody who never said
    no; an opt-in with a date of its own counts from that date. Nobody is opted in or out a second time, and a no does
    nothing to a yes that came after the file."""
    if cell.opt_out_at is not None:
        if state.is_out or (state.opt_in_at is not None and state.opt_in_at > cell.opt_out_at):
            return state
        return ConsentState(state.opt_in_at, _later(state.opt_out_at, cell.opt_out_at))
    assert cell.opt_in_at is not None
    if cell.opt_in_at == now and (state.opt_out_at is not None or state.is_in):
        return state
    return ConsentState(_later(state.opt_in_at, cell.opt_in_at), state.opt_out_at)


def _later(known: datetime | None, new: datetime) -> datetime:
    return new if known is None else max(known, new)
