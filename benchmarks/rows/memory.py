"""How much memory a worker takes while it launches a large campaign."""

import asyncio
import time

from benchmarks import shop as shops
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

WORKER = "worker-1"
ARMING_SECONDS = 60  # of arming alone after the launch; what is armed by then is said


async def remembered(platform: Platform, size: int) -> Measurement:
    """The whole launch with arming beside it, then a minute of arming; arming it to its end would show nothing else."""
    shop = await shops.make_shop(platform, contacts=size)
    with platform.window() as window:
        campaign_id = await shops.launch(platform, shop, followups=[1.0])
        launched_from = platform.sampler.now()
        await shops.until_accepted(platform, size)
        launched_by = platform.sampler.now()
        now = await shops.until_recorded(platform, shop, campaign_id, size)
        deadline = time.monotonic() + ARMING_SECONDS
        while now.armed < size and time.monotonic() < deadline:
            await asyncio.sleep(shops.ASK_SECONDS)
            now = await shops.progress(platform, shop, campaign_id)
            platform.progress("armed", now.armed)
    counts = await platform.stub.counts()
    platform.require(counts.distinct == size and counts.repeated == 0, "every contact got the message once")
    quarter = launched_from + (launched_by - launched_from) / 4
    return Measurement(
        value=platform.sampler.peaks()[WORKER],
        units=size,
        window=window,
        facts={
            "mb_at_a_quarter_of_the_launch": platform.sampler.memory_at(WORKER, quarter),
            "mb_at_its_end": platform.sampler.memory_at(WORKER, launched_by),
            "mb_at_the_end_of_the_trial": platform.sampler.memory_at(WORKER, platform.sampler.now()),
            "armed": now.armed,
        },
    )


ROWS = [
    Row(
        name="memory",
        title="worker memory during a launch",
        unit="MB",
        size=100_000,
        target=300,
        lower_is_better=True,
        most_rounds=1,
        trial=Trial(measure=remembered),
    )
]
