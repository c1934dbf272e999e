"""A person writes a keyword, and Relay answers over the same channel."""

from sqlalchemy import text

from app.domain.status import Channel
from tests.world import World

ANSWERS = """
    SELECT payload_json -> 'answers' ->> 'keyword', status FROM messages
    WHERE contact_id = :id AND payload_json ? 'answers' ORDER BY created_at DESC LIMIT 1
"""


class TestHelp:
    async def test_reaches_a_person_who_has_said_stop_and_marketing_does_not(self, heard: World) -> None:
        async with heard.sessions.begin(heard.tenant.id) as session:
            replies = """{"quiet_hours": {}, "keyword_replies": {"stop": "You get no more from us."}}"""
            await session.execute(text("UPDATE tenants SET settings_json = CAST(:it AS jsonb)"), {"it": replies})
        (contact,) = await heard.add_contacts(1)
        assert await heard.outcome(await heard.send(contact)) == "sent"
        await heard.write(contact, "STOP")
        await heard.until(ANSWERS, ("stop", "sent"), id=contact.id)
        await heard.write(contact, "Ajuda")
        await heard.until(ANSWERS, ("help", "sent"), id=contact.id)
        told = await heard.rows("SELECT channel, reason FROM suppressions WHERE address = :phone", phone=contact.phone)
        assert [tuple(row) for row in told] == [(Channel.WHATSAPP, "stop")]
        assert await heard.outcome(await heard.send(contact)) == "skipped"
