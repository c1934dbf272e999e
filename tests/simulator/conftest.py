"""A sandbox and a receiver of its webhooks, both over real sockets, new for each test."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from app.simulator.server import Serving, serving
from tests.simulator.receiver import Client, Receiver

# Quick enough for a test, and still in order.
QUICK = {
    "latency_ms": 0, "webhook_delay_ms": [10, 20], "action_delay_ms": [10, 20], "retry_factor": 0.01,
    "sendgrid_batch_ms": 20,
}  # fmt: skip


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listens at /whatsapp, /sms, /bird, /email, /resend, /shop, and everywhere else."""
    kept = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kept.take)
    listener = socket.create_server(("127.0.0.1", 0))
    kept.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    yield kept
    await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(server: Serving) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        speaker = Client(http, server)
        await speaker.behave(**QUICK)
        yield speaker


@pytest.fixture
async def listening(client: Client, receiver: Receiver) -> Receiver:
    """The receiver, with the webhooks of every default account pointed at it."""
    for provider, path in (
        ("whatsapp_cloud", "/whatsapp"),
        ("twilio", "/sms"),
        ("messagebird", "/bird"),
        ("sendgrid", "/email"),
        ("resend", "/resend"),
    ):
        reply = await client.control(
            "POST", "/sandbox/accounts", {"provider": provider, "webhook_url": receiver.url + path}
        )
        assert reply["webhook"]["verified"]
    return receiver
