"""The program that mail servers pipe mail into, as they run it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from app.channels.base import EventKind, WebhookRequest
from app.channels.email.smtp import SmtpEmail
from app.errors import InvalidSignature, Malformed
from tests.channels.contract import offline
from tests.channels.samples import REFERENCE, context, recorded
from tests.channels.scripted import free_port

PROGRAM = Path(__file__).parents[2] / "examples" / "forward_mail.py"
SECRET = "sixteen-letters-at-least"
RETURN_PATH = "bounce+01920000000070008000000000000001.5717fb52f0a85b80@bounces.example.org"
ADAPTER = SmtpEmail(
    {
        "host": "smtp.example.org",
        "port": "587",
        "security": "starttls",
        "from_email": "a@example.org",
        "inbound_secret": SECRET,
    },
    context(offline(), ""),
)


@dataclass
class Relay:
    url: str = ""
    taken: list[WebhookRequest] = field(default_factory=list)
    down: bool = False

    async def take(self, request: web.Request) -> web.Response:
        """As the route answers."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        webhook = WebhookRequest(
            method="POST", url=str(request.url), headers=headers, query={}, body=await request.read()
        )
        try:
            ADAPTER.verify(webhook)
            ADAPTER.parse(webhook)
        except (InvalidSignature, Malformed) as error:
            return web.Response(status=error.http_status, text=error.detail)
        self.taken.append(webhook)
        return web.Response(status=503 if self.down else 200)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    relay = Relay()
    app = web.Application()
    app.router.add_post("/v1/webhooks/email/1", relay.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/webhooks/email/1"
    yield relay
    await runner.cleanup()


async def forward(url: str, mail: bytes, place: Path, *, secret: str = SECRET, **environment: str) -> int:
    (place / "secret").write_text(f"{secret}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), url, str(place / "secret")),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **environment},
    )
    await process.communicate(mail)
    assert process.returncode is not None
    return process.returncode


async def test_report_is_handed_over_with_the_address_it_came_to(relay: Relay, tmp_path: Path) -> None:
    mail = b"From MAILER-DAEMON Mon Mar  2 09:24:00 2026\n" + recorded("smtp", "bounced_stranger.eml")
    assert await forward(relay.url, mail, tmp_path, ORIGINAL_RECIPIENT=RETURN_PATH) == 0
    (event,) = ADAPTER.parse(relay.taken[0])
    assert (event.kind, event.reference, event.suppress) == (EventKind.FAILED, str(REFERENCE), "bounce")


async def test_what_relay_cannot_read_is_sent_back(relay: Relay, tmp_path: Path) -> None:
    assert await forward(relay.url, b"nothing", tmp_path) == 65


@pytest.mark.parametrize("trouble", ["down", "wrong secret", "wrong address", "nobody there", "no secret"])
async def test_trouble_of_ours_is_tried_again(relay: Relay, tmp_path: Path, trouble: str) -> None:
    relay.down = trouble == "down"
    url = {
        "wrong address": relay.url + "2",
        "nobody there": f"http://127.0.0.1:{free_port()}/",
    }.get(trouble, relay.url)
    if trouble == "no secret":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), url, str(tmp_path / "none")), stderr=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 75
        return
    secret = "another-secret-altogether" if trouble == "wrong secret" else SECRET
    assert await forward(url, recorded("smtp", "replied.eml"), tmp_path, secret=secret) == 75
