"""Webhooks stored and answered by one API process: half Twilio's status callbacks, half WhatsApp's, some twice."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID, uuid4

from sqlalchemy import text

from app.domain.status import Channel
from app.embedded.ports import free_port
from app.ids import new_id
from app.schemas.channel_settings import ChannelSettingCreate
from app.secrets import Vault
from app.services import channel_settings
from benchmarks import meters
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.load import Report, drive, post
from benchmarks.platform import Platform
from benchmarks.shop import CREDENTIALS, Shop, make_shop

CONNECTIONS = 64
REPEATED = 0.03  # of all: providers deliver again what was answered late
FIRST = 1_000  # not measured: connections, statements and caches are made
CALM_PER_SECOND = 1_000
TWILIO = {
    "account_sid": "AC0123456789abcdef0123456789abcdef",
    "auth_token": "auth-token-of-the-benchmark",
    "from_number": "+15005550006",
}
COUNT = text("SELECT count(*) FROM webhook_events")


class Provider:
    """Makes signed webhooks as the two providers do, each a report of its own or one of the last few again."""

    def __init__(self, public_url: str, whatsapp: UUID, sms: UUID) -> None:
        self.public_url, self.whatsapp, self.sms = public_url, whatsapp, sms
        self.distinct = 0
        self._random = random.Random(1)  # noqa: S311 - the same requests in every round

    def requests(self, count: int) -> list[bytes]:
        made: list[bytes] = []
        while len(made) < count:
            if made and self._random.random() < REPEATED:
                made.append(self._random.choice(made[-500:]))
                continue
            self.distinct += 1
            made.append(self._twilio() if self.distinct % 2 else self._meta())
        return made

    def _twilio(self) -> bytes:
        sid = f"SM{uuid4().hex}"
        status = self._random.choice(["sent", "delivered"])
        fields = {
            "AccountSid": TWILIO["account_sid"],
            "ApiVersion": "2010-04-01",
            "From": TWILIO["from_number"],
            "MessageSid": sid,
            "MessageStatus": status,
            "RawDlrDoneDate": "2611211830",
            "SmsSid": sid,
            "SmsStatus": status,
            "To": "+351910000001",
        }
        path = f"/v1/webhooks/sms/{self.sms}?ref={uuid4()}"
        signed = self.public_url + path + "".join(name + fields[name] for name in sorted(fields))
        digest = hmac.digest(TWILIO["auth_token"].encode(), signed.encode(), hashlib.sha1)
        return post(
            path,
            urlencode(fields).encode(),
            "application/x-www-form-urlencoded",
            X_Twilio_Signature=base64.b64encode(digest).decode(),
        )

    def _meta(self) -> bytes:
        status = {
            "id": f"wamid.{uuid4().hex}",
            "status": self._random.choice(["sent", "delivered", "read"]),
            "timestamp": str(int(time.time())),
            "recipient_id": "351910000001",
            "biz_opaque_callback_data": str(uuid4()),
            "pricing": {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"},
        }
        number = {"display_phone_number": "15005550222", "phone_number_id": CREDENTIALS["phone_number_id"]}
        value = {"messaging_product": "whatsapp", "metadata": number, "statuses": [status]}
        entry = {"id": CREDENTIALS["waba_id"], "changes": [{"field": "messages", "value": value}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        digest = hmac.digest(CREDENTIALS["app_secret"].encode(), body, hashlib.sha256).hex()
        return post(f"/v1/webhooks/whatsapp/{self.whatsapp}", body, X_Hub_Signature_256=f"sha256={digest}")


async def stored(platform: Platform, size: int) -> Measurement:
    """As fast as the API answers; then, for the latency of a calm day, at a steady pace."""
    shop = await make_shop(platform, contacts=1)
    provider = Provider(platform.settings.public_url, shop.sender_id, await _add_twilio(platform, shop))
    port = platform.settings.api_port
    warm, requests = provider.requests(FIRST), provider.requests(size)
    calm = provider.requests(min(size, 5 * CALM_PER_SECOND))
    await _answered(platform, warm, port)
    with platform.window() as window:
        report = await _answered(platform, requests, port)
    paced = await _answered(platform, calm, port, per_second=CALM_PER_SECOND)
    platform.require(await _count(platform, shop) == provider.distinct, "every report that was answered 200 is stored")
    facts = {**report.facts(), f"p99_ms_at_{CALM_PER_SECOND}_per_second": paced.facts()["p99_ms"]}
    return Measurement(value=report.per_second, units=size, window=window, facts=facts)


async def verified_and_inserted(platform: Platform, size: int) -> Measurement:
    """The same requests to a server that does nothing else."""
    shop = await make_shop(platform, contacts=1)
    provider = Provider(platform.settings.public_url, shop.sender_id, shop.sender_id)
    warm, requests = provider.requests(FIRST), provider.requests(size)
    async with _bare_server(platform, shop) as (port, pid):
        await _answered(platform, warm, port)
        with meters.window({**platform.pids, "api": pid}) as window:
            report = await _answered(platform, requests, port)
    platform.require(await _count(platform, shop) == FIRST + size, "a row for every answer")
    return Measurement(value=report.per_second, units=size, window=window, facts=report.facts())


async def _answered(platform: Platform, requests: list[bytes], port: int, *, per_second: float | None = None) -> Report:
    report = await drive("127.0.0.1", port, requests, connections=CONNECTIONS, per_second=per_second)
    platform.require(report.statuses == {200: len(requests)}, f"every webhook is answered 200: {report.statuses}")
    return report


async def _add_twilio(platform: Platform, shop: Shop) -> UUID:
    wanted = ChannelSettingCreate.model_validate(
        {"channel": Channel.SMS, "provider": "twilio", "name": "sms", "credentials": TWILIO}
    )
    id = new_id()
    async with platform.sessions.begin(shop.tenant.id) as session:
        vault = Vault(platform.settings.keys)
        await channel_settings.create(session, shop.tenant.id, wanted, id=id, vault=vault)
    return id


async def _count(platform: Platform, shop: Shop) -> int:
    async with platform.sessions.begin(shop.tenant.id) as session:
        return int((await session.execute(COUNT)).scalar_one())


@asynccontextmanager
async def _bare_server(platform: Platform, shop: Shop) -> AsyncIterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bare_webhooks", str(port), stdin=asyncio.subprocess.PIPE
    )
    assert server.stdin is not None
    given = {
        "public_url": platform.settings.public_url,
        "database_url": platform.database_url,
        "credentials": {Channel.WHATSAPP: CREDENTIALS, Channel.SMS: TWILIO},
        "columns": {
            "tenant_id": str(shop.tenant.id),
            "settings_id": str(shop.sender_id),
            "channel": Channel.WHATSAPP,
            "provider": "whatsapp_cloud",
            "kind": "delivered",
            "occurred_at": datetime.now(UTC).isoformat(),
        },
    }
    server.stdin.write(json.dumps(given).encode())
    server.stdin.close()
    try:
        while not _listens(port):
            platform.require(server.returncode is None, "the bare server runs")
            await asyncio.sleep(0.05)
        yield port, server.pid
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        await server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


ROWS = [
    Row(
        name="webhooks",
        title="webhook stored and answered, one process",
        unit="webhooks/s",
        size=30_000,
        target=4_000,
        trial=Trial(measure=stored, needs=frozenset({"api"})),
        floor=Trial(
            measure=verified_and_inserted,
            says="verify and insert alone, behind a bare HTTP server",
            needs=frozenset(),
        ),
        floor_share=0.6,
    )
]
