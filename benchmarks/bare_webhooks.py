"""The floor of row `webhooks`: verify and insert, behind a bare HTTP server: `python -m benchmarks.bare_webhooks PORT`.

What it shares with the API is what the floor is about: the adapters' `verify`, the statement that inserts, its table,
and one insert for all who wait. It leaves out the rest: finding the sender, reading the report, its id and its row. The
rows are ready, of the usual size. Sender and database come as JSON on standard input.
"""

import asyncio
import sys
from typing import Any, cast
from uuid import UUID, uuid4

import httptools
import httpx
import orjson
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from app import garbage
from app.channels.base import Adapter, AdapterContext, WebhookRequest
from app.channels.registry import adapter_class
from app.db import connect_system, create_engine
from app.domain.status import Channel
from app.repositories import webhook_events

PROVIDERS = {Channel.WHATSAPP: "whatsapp_cloud", Channel.SMS: "twilio"}
MOST_ROWS = 500
STORED = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
EVENT = {
    "key": "wamid.HBgLMzUxOTEwMDAwMDAxFQIAERgSQjRGN0U2:delivered",
    "reference": "0199d1f2-7c3a-7d50-9c86-2f7a9d1b6e11",
    "provider_message_id": "wamid.HBgLMzUxOTEwMDAwMDAxFQIAERgSQjRGN0U2",
    "address": "+351910000001",
    "data": {"account": "300400500600700", "business_account": "200300400500600"},
}
PAYLOAD = {
    "id": "wamid.HBgLMzUxOTEwMDAwMDAxFQIAERgSQjRGN0U2",
    "status": "delivered",
    "timestamp": "1790000050",
    "recipient_id": "351910000001",
    "biz_opaque_callback_data": "0199d1f2-7c3a-7d50-9c86-2f7a9d1b6e11",
    "pricing": {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"},
}


class Inserter:
    """One insert after the other, each for everybody who waits when it begins."""

    def __init__(self, engine: AsyncEngine, columns: dict[str, Any]) -> None:
        self.engine = engine
        self.rest = orjson.dumps({**columns, "event": EVENT, "payload": PAYLOAD})[1:]
        self.waiting: list[asyncio.Transport] = []
        self.wake = asyncio.Event()

    def add(self, transport: asyncio.Transport) -> None:
        self.waiting.append(transport)
        self.wake.set()

    async def run(self) -> None:
        connection = await connect_system(self.engine)
        while True:
            await self.wake.wait()
            group, self.waiting = self.waiting[:MOST_ROWS], self.waiting[MOST_ROWS:]
            if not self.waiting:
                self.wake.clear()
            await webhook_events.add(connection, [b'{"id":"%b",' % str(uuid4()).encode() + self.rest for _ in group])
            for transport in group:
                transport.write(STORED)


class Server(asyncio.Protocol):
    def __init__(self, public_url: str, adapters: dict[bytes, Adapter], inserter: Inserter) -> None:
        self.public_url, self.adapters, self.inserter = public_url, adapters, inserter
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url, self.body = b"", b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        url = self.public_url + self.url.decode("latin-1")
        request = WebhookRequest(method="POST", url=url, headers=self.headers, query={}, body=self.body)
        self.adapters[self.url.split(b"/", 4)[3]].verify(request)
        self.inserter.add(self.transport)


async def serve(port: int, given: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient() as http:  # the adapters want one to send with; nothing is sent
        context = AdapterContext(base_url="", public_url=given["public_url"], settings_id=UUID(int=0), http=http)
        adapters = {
            channel.value.encode(): adapter_class(channel, provider)(given["credentials"][channel], context)
            for channel, provider in PROVIDERS.items()
        }
        inserter = Inserter(create_engine(given["database_url"], 1), given["columns"])
        await loop.create_server(lambda: Server(given["public_url"], adapters, inserter), "127.0.0.1", port)
        garbage.settle()
        await inserter.run()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), orjson.loads(sys.stdin.buffer.read())))
