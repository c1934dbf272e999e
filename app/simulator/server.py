"""The sandbox as a server: `create_app` for any runner, `serving` inside a running loop, `run` as a whole process."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
import uvloop
from aiohttp import web

from app.simulator import control
from app.simulator.mailgun import api as mailgun_api
from app.simulator.messagebird import api as messagebird_api
from app.simulator.resend import api as resend_api
from app.simulator.sandbox import Sandbox
from app.simulator.sendgrid import api as sendgrid_api
from app.simulator.sendgrid.api import MAX_BYTES
from app.simulator.serve import SANDBOX
from app.simulator.smtp.server import ServingMail, serving_mail
from app.simulator.twilio import api as twilio_api
from app.simulator.whatsapp import api as whatsapp_api

STOP_SECONDS = 1.5  # for requests under way; the whole stop stays below three seconds


@dataclass(frozen=True, slots=True)
class Serving:
    url: str
    port: int
    sandbox: Sandbox
    mail: ServingMail


def create_app(sandbox: Sandbox) -> web.Application:
    """All endpoints on one application; it starts and stops the sandbox with itself."""
    app = web.Application(middlewares=[control.readable_errors], client_max_size=MAX_BYTES + 1)
    app[SANDBOX] = sandbox
    twilio_api.add_routes(app)
    messagebird_api.add_routes(app)
    sendgrid_api.add_routes(app)
    mailgun_api.add_routes(app)
    resend_api.add_routes(app)
    control.add_routes(app)
    whatsapp_api.add_routes(app)

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        await sandbox.start()
        yield
        await sandbox.stop()

    async def release(app: web.Application) -> None:
        sandbox.stopping.set()  # requests that hang on purpose end now

    app.cleanup_ctx.append(lifespan)
    app.on_shutdown.append(release)
    return app


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", port: int = 0, state_dir: Path | None = None, smtp_port: int = 0
) -> AsyncIterator[Serving]:
    """Serve until the block ends. Port 0 takes a free one. Raises OSError when a port is taken."""
    listener = socket.create_server((host, port), backlog=1_024, reuse_port=False)
    sandbox = Sandbox(state_dir)
    runner = web.AppRunner(create_app(sandbox), access_log=None, shutdown_timeout=STOP_SECONDS, handle_signals=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        bound = listener.getsockname()[1]
        async with serving_mail(sandbox, host, smtp_port) as mail:
            yield Serving(f"http://{host}:{bound}", bound, sandbox, mail)
    finally:
        await runner.cleanup()
        listener.close()


async def serve_until_stopped(host: str, port: int, state_dir: Path | None, smtp_port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(host, port, state_dir, smtp_port) as server:
        typer.echo(f"simulator: {server.url}")
        typer.echo(f"simulator: {server.mail.url}")
        await stop.wait()


def run(host: str = "127.0.0.1", port: int = 8900, state_dir: Path | None = None, smtp_port: int = 0) -> None:
    """Serve as a whole process, until SIGTERM or SIGINT. Says its addresses on the first lines of standard output."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_until_stopped(host, port, state_dir, smtp_port))
