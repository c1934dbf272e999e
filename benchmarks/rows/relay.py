"""The relay: from stored provider reports to projections and signals, and how far it lags behind a steady stream."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson
from psycopg import AsyncConnection
from sqlalchemy import TextClause, text

from app.db import connect_system
from app.repositories import webhook_events
from benchmarks.figures import percentile
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform
from benchmarks.shop import Shop, launch, make_shop, until_accepted, until_armed

REPORTS_EACH = 3  # of one message, at most
READ, REPLIES, STOPS, FAILS = 0.70, 0.05, 0.03, 0.02  # shares of the people, who do one of the last three
GROUP = 500
POLL_SECONDS = 0.1
STREAM_PER_SECOND, STREAM_SECONDS, STREAM_TICK = 500, 10, 0.02
MESSAGES = text("SELECT id, address FROM messages WHERE campaign_id = :id AND sent_at IS NOT NULL ORDER BY id")
WAITING = text("SELECT EXISTS (SELECT FROM webhook_events WHERE processed_at IS NULL)")
STATES = text("SELECT status, count(*) FROM messages WHERE campaign_id = :id AND direction = 'out' GROUP BY status")
STOPPED = text(
    "SELECT stop_reason, count(*) FROM campaign_recipients "
    "WHERE campaign_id = :id AND stop_reason IS NOT NULL GROUP BY stop_reason"
)
LAGS = text(
    "SELECT extract(epoch FROM processed_at - created_at)::float8 FROM webhook_events WHERE created_at > :since"
)


@dataclass(frozen=True)
class Reporter:
    """Makes reports as the intake stores them."""

    shop: Shop

    def status(self, kind: str, reference: UUID) -> bytes:
        fields = {"reference": str(reference), "provider_message_id": f"wamid.{reference}"}
        failure = {"error_code": "131026", "error_detail": "Message undeliverable"} if kind == "failed" else {}
        return self._row(kind, {**fields, **failure})

    def written(self, address: str, words: str) -> bytes:
        id = f"wamid.IN{uuid4().hex}"
        return self._row(
            "inbound", {"provider_message_id": id, "address": address, "message_type": "text", "text": words}
        )

    def _row(self, kind: str, fields: dict[str, Any]) -> bytes:
        id = uuid4()
        return orjson.dumps(
            {
                "id": id,
                "tenant_id": self.shop.tenant.id,
                "settings_id": self.shop.sender_id,
                "channel": "whatsapp",
                "provider": "whatsapp_cloud",
                "kind": kind,
                "event": {"key": str(id), **fields},
                "payload": {},
                "occurred_at": datetime.now(UTC),
            }
        )


async def mixed(platform: Platform, size: int) -> Measurement:
    """Statuses, replies, STOPs and failures of people whose sequences are armed."""
    shop, campaign_id, messages = await _sent(platform, size // REPORTS_EACH, followups=(1,))
    reporter, chance, people = Reporter(shop), random.Random(1), Counter[str]()  # noqa: S311 - the same every round
    rows: list[bytes] = []
    for reference, address in messages:
        kinds = ["sent", "delivered"]
        match chance.random():
            case draw if draw < REPLIES:
                people["replied"] += 1
                rows.append(reporter.written(address, "Is it still there?"))
            case draw if draw < REPLIES + STOPS:
                people["opted_out"] += 1
                rows.append(reporter.written(address, "STOP"))
            case draw if draw < REPLIES + STOPS + FAILS:
                people["failed"] += 1
                kinds = ["failed"]
            case draw if draw < REPLIES + STOPS + FAILS + READ:
                kinds.append("read")
        rows += [reporter.status(kind, reference) for kind in kinds]
    chance.shuffle(rows)
    measured = await _relayed(platform, rows)
    states = await _counts(platform, shop, STATES, campaign_id)
    stopped = await _counts(platform, shop, STOPPED, campaign_id)
    platform.require("sent" not in states, f"every status is projected: {states}")
    platform.require(states.get("failed", 0) == people["failed"], f"every failure is projected: {states}")
    stops = {reason: people[reason] for reason in ("replied", "opted_out") if people[reason]}
    platform.require(stopped == stops, f"everybody who wrote is stopped: {stopped}, {stops}")
    return measured


async def statuses(platform: Platform, size: int) -> Measurement:
    """Statuses alone; then the lag while they come at a steady pace."""
    shop, campaign_id, messages = await _sent(platform, size // REPORTS_EACH)
    reporter = Reporter(shop)
    rows = [reporter.status(kind, id) for id, _ in messages for kind in ("sent", "delivered", "read")]
    random.Random(1).shuffle(rows)  # noqa: S311
    measured = await _relayed(platform, rows)
    states = await _counts(platform, shop, STATES, campaign_id)
    platform.require(states == {"read": len(messages)}, f"every message is read: {states}")
    lags = await _lags(platform, shop, reporter, [id for id, _ in messages])
    facts = {f"lag_{name}_ms_at_{STREAM_PER_SECOND}_per_second": value for name, value in lags.items()}
    return Measurement(value=measured.value, units=measured.units, window=measured.window, facts=facts)


async def _sent(
    platform: Platform, people: int, followups: Sequence[float] = ()
) -> tuple[Shop, UUID, list[tuple[UUID, str]]]:
    """A campaign that went out to so many, with their sequences armed: its messages."""
    shop = await make_shop(platform, contacts=people)
    campaign_id = await launch(platform, shop, followups=followups)
    await until_accepted(platform, people)
    if followups:
        await until_armed(platform, shop, campaign_id, people)
    while True:
        async with platform.sessions.begin(shop.tenant.id) as session:
            messages = (await session.execute(MESSAGES, {"id": campaign_id})).tuples().all()
        if len(messages) == people:
            return shop, campaign_id, list(messages)
        await asyncio.sleep(POLL_SECONDS)


async def _counts(platform: Platform, shop: Shop, query: TextClause, campaign_id: UUID) -> dict[str, int]:
    async with platform.sessions.begin(shop.tenant.id) as session:
        return {row[0]: row[1] for row in await session.execute(query, {"id": campaign_id})}


async def _relayed(platform: Platform, rows: Sequence[bytes]) -> Measurement:
    """All of them become visible to the relay at once."""
    connection = await connect_system(platform.sessions.engine)
    async with connection:
        async with connection.transaction():
            for start in range(0, len(rows), GROUP):
                await webhook_events.add(connection, rows[start : start + GROUP])
        with platform.window() as window:
            await _until_processed(platform)
    return Measurement(value=len(rows) / window.seconds, units=len(rows), window=window)


async def _until_processed(platform: Platform) -> None:
    waiting = True
    while waiting:
        await asyncio.sleep(POLL_SECONDS)
        async with platform.sessions.system() as session:
            waiting = bool((await session.execute(WAITING)).scalar_one())


async def _lags(platform: Platform, shop: Shop, reporter: Reporter, ids: Sequence[UUID]) -> dict[str, float]:
    """From stored to processed, while reports trickle in."""
    since = datetime.now(UTC)
    connection = await connect_system(platform.sessions.engine)
    async with connection:
        await _stream(connection, partial(reporter.status, "read"), ids)
    await _until_processed(platform)
    async with platform.sessions.begin(shop.tenant.id) as session:
        lags = list((await session.execute(LAGS, {"since": since})).scalars())
    platform.require(len(lags) == STREAM_PER_SECOND * STREAM_SECONDS, "every report of the stream is stored")
    return {f"p{share}": round(percentile(lags, share / 100) * 1_000, 1) for share in (50, 99)}


async def _stream(connection: AsyncConnection, make: Any, ids: Sequence[UUID]) -> None:
    each = int(STREAM_PER_SECOND * STREAM_TICK)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for tick in range(int(STREAM_SECONDS / STREAM_TICK)):
        await asyncio.sleep(began + tick * STREAM_TICK - loop.time())
        await webhook_events.add(connection, [make(ids[(tick * each + n) % len(ids)]) for n in range(each)])


ROWS = [
    Row(
        name="relay",
        title="relay: stored report to projected and signalled",
        unit="reports/s",
        size=9_000,
        target=1_500,
        trial=Trial(measure=mixed, says="statuses, replies, STOPs and failures; sequences armed"),
    ),
    Row(
        name="relay_statuses",
        title="relay: statuses alone",
        unit="reports/s",
        size=30_000,
        target=1_500,
        trial=Trial(measure=statuses),
    ),
]
