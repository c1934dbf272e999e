"""The short form of `make chaos`: a small campaign through a handful of faults. And the judge sees each falsehood."""

import tempfile
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.chaos.campaign import Plan, Played, play
from tests.chaos.faults import FAULTS
from tests.chaos.judge import Verdict, judge
from tests.chaos.place import Place, place
from tests.chaos.runner import engine_of

SEED = 20_261_121  # odd: e-mail by Resend, then Twilio, then WhatsApp
STRUCK = ("worker-kill", "provider-reset", "postgres-kill", "engine-kill")


class Over:
    """The campaign when it was over, and how to judge it."""

    def __init__(self, place: Place, played: Played, engine: Client) -> None:
        self.place, self.played, self.engine = place, played, engine

    async def verdict(self, tamper: Callable[[dict[str, Any]], None] = lambda stats: None) -> Verdict:
        """What the judge says when the simulator says something else."""
        stats = deepcopy(self.played.stats)
        tamper(stats)
        return await judge(self.place, replace(self.played, stats=stats), self.engine)


@pytest.fixture(scope="module")
async def over() -> AsyncIterator[Over]:
    plan = Plan(
        seed=SEED, contacts=120, faults=[FAULTS[name] for name in STRUCK], per_second=60, followups=(1, 2)
    )  # fmt: skip
    # outside pytest's own directories, which only their user may enter
    with tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as name:
        async with place(Path(name), day_seconds=6, deadline_seconds=6) as it:
            engine = await engine_of(it)
            yield Over(it, await play(it, plan, engine), engine)


class TestCampaign:
    async def test_nobody_is_lost_doubled_or_written_to_against_their_will(self, over: Over) -> None:
        verdict = await over.verdict()
        assert verdict.ok, verdict.as_json()
        assert verdict.accepted > 120

    async def test_every_fault_struck_while_messages_were_due(self, over: Over) -> None:
        assert [struck.name for struck in over.played.struck] == list(STRUCK)
        assert all(struck.recovered_seconds is not None for struck in over.played.struck[:-1])

    async def test_an_engine_that_dies_leaves_nothing_unknown(self, over: Over) -> None:
        assert [one for one in (await over.verdict()).unknown if one.fault == "engine-kill"] == []


class TestJudge:
    async def test_what_was_accepted_twice_is_named(self, over: Over) -> None:
        def twice(stats: dict[str, Any]) -> None:
            stats["accepted"][0]["count"] = 2

        verdict = await over.verdict(twice)
        assert not verdict.ok
        assert [one["message"] for one in verdict.duplicated] == [over.played.stats["accepted"][0]["reference"]]

    async def test_what_was_never_accepted_is_lost(self, over: Over) -> None:
        verdict = await over.verdict(lambda stats: stats["accepted"].clear())
        assert not verdict.ok
        assert len(verdict.lost) > 100
        assert all("never accepted" in one["why"] for one in verdict.lost)

    async def test_who_may_not_be_written_to_is_seen(self, over: Over) -> None:
        nobody = next(person for person in over.played.people if not person.allowed)

        def to_somebody_else(stats: dict[str, Any]) -> None:
            stats["accepted"][0]["recipient"] = nobody.phone

        verdict = await over.verdict(to_somebody_else)
        assert not verdict.ok
        assert [one["why"] for one in verdict.forbidden] == ["no consent"]

    async def test_what_relay_does_not_know_of_is_a_difference(self, over: Over) -> None:
        def unheard_of(stats: dict[str, Any]) -> None:
            entry = stats["accepted"][0]
            stats["accepted"].append({**entry, "reference": "01900000-0000-7000-8000-000000000000"})

        verdict = await over.verdict(unheard_of)
        assert not verdict.ok
        assert "no such message" in verdict.differences[0]
