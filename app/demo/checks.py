"""Three counts of one campaign: the simulator's, the database's and the API's. They have to be the same."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from app.demo.cast import PROVIDERS
from app.demo.facts import Facts
from app.demo.reasons import unexplained
from app.demo.roster import Roster
from app.demo.story import Imported
from app.demo.watch import Engine
from app.domain.keywords import Keyword, classify
from app.domain.status import Channel, MessageStatus, RecipientState, StopReason, SuppressionReason
from app.models import Message

SENT = {MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ}
# What the simulator's people saw fail after the provider took it, per channel.
FAILURES = {Channel.WHATSAPP: ("failed",), Channel.SMS: ("failed",), Channel.EMAIL: ("bounced", "blocked", "dropped")}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Everything that is compared."""

    imported: Imported
    roster: Roster
    facts: Facts
    stats: Mapping[str, Any]  # GET /stats of the simulator
    campaign: Mapping[str, Any]  # GET /v1/campaigns/{id}
    overview: Mapping[str, Any]  # GET /v1/analytics/overview
    engine: Engine
    launched_at: datetime
    day: timedelta


def compare(sides: Sides) -> list[dict[str, str]]:
    """Every difference, with the check that found it; empty when all counts agree."""
    checks: dict[str, Iterator[str]] = {
        "import": _import(sides),
        "ledger": _ledger(sides),
        "providers": _providers(sides),
        "people": _people(sides),
        "purchases": _purchases(sides),
        "opt-outs": _opt_outs(sides),
        "reasons": unexplained(sides.roster, sides.facts),
        "api": _api(sides),
        "engine": _engine(sides),
    }
    return [{"check": name, "detail": detail} for name, found in checks.items() for detail in found]


def _differ(what: str, **counted: object) -> Iterator[str]:
    """One sentence when the values are not all the same."""
    if len({str(value) for value in counted.values()}) > 1:
        yield f"{what}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items())


def _import(sides: Sides) -> Iterator[str]:
    counts, facts = sides.imported.counts, sides.facts
    yield from sides.roster.differences
    yield from _differ("rows", file=sides.roster.rows, verdicts=len(sides.imported.verdicts), counted=counts["rows"])
    told = Counter(row["verdict"] for row in sides.imported.verdicts.values())
    for verdict in ("created", "updated", "merged", "rejected"):
        yield from _differ(f"rows {verdict}", verdicts=told[verdict], counted=counts[verdict])
    yield from _differ("contacts", file=len(sides.roster.people), database=len(facts.contacts))
    yield from _differ("audience", contacts=len(facts.contacts), recipients=len(facts.recipients))
    for channel, address in sides.roster.refused - facts.suppressions.keys():
        yield f"{address} said no to {channel} in the file and is not suppressed"


def _ledger(sides: Sides) -> Iterator[str]:
    """Each acceptance has its row and each row its one acceptance, by reference."""
    rows = {str(message.id): message for message in sides.facts.sent}
    seen: set[str] = set()
    for entry in sides.stats["accepted"]:
        reference, row = entry["reference"], rows.get(entry["reference"])
        about = f"{entry['provider']} to {entry['recipient']} ({reference or 'no reference'})"
        if entry["count"] != 1:
            yield f"{about}: accepted {entry['count']} times"
        if row is None:
            yield f"{about}: accepted, but no such message"
            continue
        seen.add(reference)
        if (row.provider, row.address) != (entry["provider"], entry["recipient"]):
            yield f"{about}: the message says {row.provider} to {row.address}"
        if row.sent_at is None or row.status not in {*SENT, MessageStatus.FAILED}:
            yield f"{about}: accepted, but the message is {row.status}"
        if not any(id.partition(".recvd-")[0] == row.provider_message_id for id in entry["message_ids"]):
            yield f"{about}: accepted as {entry['message_ids'][0]}, but the message has {row.provider_message_id!r}"
    for reference, row in rows.items():
        if (row.sent_at is not None or row.status in SENT) and reference not in seen:
            yield f"{row.provider} to {row.address} ({reference}): the message is {row.status}, but was never accepted"
    keys = Counter((row.contact_id, row.step, row.channel) for row in rows.values())
    for (contact_id, step, channel), number in keys.items():
        if number > 1:
            yield f"contact {contact_id}: {number} messages for step {step} over {channel}"


