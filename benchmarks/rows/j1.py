"""The wave of J+1: every armed sequence comes due at once."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.campaigns import STARTS_AT_ONCE
from app.ids import new_id
from benchmarks import shop as shops
from benchmarks.bare import BareActivities, BareWorkflow
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

DAY_SECONDS = 10
BARE_QUEUE = "bench"


def until_due(size: int) -> timedelta:
    """From the launch to J+1: long enough that arming is over, on a slow machine too."""
    return timedelta(seconds=20 + size / 50)


async def wave(platform: Platform, size: int) -> Measurement:
    shop = await shops.make_shop(platform, contacts=size)
    due_at = datetime.now(UTC) + until_due(size)
    campaign_id = await shops.launch(platform, shop, followups=[until_due(size).total_seconds() / DAY_SECONDS])
    await shops.until_armed(platform, shop, campaign_id, size)
    left = due_at - datetime.now(UTC)
    platform.require(left > timedelta(0), "all were armed before J+1 came")
    await asyncio.sleep(left.total_seconds())
    with platform.window() as window:
        await shops.until_accepted(platform, size * 2)
    now = await shops.until_recorded(platform, shop, campaign_id, size, step=1)
    counts = await platform.stub.counts()
    platform.require(counts.distinct == size * 2 and counts.repeated == 0, "every contact got both messages once")
    assert now.last_sent_at is not None, "all are sent"
    seconds = (now.last_sent_at - due_at).total_seconds()
    return Measurement(value=size / seconds, units=size, window=window)


async def bare_wave(platform: Platform, size: int) -> Measurement:
    """As many delayed workflows that come due together, each with one empty activity, on a worker in this process."""
    activities = BareActivities(size)
    due_at = datetime.now(UTC) + until_due(size)
    worker = Worker(
        platform.client,
        task_queue=BARE_QUEUE,
        workflows=[BareWorkflow],
        activities=[activities.step],
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules("benchmarks")
        ),
    )
    async with worker:
        await _delay_all(platform, size, due_at)
        left = due_at - datetime.now(UTC)
        platform.require(left > timedelta(0), "all were started before they came due")
        await asyncio.sleep(left.total_seconds())
        with platform.window() as window:
            await activities.done.wait()
    return Measurement(value=size / window.seconds, units=size, window=window)


async def _delay_all(platform: Platform, size: int, due_at: datetime) -> None:
    run, numbers = new_id(), iter(range(size))

    async def lane() -> None:
        for number in numbers:
            await platform.client.start_workflow(
                BareWorkflow.run,
                number,
                id=f"bare/{run}/{number}",
                task_queue=BARE_QUEUE,
                start_delay=due_at - datetime.now(UTC),
            )

    async with asyncio.TaskGroup() as lanes:
        for _ in range(STARTS_AT_ONCE):
            lanes.create_task(lane())


ROWS = [
    Row(
        name="j1",
        title="J+1 wave, all due at once",
        unit="sends/s",
        size=2_000,
        target=140,
        trial=Trial(measure=wave, settings={"day_seconds": DAY_SECONDS, "followup_jitter_seconds": 0}),
        floor=Trial(
            measure=bare_wave,
            says="for reference: workflows with one empty activity",
            needs=frozenset({"engine"}),
        ),
    )
]
