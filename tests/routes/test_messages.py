from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from temporalio.client import Client

from app.db import Sessions
from app.models import Contact, Conversation, Message, Tenant
from tests.routes.conftest import TWILIO, WHATSAPP, Api, add_sender, make_contact, make_template, pointers

PICTURE = "https://shop.example.com/a.png"
TEXT = {"phone": "912345678", "channel": "sms", "type": "text", "text": "Your table is ready."}


async def stored(sessions: Sessions, tenant: Tenant, message_id: str) -> Message:
    async with sessions.begin(tenant.id) as session:
        return await session.get_one(Message, UUID(message_id))


class TestSend:
    async def test_a_text_is_stored_and_its_workflow_started(
        self, api: Api, sessions: Sessions, tenant: Tenant, client: Client
    ) -> None:
        await add_sender(api)
        answer = await api.post("/v1/messages/send", json={**TEXT, "meta": {"order": 17}})
        assert answer.status_code == 202, answer.text
        queued = answer.json()
        assert (queued["status"], queued["workflow_id"]) == ("queued", f"msg/{tenant.id}/{queued['message_id']}")
        described = await client.get_workflow_handle(queued["workflow_id"]).describe()
        assert described.workflow_type == "message"
        message = await stored(sessions, tenant, queued["message_id"])
        assert message.workflow_started_at is not None
        assert (message.payload_json, message.purpose, message.address) == (
            {"text": "Your table is ready."},
            "transactional",
            "+351912345678",
        )
        shown = (await api.get(f"/v1/messages/{queued['message_id']}")).json()
        assert (shown["text"], shown["meta"], shown["status"]) == ("Your table is ready.", {"order": 17}, "queued")
        assert shown["workflow_url"].endswith(f"msg%2F{tenant.id}%2F{queued['message_id']}")

    async def test_an_unknown_number_becomes_one_contact_with_a_conversation(
        self, api: Api, sessions: Sessions, tenant: Tenant
    ) -> None:
        await add_sender(api)
        for _ in range(2):
            assert (await api.post("/v1/messages/send", json=TEXT)).status_code == 202
        async with sessions.begin(tenant.id) as session:
            contact = (await session.execute(select(Contact))).scalar_one()
            assert (contact.phone, contact.country) == ("+351912345678", "PT")
            assert (await session.execute(select(Conversation))).scalar_one().id == contact.id

    async def test_a_template_is_copied_with_its_variables(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        await add_sender(api)
        await add_sender(api, WHATSAPP)
        template = await make_template(api)
        body = {
            "phone": "912345678",
            "channel": "whatsapp",
            "type": "template",
            "templateName": "welcome",
            "variables": {"code": "7"},
            "fallbackOrder": ["sms"],
        }
        answer = await api.post("/v1/messages/send", json=body)
        assert answer.status_code == 202, answer.text
        message = await stored(sessions, tenant, answer.json()["message_id"])
        assert message.payload_json == {
            "template_id": template["id"],
            "template_lang": "en",
            "core_schema": template["core_schema"],
            "variables": {"code": "7"},
            "fallback_order": ["sms"],
        }
        shown = (await api.get(f"/v1/messages/{message.id}")).json()
        assert "core_schema" not in shown["payload"]

    async def test_the_same_key_sends_once(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        await add_sender(api)
        answers = [
            await api.post("/v1/messages/send", json=TEXT, headers={"Idempotency-Key": "order-17"}) for _ in range(2)
        ]
        assert answers[0].json() == answers[1].json()
        async with sessions.begin(tenant.id) as session:
            assert (await session.execute(select(func.count()).select_from(Message))).scalar_one() == 1

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"phone": None}, ["/contact_id"]),
            ({"email": "ana@example.com"}, ["/contact_id"]),
            ({"phone": "12"}, ["/phone"]),
            ({"phone": None, "contact_id": "0199a1b0-0000-7000-8000-000000000001"}, ["/contact_id"]),
            ({"phone": None, "email": "ana@example.com"}, ["/channel"]),
            ({"channel": "whatsapp"}, ["/channel"]),
            ({"fallback_order": ["email"]}, ["/fallback_order/0"]),
            ({"fallback_order": ["sms"]}, ["/fallback_order/0"]),
            ({"type": "template", "text": None, "template_name": "nobody"}, ["/template_name"]),
            ({"type": "template", "text": None, "template_name": "welcome"}, ["/variables/code"]),
            ({"text": None}, [""]),
            ({"text": ""}, ["/text"]),
            ({"text": " \n "}, ["/text"]),
            ({"text": "x" * 1_531}, ["/text"]),
            ({"type": "location", "text": None, "content": {}}, ["/type"]),
            ({"type": "media", "text": None, "content": {"media_urls": "x"}}, ["/content/media_urls"]),
            (
                {"type": "media", "text": None, "content": {"media_urls": ["ftp://x.example"]}},
                ["/content/media_urls/0"],
            ),
            ({"type": "media", "text": None, "content": {"media_urls": [PICTURE] * 11}}, ["/content/media_urls"]),
            ({"purpose": "spam"}, ["/purpose"]),
        ],
    )
    async def test_what_is_wrong_is_named_and_nothing_written(
        self, api: Api, sessions: Sessions, tenant: Tenant, changes: dict[str, Any], expected: list[str]
    ) -> None:
        await add_sender(api)
        await make_template(api)
        answer = await api.post("/v1/messages/send", json={**TEXT, **changes})
        assert (answer.status_code, pointers(answer)) == (422, expected)
        async with sessions.begin(tenant.id) as session:
            assert (await session.execute(select(func.count()).select_from(Message))).scalar_one() == 0
            assert (await session.execute(select(func.count()).select_from(Contact))).scalar_one() == 0

    async def test_without_a_sender_the_answer_says_how_to_add_one(self, api: Api) -> None:
        answer = await api.post("/v1/messages/send", json=TEXT)
        assert (answer.status_code, pointers(answer)) == (422, ["/channel"])
        assert "POST /v1/onboarding/channel-settings" in answer.json()["detail"]

    async def test_rich_content_keeps_its_shape(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        await add_sender(api, WHATSAPP)
        content = {"link": "https://example.com/a.ogg"}
        body = {"phone": "912345678", "channel": "whatsapp", "type": "audio", "content": content}
        answer = await api.post("/v1/messages/send", json=body)
        assert answer.status_code == 202, answer.text
        message = await stored(sessions, tenant, answer.json()["message_id"])
        assert message.payload_json == {"content": {"kind": "audio", **content}}

    async def test_what_can_be_pressed_goes_with_the_text(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        await add_sender(api, WHATSAPP)
        content = {"buttons": [{"id": "y", "title": "Yes"}, {"id": "n", "title": "No"}], "footer": "Clinic"}
        body = {"phone": "912345678", "channel": "whatsapp", "text": "Coming?", "content": content}
        answer = await api.post("/v1/messages/send", json=body)
        assert answer.status_code == 202, answer.text
        message = await stored(sessions, tenant, answer.json()["message_id"])
        assert message.payload_json == {"text": "Coming?", "content": content}

    @pytest.mark.parametrize(
        ("type", "content", "expected"),
        [
            ("media", {"kind": "gif", "id": "1"}, ["/content/kind"]),
            ("media", {"kind": "image"}, ["/content/link"]),
            ("media", {"kind": "image", "link": "ftp://x.example/a.png"}, ["/content/link"]),
            ("media", {"kind": "image", "id": "1", "link": "https://x.example"}, ["/content/link"]),
            ("media", {"kind": "sticker", "id": "1", "caption": "Ha"}, ["/content/caption"]),
            ("media", {"kind": "video", "id": "1", "caption": "x" * 1_025}, ["/content/caption"]),
            ("media", {"kind": "image", "id": "1", "filename": "a.jpg"}, ["/content/filename"]),
            ("audio", {"kind": "video", "id": "1"}, ["/content/kind"]),
            ("location", {"latitude": 91, "longitude": 0}, ["/content/latitude"]),
            ("location", {"latitude": 0, "longitude": "0"}, ["/content/longitude"]),
        ],
    )
    async def test_media_and_places_are_checked_at_once(
        self, api: Api, type: str, content: dict[str, Any], expected: list[str]
    ) -> None:
        await add_sender(api, WHATSAPP)
        body = {"phone": "912345678", "channel": "whatsapp", "type": type, "content": content}
        answer = await api.post("/v1/messages/send", json=body)
        assert (answer.status_code, pointers(answer)) == (422, expected)

    async def test_what_whatsapp_would_refuse_is_named(self, api: Api) -> None:
        await add_sender(api, WHATSAPP)
        await add_sender(api)
        content = {"buttons": [{"id": "y", "title": "Y" * 21}], "video": {}}
        body = {"phone": "912345678", "channel": "whatsapp", "text": "Coming?", "content": content}
        answer = await api.post("/v1/messages/send", json={**body, "fallback_order": ["sms"]})
        assert pointers(answer) == ["/fallback_order/0", "/content/video", "/content/buttons/0/title"]
        answer = await api.post("/v1/messages/send", json={**body, "channel": "sms"})
        assert pointers(answer) == ["/content"]

    async def test_an_unknown_message_is_not_found(self, api: Api) -> None:
        assert (await api.get("/v1/messages/0199a1b0-0000-7000-8000-000000000001")).status_code == 404


class TestConversation:
    async def test_the_newest_of_the_last_is_last(self, api: Api) -> None:
        await add_sender(api, TWILIO)
        contact = await make_contact(api, phone="912345678")
        empty = (await api.get(f"/v1/conversations/{contact['id']}")).json()
        assert (empty["items"], empty["total"], empty["last_message_at"]) == ([], 0, None)
        for n in range(3):
            body = {"contact_id": contact["id"], "channel": "sms", "text": f"Number {n}"}
            assert (await api.post("/v1/messages/send", json=body)).status_code == 202
        shown = (await api.get(f"/v1/conversations/{contact['id']}?limit=2")).json()
        assert [message["text"] for message in shown["items"]] == ["Number 1", "Number 2"]
        assert shown["total"] == 3

    async def test_an_unknown_contact_is_not_found(self, api: Api) -> None:
        assert (await api.get("/v1/conversations/0199a1b0-0000-7000-8000-000000000001")).status_code == 404
