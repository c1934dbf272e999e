"""The webhook routes behind a real server with `WebhookProtocol`, as `relay api` runs them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from app.errors import PermissionDenied
from app.models import ChannelSetting
from app.routes import problems, webhooks
from app.routes.webhook_protocol import WebhookProtocol
from app.services.webhooks import WebhookIntake


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they belong to the test runner


def webhook_app(intake: WebhookIntake, *, routes: bool = True) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, WebhookIntake]]:
        yield {"webhooks": intake}

    app = FastAPI(lifespan=lifespan)
    app.state.webhooks = intake
    problems.install(app)
    if routes:
        app.include_router(webhooks.router)
    return app


@asynccontextmanager
async def serving_webhooks(app: FastAPI) -> AsyncIterator[str]:
    """The address of a server that closes at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, http=WebhookProtocol, log_config=None, ws="none", access_log=False))
        task = asyncio.create_task(server.serve([listener]))
        while not server.started:
            assert not task.done(), task
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def get_to_know(intake: WebhookIntake, setting: ChannelSetting) -> None:
    """Have the sender looked up, so that the next webhook for it needs no look-up."""
    with suppress(PermissionDenied):
        await intake.answer_challenge(setting.channel, setting.id, {})
