"""A server that speaks the providers' wire formats and nothing more: it accepts and counts. Written for these tests
alone, so that they don't lean on the simulator."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

LATENCY_SECONDS = 0.02


@dataclass
class Provider:
    """`accepted` counts (provider, recipient, reference)."""

    url: str = ""
    accepted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    credentials_seen: set[str] = field(default_factory=set)

    def recipients(self, provider: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for (name, recipient, _), count in self.accepted.items():
            if name == provider:
                found[recipient] += count
        return found

    async def whatsapp(self, request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY_SECONDS)
        body = await request.json()
        to, reference = body["to"].lstrip("+"), body["biz_opaque_callback_data"]
        self.credentials_seen.add(request.headers["Authorization"])
        self.accepted["whatsapp_cloud", f"+{to}", reference] += 1
        return web.json_response(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": body["to"], "wa_id": to}],
                "messages": [{"id": f"wamid.{reference}", "message_status": "accepted"}],
            }
        )

    async def twilio(self, request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY_SECONDS)
        form = await request.post()
        reference = parse_qs(urlsplit(str(form["StatusCallback"])).query)["ref"][0]
        self.credentials_seen.add(base64.b64decode(request.headers["Authorization"].split()[1]).decode())
        self.accepted["twilio", str(form["To"]), reference] += 1
        sid = f"SM{reference.replace('-', '')}"
        return web.json_response({"sid": sid, "status": "queued", "to": form["To"], "body": form["Body"]}, status=201)

    async def sendgrid(self, request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY_SECONDS)
        body = await request.json()
        self.credentials_seen.add(request.headers["Authorization"])
        for person in body["personalizations"]:
            self.accepted["sendgrid", person["to"][0]["email"], person["custom_args"]["message_id"]] += 1
        return web.Response(status=202, headers={"X-Message-Id": f"sg{sum(self.accepted.values())}"})


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    it = Provider()
    app = web.Application()
    app.router.add_post("/{version}/{number}/messages", it.whatsapp)
    app.router.add_post("/2010-04-01/Accounts/{sid}/Messages.json", it.twilio)
    app.router.add_post("/v3/mail/send", it.sendgrid)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()
