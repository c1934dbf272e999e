"""From the launch of a campaign to the last message of J+0 that the provider accepted."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import orjson
import psycopg
from sqlalchemy import text

from activities.outbox import CHUNK
from app.ids import new_id
from benchmarks import shop as shops
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform
from workflows.campaign import SEND_LANES

_TABLE = """
    CREATE TABLE bench_outbox (
        id uuid PRIMARY KEY, contact_id uuid NOT NULL, recipient text NOT NULL, status text NOT NULL,
        provider_message_id text, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
        sent_at timestamptz
    )
"""
_CLAIM = """
    INSERT INTO bench_outbox (id, contact_id, recipient, status, payload)
    SELECT *, 'sending', '{"code": "SPRING"}' FROM unnest(%s::uuid[], %s::uuid[], %s::text[])
"""
_RECORD = """
    UPDATE bench_outbox SET status = 'sent', provider_message_id = given.answer, sent_at = now()
    FROM unnest(%s::uuid[], %s::text[]) AS given(id, answer) WHERE bench_outbox.id = given.id
"""
Contact = tuple[UUID, str]


async def launched(platform: Platform, size: int) -> Measurement:
    """A campaign with one follow-up, so that the arming lane runs beside the launch, as it does in life."""
    shop = await shops.make_shop(platform, contacts=size)
    began = datetime.now(UTC)
    with platform.window() as window:
        campaign_id = await shops.launch(platform, shop, followups=[1.0])
        await shops.until_accepted(platform, size)
    now = await shops.until_recorded(platform, shop, campaign_id, size)
    counts = await platform.stub.counts()
    platform.require(now.sent == counts.distinct == size, "every contact got the message, and the database says so")
    platform.require(counts.repeated == 0, "nobody got it twice")
    assert now.last_sent_at is not None, "all are sent"
    seconds = (now.last_sent_at - began).total_seconds()
    return Measurement(value=size / seconds, units=size, window=window, facts={"armed_meanwhile": now.armed})


async def plain_loop(platform: Platform, size: int) -> Measurement:
    """As many lanes of as large chunks: one bulk insert and one bulk update each, no gate, no engine, no recipients."""
    shop = await shops.make_shop(platform, contacts=size)
    async with platform.sessions.begin(shop.tenant.id) as session:
        found = (await session.execute(text("SELECT id, phone FROM contacts ORDER BY id"))).all()
    contacts: list[Contact] = [(row[0], row[1]) for row in found]
    chunks = iter([contacts[at : at + CHUNK] for at in range(0, size, CHUNK)])
    async with await psycopg.AsyncConnection.connect(platform.database_url, autocommit=True) as connection:
        await connection.execute(_TABLE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def lane() -> None:
            async with await psycopg.AsyncConnection.connect(platform.database_url, autocommit=True) as connection:
                for chunk in chunks:
                    await _send(platform, http, connection, chunk)

        with platform.window() as window:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(SEND_LANES):
                    lanes.create_task(lane())
    counts = await platform.stub.counts()
    platform.require(counts.distinct == size and counts.repeated == 0, "every contact got the message once")
    return Measurement(value=size / window.seconds, units=size, window=window)


async def _send(
    platform: Platform,
    http: aiohttp.ClientSession,
    connection: psycopg.AsyncConnection,
    chunk: Sequence[Contact],
) -> None:
    ids = [new_id() for _ in chunk]
    await connection.execute(_CLAIM, [ids, [id for id, _ in chunk], [phone for _, phone in chunk]])
    url = f"{platform.stub.url}/v23.0/{shops.CREDENTIALS['phone_number_id']}/messages"
    headers = {"Authorization": f"Bearer {shops.CREDENTIALS['access_token']}", "Content-Type": "application/json"}

    async def post(id: UUID, phone: str) -> str:
        async with http.post(url, data=_body(id, phone), headers=headers) as answer:
            answer.raise_for_status()
            return str(orjson.loads(await answer.read())["messages"][0]["id"])

    answers = await asyncio.gather(*(post(id, phone) for id, (_, phone) in zip(ids, chunk, strict=True)))
    await connection.execute(_RECORD, [ids, list(answers)])


def _body(id: UUID, phone: str) -> bytes:
    """What the adapter sends for the template of the shop."""
    parameters = [{"type": "text", "text": "Ana"}, {"type": "text", "text": "SPRING"}]
    return orjson.dumps(
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": phone.removeprefix("+"),
            "type": "template",
            "template": {
                "name": "spring_offer",
                "language": {"code": "en_US"},
                "components": [{"type": "body", "parameters": parameters}],
            },
            "biz_opaque_callback_data": str(id),
        }
    )


ROWS = [
    Row(
        name="launch",
        title="campaign launch to last J+0 accepted",
        unit="messages/s",
        size=5_000,
        target=2_500,
        trial=Trial(measure=launched),
        floor=Trial(
            measure=plain_loop,
            says="aiohttp, one bulk insert and update per 100, no gate, no engine",
            needs=frozenset({"stub"}),
        ),
        floor_share=0.45,
    )
]
