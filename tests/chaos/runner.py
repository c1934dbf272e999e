"""One campaign in a place of its own, and what is to be said of it."""

from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from app import temporal
from app.settings import Settings
from tests.chaos.campaign import Plan, Played, play
from tests.chaos.faults import Fault
from tests.chaos.judge import Verdict, judge
from tests.chaos.place import Place, place


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a campaign is: that of `make chaos` unless said."""

    contacts: int = 5_000
    day_seconds: int = 15
    deadline_seconds: int = 30
    per_second: int = 300
    followups: tuple[float, ...] = (1, 3)


async def perform(
    directory: Path,
    seed: int,
    faults: list[Fault],
    length: Length,
    *,
    until: float = float("inf"),
    small_disk: bool = False,
) -> tuple[Played, Verdict]:
    plan = Plan(
        seed=seed, contacts=length.contacts, faults=faults, per_second=length.per_second, followups=length.followups,
        until=until,
    )  # fmt: skip
    async with place(
        directory, day_seconds=length.day_seconds, deadline_seconds=length.deadline_seconds, small_disk=small_disk
    ) as it:
        engine = await engine_of(it)
        played = await play(it, plan, engine)
        return played, await judge(it, played, engine)


async def engine_of(place: Place) -> Client:
    address = f"127.0.0.1:{place.product.environment['RELAY_TEMPORAL_PORT']}"
    return await temporal.connect(Settings(_env_file=None, temporal_address=address))