def _providers(sides: Sides) -> Iterator[str]:
    accepted = Counter(message.provider for message in sides.facts.accepted)
    refused = Counter(
        (message.provider, message.error_code)
        for message in sides.facts.sent
        if message.status is MessageStatus.FAILED and message.sent_at is None
    )
    for provider in PROVIDERS.values():
        totals = sides.stats["totals"][provider]
        yield from _differ(f"{provider} accepted", simulator=totals["accepted"], database=accepted[provider])
        codes = {code for name, code in refused if name == provider} | totals["rejected"].keys()
        for code in sorted(codes):
            told = totals["rejected"].get(code, 0)
            yield from _differ(f"{provider} refused with {code}", simulator=told, database=refused[provider, code])
    yield from _differ("accepted twice", simulator=sides.stats["duplicates"], expected=0)
    yield from _differ("webhooks given up", simulator=sides.stats["webhooks"]["dropped"], expected=0)


def _people(sides: Sides) -> Iterator[str]:
    """What people did is what the messages say they did."""
    for channel in Channel:
        did = sides.stats["people_by_channel"].get(channel.value, {})
        sent = [message for message in sides.facts.accepted if message.channel is channel]
        received = [message for message in sides.facts.received if message.channel is channel]
        stops = [message for message in received if _says_stop(message)]
        for effect, number in (
            ("delivered", sum(message.delivered_at is not None for message in sent)),
            ("read", sum(message.read_at is not None for message in sent)),
            ("clicked", sum(message.clicked_at is not None for message in sent)),
            ("replied", len(received) - len(stops)),
            ("stopped", len(stops)),
        ):
            yield from _differ(f"{channel} {effect}", simulator=did.get(effect, 0), database=number)
        failed = sum(did.get(effect, 0) for effect in FAILURES[channel])
        in_rows = sum(message.status is MessageStatus.FAILED for message in sent)
        yield from _differ(f"{channel} failed after acceptance", simulator=failed, database=in_rows)
    bounced = {
        message.address
        for message in sides.facts.accepted
        if message.channel is Channel.EMAIL and message.error_code == "5.1.1"
    }
    kept = {
        address
        for (channel, address), row in sides.facts.suppressions.items()
        if channel is Channel.EMAIL and row.reason is SuppressionReason.BOUNCE
    }
    yield from _differ("bounced addresses", messages=sorted(bounced - kept), suppressed=sorted(kept - bounced))
    writers = {message.contact_id for message in sides.facts.received if not _says_stop(message)}
    replied = {row.contact_id for row in sides.facts.recipients.values() if row.replied_at is not None}
    yield from _differ("people who replied", wrote=len(writers), recipients=len(replied), both=len(writers & replied))


def _says_stop(message: Message) -> bool:
    return classify(str(message.payload_json.get("text", ""))) is Keyword.STOP


def _purchases(sides: Sides) -> Iterator[str]:
    conversions = sides.facts.conversions
    yield from _differ("purchases", simulator=sides.stats["people"].get("bought", 0), database=len(conversions))
    spent: Counter[str] = Counter()
    for conversion in conversions:
        spent[conversion.currency] += conversion.amount  # type: ignore[assignment]  # Counter adds Decimals as well
    for currency in sorted(spent.keys() | sides.stats["spent"].keys()):
        told = Decimal(sides.stats["spent"].get(currency, "0"))
        yield from _differ(
            f"spent in {currency}", simulator=f"{told:.2f}", database=f"{Decimal(spent[currency]):.2f}",
            api=f"{Decimal(sides.overview['total']['revenue'].get(currency, '0')):.2f}",
        )  # fmt: skip
    uncredited = sum(conversion.message_id is None for conversion in conversions)
    yield from _differ("purchases credited to no message", database=uncredited, expected=0)
    buyers = {conversion.contact_id for conversion in conversions}
    converted = {row.contact_id for row in sides.facts.recipients.values() if row.converted_at is not None}
    yield from _differ("people who bought", conversions=len(buyers), recipients=len(converted & buyers))


