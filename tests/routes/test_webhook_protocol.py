import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select
from sqlmodel import col

from app.channels.http import provider_client
from app.db import Sessions
from app.domain.status import Channel
from app.models import ChannelSetting, Tenant, WebhookEvent
from app.secrets import Vault
from app.services.senders import Senders
from app.services.webhooks import WebhookIntake
from app.settings import Settings
from tests import factories, providers
from tests.providers import Post
from tests.routes.webhook_server import get_to_know, serving_webhooks, webhook_app


class Known:
    """A sender that the process knows, and what is stored for it."""

    def __init__(self, intake: WebhookIntake, sessions: Sessions, setting: ChannelSetting) -> None:
        self.intake, self.sessions, self.setting = intake, sessions, setting

    def report(self, name: str = "x") -> Post:
        value = providers.whatsapp_value(self.setting.account, statuses=[providers.whatsapp_status(name, "sent")])
        return providers.whatsapp_post(self.setting.id, value)

    async def stored(self) -> list[str]:
        async with self.sessions.begin(self.setting.tenant_id) as session:
            query = select(WebhookEvent).order_by(col(WebhookEvent.created_at))
            return [row.event_json["reference"] for row in (await session.execute(query)).scalars()]


@pytest.fixture
async def known(sessions: Sessions, tenant: Tenant, settings: Settings) -> AsyncIterator[Known]:
    client, vault = provider_client(concurrency=1, timeout_seconds=1), Vault(settings.keys)
    async with WebhookIntake(sessions, Senders(settings, client, vault)) as intake:
        async with sessions.begin(tenant.id) as session:
            setting = await factories.make_channel_setting(
                session, tenant.id, vault, Channel.WHATSAPP, "whatsapp_cloud", providers.whatsapp_credentials()
            )
        await get_to_know(intake, setting)
        yield Known(intake, sessions, setting)
    await client.aclose()


@asynccontextmanager
async def connected(base_url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base_url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


def raw(post: Post, *, version: str = "1.1", **more: str) -> bytes:
    headers = {"host": "relay.test", "content-length": str(len(post.body)), **post.headers, **more}
    lines = [f"POST {post.path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + post.body


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(10):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


class TestTheShortWay:
    async def test_a_known_sender_is_answered_without_the_application(self, known: Known) -> None:
        app = webhook_app(known.intake, routes=False)
        async with serving_webhooks(app) as base_url, httpx.AsyncClient(base_url=base_url) as http:
            post = known.report()
            answered = await http.post(post.path, content=post.body, headers=post.headers)
            assert (answered.status_code, answered.content) == (200, b"")
            assert answered.headers["server"] == "uvicorn"
        assert await known.stored() == ["x"]

    async def test_everything_else_is_left_to_the_application(self, known: Known) -> None:
        app = webhook_app(known.intake, routes=False)
        post = known.report()
        long = Post(post.path, b" " * 70_000, post.headers)
        forged = Post(post.path, post.body + b" ", post.headers)
        unknown = Post(f"/v1/webhooks/whatsapp/{uuid4()}", post.body, post.headers)
        unaddressed = Post("/v1/webhooks/whatsapp", post.body, post.headers)
        nothing = Post(post.path + "?", post.body, post.headers)
        async with serving_webhooks(app) as base_url, httpx.AsyncClient(base_url=base_url) as http:
            for other in (long, forged, unknown, unaddressed, nothing):
                answered = await http.post(other.path, content=other.body, headers=other.headers)
                assert answered.status_code == 404, other.path  # there are no routes
            assert (await http.get(post.path)).status_code == 404
        assert await known.stored() == []

    async def test_what_cannot_be_stored_now_is_to_be_delivered_again(self, known: Known) -> None:
        async with (
            serving_webhooks(webhook_app(known.intake)) as base_url,
            httpx.AsyncClient(base_url=base_url) as http,
        ):
            await known.intake.__aexit__(None, None, None)
            post = known.report()
            answered = await http.post(post.path, content=post.body, headers=post.headers)
            assert (answered.status_code, answered.json()["code"]) == (503, "not_stored")
            assert answered.headers["content-type"] == "application/problem+json"


class TestConnections:
    async def test_requests_sent_ahead_are_answered_in_their_order(self, known: Known) -> None:
        async with serving_webhooks(webhook_app(known.intake)) as base_url, connected(base_url) as (reader, writer):
            forged = Post(known.report().path, b"{}", {})
            writer.write(raw(known.report("a")) + raw(forged) + raw(known.report("b")) + raw(known.report("c")))
            assert [(await answer(reader))[0] for _ in range(4)] == [200, 401, 200, 200]
        assert sorted(await known.stored()) == ["a", "b", "c"]

    async def test_a_request_in_pieces_is_put_together(self, known: Known) -> None:
        async with serving_webhooks(webhook_app(known.intake)) as base_url, connected(base_url) as (reader, writer):
            whole = raw(known.report("a"))
            for start in range(0, len(whole), 50):
                writer.write(whole[start : start + 50])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await answer(reader))[0] == 200
        assert await known.stored() == ["a"]

    @pytest.mark.parametrize(("version", "headers"), [("1.0", {}), ("1.1", {"connection": "close"})])
    async def test_a_connection_that_shall_not_be_kept_is_closed(
        self, known: Known, version: str, headers: dict[str, str]
    ) -> None:
        async with serving_webhooks(webhook_app(known.intake)) as base_url, connected(base_url) as (reader, writer):
            writer.write(raw(known.report(), version=version, **headers))
            status, told, _ = await answer(reader)
            assert (status, told["connection"]) == (200, "close")
            assert await reader.read() == b""

    async def test_who_hangs_up_is_stored_and_disturbs_nobody(self, known: Known) -> None:
        async with serving_webhooks(webhook_app(known.intake)) as base_url:
            async with connected(base_url) as (_, writer):
                writer.write(raw(known.report("a")))
                await writer.drain()
            async with connected(base_url) as (reader, writer):
                writer.write(raw(known.report("b")))
                assert (await answer(reader))[0] == 200
        await known.intake.__aexit__(None, None, None)
        assert "b" in await known.stored()

    async def test_a_server_that_stops_answers_what_it_has_taken(self, known: Known) -> None:
        async with serving_webhooks(webhook_app(known.intake)) as base_url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(base_url.rpartition(":")[2]))
            writer.write(raw(known.report("a")))
            assert (await answer(reader))[0] == 200
            writer.write(raw(known.report("b")))
            await asyncio.sleep(0.001)  # taken or not: it is answered, or the connection closes and nothing is stored
        stored = await known.stored()
        try:
            answered = (await answer(reader))[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            answered = 0
        assert (answered == 200) == ("b" in stored)
        writer.close()

    async def test_a_body_that_is_announced_in_chunks_takes_the_long_way(self, known: Known) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield known.report().body

        async with (
            serving_webhooks(webhook_app(known.intake)) as base_url,
            httpx.AsyncClient(base_url=base_url) as http,
        ):
            post = known.report()
            answered = await http.post(post.path, content=chunks(), headers=post.headers)
            assert answered.status_code == 200
        assert await known.stored() == ["x"]
