"""Files: taken in piece by piece, handed to WhatsApp, and sent by their id."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.db import Sessions
from app.domain.media import KIB, MIB, MOST
from app.models import Tenant
from app.settings import Settings
from app.simulator.server import serving
from tests.channels.scripted import Reply, ScriptedProvider
from tests.routes.conftest import Api, pointers
from tests.routes.shop import Shop, open_shop

MOVING = b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02" + bytes(200 * KIB)
STILL = b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(200 * KIB)


@pytest.fixture
async def shop(settings: Settings, temporal_address: str, sessions: Sessions, tenant: Tenant) -> AsyncIterator[Shop]:
    async with serving() as running, open_shop(settings, temporal_address, sessions, tenant, running.url) as opened:
        yield opened


async def upload(api: Api, name: str, data: bytes, mime_type: str, **options: str) -> httpx.Response:
    return await api.post("/v1/media", files={"file": (name, data, mime_type)}, params=options)


class TestUpload:
    @pytest.mark.parametrize(
        ("name", "data", "mime_type", "kind"),
        [
            ("shop.jpg", b"\xff\xd8" + bytes(3 * MIB), "image/jpeg", "image"),
            ("voice.ogg", b"OggS", "audio/ogg; codecs=opus", "audio"),
            ("film.mp4", b"film", "video/mp4", "video"),
            ("bill.pdf", b"%PDF" + bytes(6 * MIB), "application/octet-stream", "document"),
            ("wave.webp", MOVING, "image/webp", "sticker"),
        ],
    )
    async def test_each_kind_reaches_the_provider(
        self, shop: Shop, name: str, data: bytes, mime_type: str, kind: str
    ) -> None:
        answer = await upload(shop.api, name, data, mime_type)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["kind"], made["size"], made["filename"]) == (kind, len(data), name)
        assert made["media_id"].isdecimal()
        content = {"id": made["media_id"], **({} if kind == "audio" else {"kind": kind})}
        body = {"phone": "912345678", "channel": "whatsapp", "type": "audio" if kind == "audio" else "media"}
        sent = await shop.api.post("/v1/messages/send", json={**body, "content": content})
        assert sent.status_code == 202, sent.text

    async def test_a_sent_id_is_known_to_the_provider(self, shop: Shop) -> None:
        made = (await upload(shop.api, "a.png", b"png", "image/png")).json()
        await shop.simulator.post(
            "/sandbox/inbound", json={"provider": "whatsapp_cloud", "from": "+351912345678", "text": "Hi"}
        )
        path = "/v23.0/300400500600700/messages"
        headers = {"Authorization": "Bearer EAAsandboxaccesstokennotforproduction"}
        image = {"id": made["media_id"]}
        body = {"messaging_product": "whatsapp", "to": "351912345678", "type": "image", "image": image}
        assert (await shop.simulator.post(path, json=body, headers=headers)).status_code == 200
        wrong = {**body, "type": "video", "video": image}
        assert (await shop.simulator.post(path, json=wrong, headers=headers)).json()["error"]["code"] == 131053

    @pytest.mark.parametrize(
        ("name", "data", "mime_type", "status"),
        [
            ("a.gif", b"GIF89a", "image/gif", 422),
            ("a.jpg", b"", "image/jpeg", 422),
            ("a.jpg", bytes(MOST["image"] + 1), "image/jpeg", 413),
            ("a.webp", STILL, "image/webp", 413),
        ],
    )
    async def test_what_whatsapp_would_not_show_is_refused(
        self, scripted: tuple[Shop, ScriptedProvider], name: str, data: bytes, mime_type: str, status: int
    ) -> None:
        shop, provider = scripted
        answer = await upload(shop.api, name, data, mime_type)
        assert answer.status_code == status, answer.text
        assert provider.requests == []

    async def test_the_form_has_to_have_a_file(self, scripted: tuple[Shop, ScriptedProvider]) -> None:
        api = scripted[0].api
        assert (await api.post("/v1/media", content=b"x", headers={"Content-Type": "image/png"})).status_code == 415
        answer = await api.post("/v1/media", files={"picture": ("a.png", b"x", "image/png")})
        assert (answer.status_code, pointers(answer)) == (422, ["/file"])
        broken = {"Content-Type": "multipart/form-data; boundary=b"}
        assert (await api.post("/v1/media", content=b"--c", headers=broken)).status_code in (400, 422)

    async def test_an_unknown_sender_is_named(self, scripted: tuple[Shop, ScriptedProvider]) -> None:
        unknown = {"channel_setting_id": "0199a1b0-0000-7000-8000-000000000001"}
        assert (await upload(scripted[0].api, "a.png", b"x", "image/png", **unknown)).status_code == 404

    async def test_what_the_provider_says_is_answered(self, scripted: tuple[Shop, ScriptedProvider]) -> None:
        shop, provider = scripted
        provider.will(Reply(400, {"error": {"message": "(#100) Invalid parameter", "code": 100}}))
        answer = await upload(shop.api, "a.png", b"x", "image/png")
        assert (answer.status_code, answer.json()["detail"]) == (502, "(#100) Invalid parameter")

    async def test_the_same_key_hands_it_over_once(self, scripted: tuple[Shop, ScriptedProvider]) -> None:
        shop, provider = scripted
        provider.will(Reply(200, {"id": "900100"}))
        shop.api.headers["Idempotency-Key"] = "logo"
        first, second = [await upload(shop.api, "a.png", b"x", "image/png") for _ in range(2)]
        assert first.json() == second.json()
        assert len(provider.requests) == 1
        request = provider.requests[0]
        assert (request.method, request.target) == ("POST", "/v23.0/300400500600700/media")
        for part in (b'name="messaging_product"\r\n\r\nwhatsapp', b'name="type"\r\n\r\nimage/png', b'filename="a.png"'):
            assert part in request.body
        other = await upload(shop.api, "a.png", b"y", "image/png")
        assert other.status_code == 409


@pytest.fixture
async def scripted(
    settings: Settings, temporal_address: str, sessions: Sessions, tenant: Tenant
) -> AsyncIterator[tuple[Shop, ScriptedProvider]]:
    async with (
        ScriptedProvider().listening() as provider,
        open_shop(settings, temporal_address, sessions, tenant, provider.url) as opened,
    ):
        yield opened, provider
