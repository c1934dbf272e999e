"""What workflows have to be told after a projection's commit."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from app.contracts.message import MessageInput
from app.contracts.sequence import DeliveryFailed, SequenceInput
from app.repositories.events import Fact
from app.repositories.stops import StoppedSequence
from app.temporal import Workflows


class Signal(Protocol):
    """Sending it twice does no more than sending it once."""

    @property
    def key(self) -> tuple[object, ...]: ...

    async def send(self, workflows: Workflows) -> None: ...


@dataclass(frozen=True, slots=True)
class StopSequence:
    stopped: StoppedSequence

    @property
    def key(self) -> tuple[object, ...]:
        return ("stop", self.stopped.campaign_id, self.stopped.contact_id)

    async def send(self, workflows: Workflows) -> None:
        stopped = self.stopped
        await workflows.stop_sequence(stopped.tenant_id, stopped.campaign_id, stopped.contact_id, stopped.reason.value)


@dataclass(frozen=True, slots=True)
class WakeSequence:
    input: SequenceInput
    failed: DeliveryFailed

    @property
    def key(self) -> tuple[object, ...]:
        return ("wake", self.input.campaign_id, self.input.contact_id, self.failed.step)

    async def send(self, workflows: Workflows) -> None:
        await workflows.wake_sequence(self.input, self.failed)


@dataclass(frozen=True, slots=True)
class WakeMessage:
    input: MessageInput

    @property
    def key(self) -> tuple[object, ...]:
        return ("message", self.input.message_id)

    async def send(self, workflows: Workflows) -> None:
        await workflows.wake_message(self.input)


@dataclass(slots=True)
class PendingSignal:
    """A signal and every event that is not processed before it is sent."""

    signal: Signal
    event_ids: set[UUID]


@dataclass(slots=True)
class Effects:
    """What a projection leaves to do: facts to keep in its transaction, signals to send after it."""

    facts: list[Fact] = field(default_factory=list)
    _signals: dict[tuple[object, ...], PendingSignal] = field(default_factory=dict)

    def add(self, signal: Signal, event_ids: Iterable[UUID]) -> None:
        pending = self._signals.setdefault(signal.key, PendingSignal(signal, set()))
        pending.event_ids.update(event_ids)

    @property
    def signals(self) -> list[PendingSignal]:
        return list(self._signals.values())
