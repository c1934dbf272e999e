"""One contact's way through the follow-ups of one campaign."""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.sequences import SequenceActivities
    from app.contracts.sequence import (
        SEQUENCE_WORKFLOW,
        ContactStopped,
        DeliveryFailed,
        SendStep,
        SendStepResult,
        SequenceEnded,
        SequenceInput,
        SequenceResult,
    )
    from workflows.options import DATABASE, SEND, SEND_AT_ONCE, described, standing_still

EXHAUSTED = "exhausted"
END_WITH_STEP = "end-with-step"
LOCAL_FIRST = "local-first"
# A resume signals what it finds held; this catches a sequence it could not find.
LONGEST_PAUSE = timedelta(hours=6)


@workflow.defn(name=SEQUENCE_WORKFLOW)
class SequenceWorkflow:
    """Sleeps until a step is due, has it sent through the gate, and ends on a stop or after its last step.

    It may be woken before the first step is due, when a message of an earlier step failed on its channel; due times
    come from the launch, so a wake-up moves nothing.
    """

    def __init__(self) -> None:
        self.stop_reason = self.ended = ""  # `ended` is what was noted already
        self.failed_steps: list[int] = []
        self.resumed = False

    @workflow.run
    async def run(self, input: SequenceInput) -> SequenceResult:
        for step in input.steps:
            await self._serve_until(input, step.due_at)
            if self.stop_reason:
                break
            await self._send(input, step.position)
        ended = await self._end(input)
        while self.failed_steps and not self.stop_reason:  # told while the end was noted
            ended = await self._end(input)
        return SequenceResult(ended=ended)

    @workflow.signal
    def contact_stopped(self, stopped: ContactStopped) -> None:
        self.stop_reason = self.stop_reason or stopped.reason

    @workflow.signal
    def delivery_failed(self, failed: DeliveryFailed) -> None:
        if failed.step not in self.failed_steps:
            self.failed_steps.append(failed.step)

    @workflow.signal
    def campaign_resumed(self) -> None:
        self.resumed = True

    async def _serve_until(self, input: SequenceInput, due_at: datetime) -> None:
        """Wait for the instant, sending failed steps over their next channel meanwhile."""
        while not self.stop_reason:
            await self._serve_failures(input)
            if workflow.now() >= due_at:
                return
            self._show(f"Waiting for the next step until {due_at:%Y-%m-%d %H:%M:%S} UTC.")
            await self._wait_until(due_at, lambda: bool(self.failed_steps))

    async def _serve_failures(self, input: SequenceInput) -> None:
        while self.failed_steps and not self.stop_reason:
            await self._send(input, self.failed_steps.pop(0))

    async def _end(self, input: SequenceInput) -> str:
        await self._serve_failures(input)
        ended = self.stop_reason or EXHAUSTED
        self._show(f"Ended: {ended}.")
        if self.ended != ended:
            await workflow.execute_activity_method(
                SequenceActivities.end_sequence,
                SequenceEnded(
                    tenant_id=input.tenant_id, campaign_id=input.campaign_id, contact_id=input.contact_id, reason=ended
                ),
                **DATABASE,
            )
        return ended

    async def _send(self, input: SequenceInput, step: int) -> None:
        """Have the step sent; waits out holds, pauses and limits."""
        told = ""
        last = workflow.patched(END_WITH_STEP) and all(step >= other.position for other in input.steps)
        while not self.stop_reason:
            self.resumed = False
            if not told:
                self._show(f"Sending step {step}.")
            result = await self._attempt(
                SendStep(
                    tenant_id=input.tenant_id,
                    campaign_id=input.campaign_id,
                    contact_id=input.contact_id,
                    step=step,
                    told=told,
                    last=last,
                    asked_at=workflow.now(),
                )
            )
            told = result.told
            self._show(f"Step {step}. {standing_still(result.words)}" if told else _words(step, result))
            if told:
                continue
            self.ended = _end_noted(result) if result.ended else ""
            if result.outcome == "stopped":
                self.stop_reason = self.stop_reason or result.reason
            elif result.outcome == "paused":
                await self._wait_until(workflow.now() + LONGEST_PAUSE, lambda: self.resumed)
            elif result.hold_until is not None:
                await self._wait_until(result.hold_until)
            else:
                return

    async def _attempt(self, step: SendStep) -> SendStepResult:
        """Once as part of this workflow task, which costs the engine half as much; what fails there comes again as an
        activity of its own, with its retries and its failures in the engine's UI."""
        if not step.told and workflow.patched(LOCAL_FIRST):
            try:
                return await workflow.execute_local_activity_method(SequenceActivities.send_step, step, **SEND_AT_ONCE)
            except FailureError:  # a local activity may fail without an ActivityError around its cause
                if workflow.cancellation_reason() is not None:
                    raise
        return await workflow.execute_activity_method(
            SequenceActivities.send_step, step, **described(SEND, f"Step {step.step}")
        )

    async def _wait_until(self, instant: datetime, wake: Callable[[], bool] = lambda: False) -> None:
        try:
            await workflow.wait_condition(
                lambda: bool(self.stop_reason) or wake(), timeout=max(instant - workflow.now(), timedelta(0))
            )
        except TimeoutError:
            return  # the instant has come

    def _show(self, words: str) -> None:
        workflow.set_current_details(words)


def _end_noted(result: SendStepResult) -> str:
    return result.reason if result.outcome == "stopped" else EXHAUSTED


def _words(step: int, result: SendStepResult) -> str:
    over = f" over {result.channel}" if result.channel else ""
    why = f" ({result.reason})" if result.reason else ""
    until = f" until {result.hold_until:%Y-%m-%d %H:%M:%S} UTC" if result.hold_until else ""
    return f"Step {step}: {result.outcome}{over}{why}{until}."
