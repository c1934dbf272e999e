"""`python -m tests.chaos`: campaigns through every fault until the time is up, or one campaign again from its seed."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from random import Random
from time import monotonic
from typing import Annotated

import typer
from loguru import logger

from tests.chaos import disk
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.report import Campaigns
from tests.chaos.runner import Length, perform
from tests.chaos.variants import variant_of

MOST_PER_CAMPAIGN = 8


def main(
    minutes: Annotated[float, typer.Option(help="No campaign begins after so many minutes.")] = 10,
    seed: Annotated[int | None, typer.Option(help="Play the one campaign with this seed again.")] = None,
    fault: Annotated[str, typer.Option(help="Only these faults, separated by commas, each time.")] = "",
    contacts: Annotated[int, typer.Option(help="Contacts of each campaign.", min=20)] = 5_000,
    out: Annotated[Path | None, typer.Option(help="Write chaos.json and chaos.md to this directory.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Write the table into this page, between its marks.")] = None,
) -> None:
    """Play campaigns while everything fails in turn, and compare what the simulator, the database and the API count."""
    chosen = _chosen(fault)
    if os.geteuid() != 0 and any(one.needs_small_disk for one in chosen):
        disk.enter_namespace(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is stopped first
    logger.remove()
    logger.add(sys.stderr, format="{time:HH:mm:ss} {message}", level="INFO")
    campaigns = Campaigns()
    problem = disk.why_impossible()
    if problem:
        campaigns.skipped = {one.name: problem for one in chosen if one.needs_small_disk}
        chosen = [one for one in chosen if not one.needs_small_disk]
    length = Length(contacts=contacts)
    try:
        asyncio.run(_loop(campaigns, chosen, length, seed=seed, until=monotonic() + minutes * 60))
    finally:
        if out is not None:
            campaigns.write(out)
        if docs is not None and campaigns.done:
            campaigns.publish(docs)
    typer.echo(campaigns.markdown())
    raise typer.Exit(0 if campaigns.ok and campaigns.done else 1)


def _chosen(names: str) -> list[Fault]:
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(FAULTS)
    for name in wanted:
        if name not in FAULTS:
            raise typer.BadParameter(f"no fault {name!r}: {', '.join(FAULTS)}", param_hint="--fault")
    return [FAULTS[name] for name in wanted]


async def _loop(campaigns: Campaigns, chosen: list[Fault], length: Length, *, seed: int | None, until: float) -> None:
    """Every fault in turn, as many in one campaign as it lasts for; from the beginning again while there is time."""
    turns: list[Fault] = []
    while not campaigns.done or (seed is None and monotonic() < until):
        this = seed if seed is not None else secrets.randbelow(2**31)
        if not turns:
            turns = list(chosen) if seed is not None else Random(this).sample(chosen, len(chosen))
        plan, small_disk = _next(turns)
        names = ",".join(one.name for one in plan)
        logger.info("{} contacts, {}", length.contacts, variant_of(this).name)
        logger.info("again: make chaos SEED={} FAULT={}", this, names)
        with tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as name:
            played, verdict = await perform(Path(name), this, plan, length, until=until, small_disk=small_disk)
        campaigns.done.append((played, verdict))
        done = {struck.name for struck in played.struck}
        turns = [one for one in turns if one.name not in done]
        words = "all counts agree" if verdict.ok else "DIFFERENCES"
        logger.info("over after {:.0f} s, {} unknown: {}", played.seconds, len(verdict.unknown), words)


def _next(turns: list[Fault]) -> tuple[list[Fault], bool]:
    """Up to so many faults that can be played together; those of a small disk have a place of their own."""
    small = turns[0].needs_small_disk
    return [one for one in turns if one.needs_small_disk is small][:MOST_PER_CAMPAIGN], small


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
