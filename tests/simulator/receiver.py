"""A server that keeps what is posted to it, and the calls of a client of the sandbox."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import orjson
from aiohttp import web

from app.simulator.accounts import DEFAULT_CREDENTIALS, MESSAGEBIRD, RESEND, SENDGRID, TWILIO, WHATSAPP
from app.simulator.server import Serving

WA, TW, SG, RE = (DEFAULT_CREDENTIALS[name] for name in (WHATSAPP, TWILIO, SENDGRID, RESEND))
MB = DEFAULT_CREDENTIALS[MESSAGEBIRD]
VERIFIED = {"email": SG["from_email"], "name": "Example"}
ASHA, RUI = "+351910000001", "+351910000002"


@dataclass(frozen=True)
class Posted:
    path: str
    url: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Receiver:
    """Answers `statuses` one by one, then 200. `verify_token` is what the handshake must name."""

    url: str = ""
    verify_token: str = WA["verify_token"]
    posted: list[Posted] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        if "hub.mode" in request.query:
            agreed = request.query.get("hub.verify_token") == self.verify_token
            return web.Response(text=request.query["hub.challenge"]) if agreed else web.Response(status=403)
        body = await request.read()
        url = self.url + request.raw_path
        self.posted.append(Posted(request.path, url, dict(request.headers), body, request.method))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def at(self, path: str) -> list[Posted]:
        return [posted for posted in self.posted if posted.path == path]

    def whatsapp(self, part: str) -> list[dict[str, Any]]:
        """All `statuses` or `messages` that arrived."""
        return [
            item
            for posted in self.at("/whatsapp")
            for entry in posted.json["entry"]
            for change in entry["changes"]
            for item in change["value"].get(part, [])
        ]

    def events(self) -> list[dict[str, Any]]:
        return [event for posted in self.at("/email") for event in posted.json]


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that is sure to come; the test's own time limit ends it if not."""
    while not true():
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """Speaks to a sandbox as its customers do."""

    def __init__(self, http: aiohttp.ClientSession, server: Serving) -> None:
        self.http, self.server = http, server

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        async with self.http.request(method, self.server.url + path, **options) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.call(method, path, json=body)
        assert answer.status < 300, answer.body
        return answer.json

    async def behave(self, **changes: Any) -> None:
        await self.control("PUT", "/sandbox/behaviour", changes)

    async def script(self, address: str, *steps: Any) -> None:
        await self.control("PUT", "/sandbox/people", [{"address": address, "script": list(steps)}])

    async def stats(self) -> Any:
        return await self.control("GET", "/stats")

    async def whatsapp(self, payload: Any, *, token: str = WA["access_token"], sender: str = "") -> Answer:
        path = f"/v23.0/{sender or WA['phone_number_id']}/messages"
        return await self.call("POST", path, json=payload, headers={"Authorization": f"Bearer {token}"})

    async def template(self, to: str = ASHA, reference: str = "", **changes: Any) -> Answer:
        return await self.whatsapp(template(to, reference, **changes))

    async def sms(self, to: str = ASHA, *, auth: str = "", sid: str = TW["account_sid"], **form: str) -> Answer:
        basic = base64.b64encode((auth or f"{TW['account_sid']}:{TW['auth_token']}").encode()).decode()
        fields = {"To": to, "From": TW["from_number"], "Body": "Hello", **form}
        return await self.call(
            "POST",
            f"/2010-04-01/Accounts/{sid}/Messages.json",
            data={name: value for name, value in fields.items() if value},
            headers={"Authorization": f"Basic {basic}"},
        )

    async def sms_get(self, path: str, **query: str) -> Answer:
        auth = aiohttp.encode_basic_auth(TW["account_sid"], TW["auth_token"])
        prefix = f"/2010-04-01/Accounts/{TW['account_sid']}"
        return await self.call("GET", prefix + path, params=query, headers={"Authorization": auth})

    async def bird(self, *, key: str = MB["access_key"], **changes: Any) -> Answer:
        """MessageBird's; what is None is left out."""
        message = {
            "originator": MB["originator"], "recipients": [ASHA[1:]], "body": "Hello", "reference": "m-1", **changes,
        }  # fmt: skip
        body = {name: value for name, value in message.items() if value is not None}
        return await self.call("POST", "/messages", json=body, headers={"Authorization": f"AccessKey {key}"})

    async def bird_get(self, path: str = "/messages", **query: Any) -> Answer:
        headers = {"Authorization": f"AccessKey {MB['access_key']}"}
        return await self.call("GET", path, params=query, headers=headers)

    async def mail(self, payload: Any, *, key: str = SG["api_key"]) -> Answer:
        return await self.call("POST", "/v3/mail/send", json=payload, headers={"Authorization": f"Bearer {key}"})

    async def email(self, payload: Any, *, key: str = "", **headers: str) -> Answer:
        """Resend's; `key` is the idempotency key."""
        named = {"Authorization": f"Bearer {RE['api_key']}", **({"Idempotency-Key": key} if key else {}), **headers}
        return await self.call("POST", "/emails", json=payload, headers=named)


def template(to: Any = ASHA, reference: str = "", **changes: Any) -> dict[str, Any]:
    parameters = [{"type": "text", "text": "Asha"}, {"type": "text", "text": "SPRING20"}]
    payload = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "template",
        "template": {
            "name": "spring_offer",
            "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": parameters}],
        },
    }
    if reference:
        payload["biz_opaque_callback_data"] = reference
    return {**payload, **changes}


def text(to: str = ASHA, body: str = "Hello") -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}}


def mail(*to: str, reference: str = "m-1", sender: Any = VERIFIED, **changes: Any) -> dict[str, Any]:
    return {
        "from": sender,
        "personalizations": [
            {"to": [{"email": address}], "custom_args": {"message_id": reference, "tenant_id": "t-1"}} for address in to
        ],
        "subject": "March",
        "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
        **changes,
    }


def email(
    to: Any = "ana@example.com",
    *,
    reference: str = "m-1",
    sender: Any = f"Example <{RE['from_email']}>",
    **changes: Any,
) -> dict[str, Any]:
    """For Resend."""
    payload = {
        "from": sender,
        "to": to,
        "subject": "March",
        "html": '<p>Hello <a href="https://shop.example.org/a">shop</a></p>',
        "text": "Hello",
        "tags": [{"name": "message_id", "value": reference}, {"name": "tenant_id", "value": "t-1"}],
        **changes,
    }
    return {name: value for name, value in payload.items() if value is not None}
