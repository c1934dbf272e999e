"""The smallest workflow that does anything: one empty activity."""

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

STEP = "bench_step"


class BareActivities:
    """Counts its calls down; `done` once all came."""

    def __init__(self, expected: int) -> None:
        self.left, self.done = expected, asyncio.Event()

    @activity.defn(name=STEP)
    async def step(self, number: int) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


@workflow.defn(name="bench_bare")
class BareWorkflow:
    @workflow.run
    async def run(self, number: int) -> None:
        await workflow.execute_activity(STEP, number, start_to_close_timeout=timedelta(seconds=30))
