import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from app.contracts.sequence import (
    CAMPAIGN_RESUMED,
    CONTACT_STOPPED,
    DELIVERY_FAILED,
    ContactStopped,
    DeliveryFailed,
    SendStepResult,
)
from tests.workflows.sequences import Played, Stage
from workflows.sequence import SequenceWorkflow


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A server of its own for each sequence: its clock jumps, and must not jump for another one."""
    played, task_queue = Played(), f"sequence-{uuid4()}"
    program = Path(sys.executable).parent / "temporal-test-server"
    async with (
        await WorkflowEnvironment.start_time_skipping(
            data_converter=pydantic_data_converter, test_server_existing_path=str(program)
        ) as environment,
        Worker(
            environment.client,
            task_queue=task_queue,
            workflows=[SequenceWorkflow],
            activities=[played.send_step, played.end_sequence],
        ),
    ):
        yield Stage(environment, played, task_queue)


class TestSchedule:
    async def test_each_step_is_sent_on_its_day_and_then_the_sequence_is_exhausted(self, stage: Stage) -> None:
        handle = await stage.start()
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(1, 1.0), (2, 3.0), (3, 7.0)]
        assert stage.played.ends == ["exhausted"]

    async def test_a_skipped_and_a_failed_step_do_not_end_it(self, stage: Stage) -> None:
        stage.played.answers = [
            SendStepResult(outcome="skipped", reason="no_consent"),
            SendStepResult(outcome="failed"),
            SendStepResult(outcome="unknown"),
        ]
        handle = await stage.start()
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(1, 1.0), (2, 3.0), (3, 7.0)]

    async def test_steps_that_were_due_while_nobody_worked_are_sent_at_once_in_order(self, stage: Stage) -> None:
        handle = await stage.start(-3, -1, 2)
        await handle.result()
        assert stage.sent_on == [(1, 0.0), (2, 0.0), (3, 2.0)]


class TestStop:
    async def test_stopped_before_the_first_step_nothing_is_sent(self, stage: Stage) -> None:
        handle = await stage.start()
        await stage.pass_days(0.5)
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="replied"))
        assert (await handle.result()).ended == "replied"
        assert stage.sent_on == []
        assert stage.played.ends == ["replied"]

    async def test_stopped_between_two_steps_the_later_ones_are_not_sent(self, stage: Stage) -> None:
        handle = await stage.start()
        await stage.pass_days(2)
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="converted"))
        assert (await handle.result()).ended == "converted"
        assert stage.sent_on == [(1, 1.0)]

    async def test_stopped_while_held_nothing_is_sent(self, stage: Stage) -> None:
        stage.played.answers = [
            lambda: SendStepResult(
                outcome="held", reason="quiet_hours", hold_until=stage.launched_at + timedelta(days=1.5)
            )
        ]
        handle = await stage.start()
        await stage.pass_days(1.2)
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="opted_out"))
        assert (await handle.result()).ended == "opted_out"
        assert stage.sent_on == [(1, 1.0)]

    async def test_stopped_while_paused_it_ends(self, stage: Stage) -> None:
        stage.played.answers = [SendStepResult(outcome="paused", reason="campaign_paused")]
        handle = await stage.start()
        await stage.pass_days(1.1)
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="replied"))
        assert (await handle.result()).ended == "replied"

    async def test_the_first_reason_counts(self, stage: Stage) -> None:
        handle = await stage.start()
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="replied"))
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="opted_out"))
        assert (await handle.result()).ended == "replied"

    async def test_the_gate_finds_the_stop_when_the_signal_was_lost(self, stage: Stage) -> None:
        stage.played.answers = [SendStepResult(outcome="stopped", reason="converted")]
        handle = await stage.start()
        assert (await handle.result()).ended == "converted"
        assert stage.sent_on == [(1, 1.0)]


class TestHold:
    async def test_a_held_step_is_asked_for_again_when_its_hold_is_over(self, stage: Stage) -> None:
        stage.played.answers = [
            lambda: SendStepResult(
                outcome="held", reason="quiet_hours", hold_until=stage.launched_at + timedelta(days=1.25)
            )
        ]
        handle = await stage.start()
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(1, 1.0), (1, 1.25), (2, 3.0), (3, 7.0)]

    async def test_a_paused_step_waits_for_the_resume_and_later_days_stay(self, stage: Stage) -> None:
        stage.played.answers = [SendStepResult(outcome="paused", reason="campaign_paused")]
        handle = await stage.start()
        await stage.pass_days(1.1)
        await handle.signal(CAMPAIGN_RESUMED)
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(1, 1.0), (1, 1.1), (2, 3.0), (3, 7.0)]

    async def test_a_lost_resume_is_noticed_by_asking_again(self, stage: Stage) -> None:
        paused = SendStepResult(outcome="paused", reason="campaign_paused")
        stage.played.answers = [paused, paused]
        handle = await stage.start(1)
        assert (await handle.result()).ended == "exhausted"
        assert [step for step, _ in stage.sent_on] == [1, 1, 1]

    async def test_a_step_to_be_retried_is_asked_for_again_at_its_time(self, stage: Stage) -> None:
        stage.played.answers = [
            lambda: SendStepResult(
                outcome="retry", reason="provider", hold_until=stage.launched_at + timedelta(days=1.02)
            )
        ]
        handle = await stage.start()
        await handle.result()
        assert stage.sent_on == [(1, 1.0), (1, 1.02), (2, 3.0), (3, 7.0)]


class TestFailedDelivery:
    async def test_woken_early_it_sends_the_failed_step_and_no_day_moves(self, stage: Stage) -> None:
        handle = await stage.start(failed=DeliveryFailed(step=0))
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(0, 0.0), (1, 1.0), (2, 3.0), (3, 7.0)]

    async def test_a_failure_between_two_days_is_served_at_once(self, stage: Stage) -> None:
        handle = await stage.start()
        await stage.pass_days(2)
        await handle.signal(DELIVERY_FAILED, DeliveryFailed(step=1))
        await handle.result()
        assert stage.sent_on == [(1, 1.0), (1, 2.0), (2, 3.0), (3, 7.0)]

    async def test_the_same_failure_told_twice_is_served_once(self, stage: Stage) -> None:
        handle = await stage.start(failed=DeliveryFailed(step=0))
        await handle.signal(DELIVERY_FAILED, DeliveryFailed(step=0))
        await handle.result()
        assert [step for step, _ in stage.sent_on].count(0) <= 2
        assert stage.sent_on[-3:] == [(1, 1.0), (2, 3.0), (3, 7.0)]

    async def test_without_follow_ups_it_serves_the_failure_and_ends(self, stage: Stage) -> None:
        handle = await stage.start_without_follow_ups(DeliveryFailed(step=0))
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(0, 0.0)]

    async def test_a_failure_told_while_the_end_is_noted_is_still_served(self, stage: Stage) -> None:
        handle = await stage.start(1)
        told = False

        async def tell() -> None:
            nonlocal told
            if not told:
                told = True
                await handle.signal(DELIVERY_FAILED, DeliveryFailed(step=1))

        stage.played.while_ending = tell
        assert (await handle.result()).ended == "exhausted"
        assert stage.sent_on == [(1, 1.0), (1, 1.0)]

    async def test_after_a_stop_a_failure_is_not_served(self, stage: Stage) -> None:
        handle = await stage.start()
        await handle.signal(CONTACT_STOPPED, ContactStopped(reason="opted_out"))
        await handle.signal(DELIVERY_FAILED, DeliveryFailed(step=0))
        assert (await handle.result()).ended == "opted_out"
        assert stage.sent_on == []
