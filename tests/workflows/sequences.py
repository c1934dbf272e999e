"""A sequence on the time-skipping server, its activities played by a script."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from app.contracts.sequence import (
    DELIVERY_FAILED,
    SEQUENCE_WORKFLOW,
    DeliveryFailed,
    SendStep,
    SendStepResult,
    SequenceEnded,
    SequenceInput,
    SequenceResult,
    SequenceStep,
)

DAY = timedelta(days=1)
SENT = SendStepResult(outcome="sent", channel="whatsapp")
Answer = SendStepResult | Callable[[], SendStepResult]


async def nothing() -> None:
    """What happens while an end is noted, unless a test says otherwise."""


@dataclass
class Played:
    """Activities of the real names. `answers` are given in turn, then everything is sent."""

    answers: list[Answer] = field(default_factory=list)
    sends: list[tuple[int, datetime]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    while_ending: Callable[[], Awaitable[None]] = nothing

    @activity.defn
    async def send_step(self, input: SendStep) -> SendStepResult:
        assert input.asked_at is not None
        self.sends.append((input.step, input.asked_at))
        answer = self.answers.pop(0) if self.answers else SENT
        return answer() if callable(answer) else answer

    @activity.defn
    async def end_sequence(self, input: SequenceEnded) -> None:
        self.ends.append(input.reason)
        await self.while_ending()


class Stage:
    """One sequence with follow-ups at J+1, J+3 and J+7, on its own clock."""

    def __init__(self, environment: WorkflowEnvironment, played: Played, task_queue: str) -> None:
        self.environment, self.played, self.task_queue = environment, played, task_queue
        self.launched_at = datetime.now(UTC)

    async def start(self, *days: int, failed: DeliveryFailed | None = None) -> "Handle":
        """With `failed` it is woken by that failure, as the webhook relay does it."""
        self.launched_at = await self.environment.get_current_time()
        return await self._start(days or (1, 3, 7), failed)

    async def start_without_follow_ups(self, failed: DeliveryFailed) -> "Handle":
        self.launched_at = await self.environment.get_current_time()
        return await self._start((), failed)

    async def _start(self, days: Sequence[int], failed: DeliveryFailed | None) -> "Handle":
        input = SequenceInput(
            tenant_id=uuid4(),
            campaign_id=uuid4(),
            contact_id=uuid4(),
            steps=[
                SequenceStep(position=position, due_at=self.launched_at + day * DAY)
                for position, day in enumerate(days, start=1)
            ],
        )
        return await self.environment.client.start_workflow(
            SEQUENCE_WORKFLOW,
            input,
            id=f"seq/{input.contact_id}",
            task_queue=self.task_queue,
            result_type=SequenceResult,
            start_signal=DELIVERY_FAILED if failed else None,
            start_signal_args=[failed] if failed else [],
        )

    async def pass_days(self, days: float) -> None:
        await self.environment.sleep(days * DAY)

    @property
    def sent_on(self) -> list[tuple[int, float]]:
        """Every call for a step and the day it came, to a hundredth."""
        return [(step, round((at - self.launched_at) / DAY, 2)) for step, at in self.played.sends]


Handle = WorkflowHandle[object, SequenceResult]
