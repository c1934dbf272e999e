"""The result: tables for people, JSON for programs."""

from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from app.demo.checks import Sides, message_counts
from app.demo.facts import Facts
from app.demo.story import CHANNELS, FOLLOWUPS
from app.domain.status import Channel

COLUMNS = ("sent", "delivered", "read", "clicked", "replied", "failed", "skipped", "opted_out", "bought")
STEPS = ("J+0", *(f"J+{days}" for days, _ in FOLLOWUPS))
DIFFERENCES_SHOWN = 20


def summarize(sides: Sides) -> dict[str, Any]:
    """The numbers of the report. `skipped` counts people who got nothing at all, by the reason of their first channel;
    per channel and step it counts the gate's refusals."""
    facts, people = sides.facts, sides.stats["people_by_channel"]
    refusals = [one for decisions in facts.decisions.values() for one in decisions if one.verdict == "skip"]
    credited = {message.id: message for message in facts.sent}
    bought = Counter(credited[one.message_id].channel for one in facts.conversions if one.message_id in credited)
    bought_after = Counter(credited[one.message_id].step for one in facts.conversions if one.message_id in credited)
    channels: dict[str, dict[str, int]] = {}
    for channel in map(Channel, CHANNELS):
        did = people.get(channel.value, {})
        channels[channel.value] = {
            **message_counts([message for message in facts.sent if message.channel is channel]),
            "replied": sum(m.replied_at is not None for m in facts.sent if m.channel is channel),
            "skipped": sum(one.channel is channel for one in refusals),
            "opted_out": did.get("stopped", 0) + did.get("unsubscribed", 0),
            "bought": bought[channel],
        }
    steps: dict[str, dict[str, int]] = {}
    for position, name in enumerate(STEPS):
        steps[name] = {
            **message_counts([message for message in facts.sent if message.step == position]),
            "replied": sum(m.replied_at is not None for m in facts.sent if m.step == position),
            "skipped": sum(one.step == position for one in refusals),
            "bought": bought_after[position],
        }
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for one in facts.conversions:
        revenue[one.currency] += one.amount
    return {
        "contacts": sides.roster.rows,
        "import": dict(sides.imported.counts),
        "recipients": len(facts.recipients),
        "reached": len({message.contact_id for message in facts.accepted}),
        "channels": channels,
        "steps": steps,
        "skipped": dict(_skipped(facts).most_common()),
        "refusals": dict(Counter(one.reason for one in refusals).most_common()),
        "ended": dict(Counter(str(row.stop_reason or row.state) for row in facts.recipients.values()).most_common()),
        "revenue": {currency: f"{amount:.2f}" for currency, amount in revenue.items()},
        "simulator": {
            "totals": sides.stats["totals"],
            "people": sides.stats["people"],
            "people_by_channel": people,
            "spent": sides.stats["spent"],
            "webhooks": sides.stats["webhooks"],
            "duplicates": sides.stats["duplicates"],
        },
    }


def _skipped(facts: Facts) -> Counter[str]:
    reached = {message.contact_id for message in facts.accepted}
    reasons: Counter[str] = Counter()
    for contact_id in facts.recipients.keys() - reached:
        decisions = sorted(facts.decisions[contact_id], key=lambda one: (one.created_at, one.id))
        tried = any(one.verdict == "send" for one in decisions)
        reasons["failed_on_every_channel" if tried else decisions[0].reason if decisions else "undecided"] += 1
    return reasons


def write(path: Path, report: dict[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    draft.replace(path)


def show(console: Console, report: dict[str, Any]) -> None:
    console.print()
    console.print(_table("Channel", report["channels"], COLUMNS))
    console.print(_table("Step", report["steps"], [name for name in COLUMNS if name != "opted_out"]))
    reasons = Table("Got nothing because", "people", title="Skipped", title_justify="left")
    for reason, number in report["skipped"].items():
        reasons.add_row(reason.replace("_", " "), f"{number:,}")
    console.print(reasons)
    differences = report["differences"]
    for difference in differences[:DIFFERENCES_SHOWN]:
        console.print(f"DIFFERENCE  {difference['check']}: {difference['detail']}", markup=False, soft_wrap=True)
    if len(differences) > DIFFERENCES_SHOWN:
        console.print(f"and {len(differences) - DIFFERENCES_SHOWN} more differences, see the report")


def _table(name: str, rows: dict[str, dict[str, int]], columns: tuple[str, ...] | list[str]) -> Table:
    table = Table(name, *(column.replace("_", " ") for column in columns), title=f"Per {name.lower()}")
    table.title_justify = "left"
    for column in table.columns[1:]:
        column.justify = "right"
    for label, counts in rows.items():
        table.add_row(label, *(f"{counts[column]:,}" for column in columns))
    return table
