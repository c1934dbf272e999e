"""Two workers on one sender at 80 messages a second: how much of it they use, and that no second sees more."""

from collections import deque
from collections.abc import Sequence

from benchmarks import shop as shops
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

PER_SECOND = 80


async def shared(platform: Platform, size: int) -> Measurement:
    """The instants are the provider's: each lies between the departure of a message and its answer."""
    shop = await shops.make_shop(platform, contacts=size, per_second=PER_SECOND)
    with platform.window() as window:
        campaign_id = await shops.launch(platform, shop)
        await shops.until_accepted(platform, size)
    await shops.until_recorded(platform, shop, campaign_id, size)
    counts = await platform.stub.counts()
    platform.require(counts.distinct == size and counts.repeated == 0, "every contact got the message once")
    times = sorted((await platform.stub.accepted_at()).values())
    most = most_in_a_second(times)
    platform.require(most <= PER_SECOND, f"no second saw more than {PER_SECOND}, but one saw {most}")
    use = (size - 1) / (times[-1] - times[0]) / PER_SECOND
    return Measurement(value=use * 100, units=size, window=window, facts={"most_in_any_second": most})


def most_in_a_second(times: Sequence[float]) -> int:
    """Of ascending times, wherever the second begins."""
    most, last_second = 0, deque[float]()
    for at in times:
        last_second.append(at)
        while last_second[0] <= at - 1:
            last_second.popleft()
        most = max(most, len(last_second))
    return most


ROWS = [
    Row(
        name="limits",
        title="use of 80 messages/s by two workers, none above it",
        unit="%",
        size=32 * PER_SECOND,
        target=95,
        trial=Trial(measure=shared, workers=2),
    )
]
