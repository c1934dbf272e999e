"""The parts of a core template at the providers: what was rendered is what they accept."""

from typing import Any

import pytest

from app.domain.status import Channel
from tests.world import World

MEDIA = {"type": "image", "url": "https://shop.example/spring.png"}
REPLIES = [{"type": "quick_reply", "text": "Yes"}, {"type": "quick_reply", "text": "No", "payload": "NO"}]
LINK = [{"type": "url", "text": "Shop", "url": "https://shop.example"}]


def payload(**blocks: Any) -> dict[str, Any]:
    core = {"blocks": {"header": "Spring", "body": "Hi {{ contact.first_name }}", "footer": "Acme", **blocks}}
    return {"core_schema": core, "template_lang": "en", "variables": {}}


async def sent(world: World, id: Any) -> dict[str, Any]:
    ((found,),) = await world.rows("SELECT payload_json -> 'sent' FROM messages WHERE id = :id", id=id)
    return dict(found)


class TestSms:
    async def test_a_picture_goes_as_mms(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        message = await relay.send(contact, Channel.SMS, payload_json=payload(media=MEDIA))
        assert await relay.outcome(message) == "sent"
        assert (await sent(relay, message.id))["media_urls"] == ["https://shop.example/spring.png"]
        assert await relay.accepted() == {(contact.phone, str(message.id)): 1}


class TestWhatsAppWindow:
    @pytest.mark.parametrize(
        ("blocks", "part"),
        [({"buttons": REPLIES}, "buttons"), ({"buttons": LINK}, "cta_url"), ({"media": MEDIA}, "caption")],
    )
    async def test_what_can_be_pressed_or_seen_is_accepted(
        self, heard: World, blocks: dict[str, Any], part: str
    ) -> None:
        (contact,) = await heard.add_contacts(1)
        first = await heard.send(contact)
        await heard.outcome(first)
        await heard.write(contact, "Hello?")
        await heard.until("SELECT whatsapp_inbound_at IS NOT NULL FROM contacts WHERE id = :id", (True,), id=contact.id)
        message = await heard.send(contact, payload_json=payload(**blocks))
        assert await heard.outcome(message) == "sent"
        assert part in await sent(heard, message.id)