def _opt_outs(sides: Sides) -> Iterator[str]:
    """Counted as people did it, and nobody was written to afterwards."""
    facts = sides.facts
    late = [
        event
        for event in chain.from_iterable(facts.events_of.values())
        if event.kind == "opted_out" and event.created_at > sides.launched_at
    ]
    for channel in Channel:
        did = sides.stats["people_by_channel"].get(channel.value, {})
        told = did.get("stopped", 0) + did.get("unsubscribed", 0) + did.get("complained", 0)
        number = sum(event.source.value == channel.value for event in late)
        yield from _differ(f"{channel} opt-outs", simulator=told, database=number)
    out_since = {event.contact_id: event.created_at for event in late}
    for message in facts.sent:
        since = out_since.get(message.contact_id)
        # What was under way at that moment may have left; a day later nothing may.
        if since is not None and message.created_at > since + sides.day:
            yield f"contact {message.contact_id} opted out and got step {message.step} over {message.channel}"
    stopped = {row.contact_id for row in facts.recipients.values() if row.stop_reason is not None}
    for contact_id in out_since.keys() - stopped:
        yield f"contact {contact_id} opted out, but its sequence was not stopped"


def _api(sides: Sides) -> Iterator[str]:
    """The API's counts are those of the rows."""
    facts, counts = sides.facts, sides.campaign["counts"]
    rows = facts.recipients.values()
    skipped = [row for row in rows if row.state is RecipientState.SKIPPED]
    expected = {
        **message_counts(facts.sent),
        "recipients": len(rows),
        "replied": sum(row.replied_at is not None for row in rows),
        "converted": sum(row.converted_at is not None for row in rows),
        "opted_out": sum(row.stop_reason is StopReason.OPTED_OUT for row in rows),
        "skipped": len(skipped),
        "held": 0,
        "queued": 0,
        "unknown": 0,
        "armed": sum(row.armed_at is not None for row in rows),
    }
    for name, number in expected.items():
        yield from _differ(f"campaign {name}", api=counts[name], database=number)
    reasons = Counter(row.reason for row in skipped)
    for reason in sorted(reasons.keys() | sides.campaign["skipped_by_reason"].keys()):
        told = sides.campaign["skipped_by_reason"].get(reason, 0)
        yield from _differ(f"skipped for {reason}", api=told, database=reasons[reason])
    for field, key in (("by_channel", "channel"), ("by_step", "step")):
        for name in sorted({str(getattr(message, key)) for message in facts.sent}):
            of = message_counts([message for message in facts.sent if str(getattr(message, key)) == name])
            told_here = sides.campaign[field].get(name, {})
            for count, number in of.items():
                yield from _differ(f"{field} {name} {count}", api=told_here.get(count, 0), database=number)
    for name in ("sent", "delivered", "read", "clicked", "failed"):
        yield from _differ(f"overview {name}", api=sides.overview["total"][name], database=expected[name])
    yield from _differ(
        "overview conversions", api=sides.overview["total"]["conversions"], database=len(facts.conversions)
    )


def message_counts(messages: list[Message]) -> dict[str, int]:
    """Counted as the API documents it: sent is accepted, whatever came afterwards."""
    return {
        "sent": sum(message.sent_at is not None for message in messages),
        "delivered": sum(message.delivered_at is not None for message in messages),
        "read": sum(message.read_at is not None for message in messages),
        "clicked": sum(message.clicked_at is not None for message in messages),
        "failed": sum(message.status is MessageStatus.FAILED for message in messages),
    }


def _engine(sides: Sides) -> Iterator[str]:
    yield from _differ("workflows that failed or were ended", engine=sides.engine.other, expected=0)
    armed = sum(row.armed_at is not None for row in sides.facts.recipients.values())
    if sides.engine.completed < armed:
        yield f"{armed} sequences were armed, but only {sides.engine.completed} workflows ran to their end"
