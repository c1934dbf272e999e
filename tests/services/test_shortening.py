from typing import Any

import pytest
from sqlalchemy import text

from app.db import Sessions
from app.domain.links import Shortening
from app.domain.status import Channel, MessageType, Purpose
from app.domain.template import Rendered
from app.ids import new_id
from app.models import Tenant
from app.repositories import short_links
from app.repositories.short_links import NewLink
from app.services.sending.shortening import Draft, Shortener, draft_of
from app.tokens import ShortCodes

PUBLIC = "https://relay.example"
SHOP = "https://shop.example/a?b=1&c=2"
CODES = ShortCodes({"k1": bytes(range(32))})
SHORTENER = Shortener(PUBLIC, CODES)


def rendered(content: dict[str, Any], **said: Any) -> Rendered:
    return Rendered(type=MessageType.TEXT, template_name="", lang="en", content=content, **said)


async def links_of(sessions: Sessions, tenant: Tenant) -> list[tuple[str, str]]:
    async with sessions.begin(tenant.id) as session:
        rows = await session.execute(text("SELECT code, url FROM short_links ORDER BY url"))
        return [(row.code, row.url) for row in rows]


class TestShortener:
    async def test_links_of_an_sms_are_written_and_stand_in_it(self, sessions: Sessions, tenant: Tenant) -> None:
        id, way_out = new_id(), f"{PUBLIC}/u/{'t' * 90}"
        body = f"{SHOP} and {SHOP}, {way_out}. {PUBLIC}/r/0123456789"
        draft = Draft(id, Channel.SMS, rendered({"body": body}), Shortening.ALWAYS)
        for _ in range(2):  # a repeat writes nothing new
            async with sessions.begin(tenant.id) as session:
                changed = await SHORTENER.shorten(session, tenant.id, [draft])
        shop, out = CODES.code(id, SHOP), CODES.code(id, f"/u/{'t' * 90}")
        short = f"{PUBLIC}/r/{shop}"
        assert changed[id].content == {"body": f"{short} and {short}, {PUBLIC}/r/{out}. {PUBLIC}/r/0123456789"}
        assert await links_of(sessions, tenant) == [(out, f"/u/{'t' * 90}"), (shop, SHOP)]

    async def test_an_email_that_is_tracked_keeps_its_words_and_the_way_out(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        id, way_out = new_id(), f"{PUBLIC}/u/token"
        content = {
            "subject": SHOP,
            "text": f"Shop: {SHOP}\n{way_out}",
            "html": f'<a href="https://shop.example/a?b=1&amp;c=2">{SHOP}</a> <a href="{way_out}">x</a>',
            "headers": {"List-Unsubscribe": f"<{way_out}>"},
        }
        draft = draft_of(id, rendered(content, track_links=True), Channel.EMAIL, Purpose.MARKETING, "sendgrid")
        async with sessions.begin(tenant.id) as session:
            changed = await SHORTENER.shorten(session, tenant.id, [draft])
        short = f"{PUBLIC}/r/{CODES.code(id, SHOP)}"
        assert changed[id].content == {
            **content,
            "text": f"Shop: {short}\n{way_out}",
            "html": f'<a href="{short}">{SHOP}</a> <a href="{way_out}">x</a>',
        }

    @pytest.mark.parametrize(
        ("channel", "content"),
        [
            (Channel.WHATSAPP, {"body": SHOP}),
            (Channel.EMAIL, {"subject": "x", "text": SHOP}),
            (Channel.SMS, {"body": "No link: http and //x"}),
            (Channel.SMS, {"media_urls": [SHOP]}),
        ],
    )
    async def test_the_rest_stays_as_it_is(
        self, sessions: Sessions, tenant: Tenant, channel: Channel, content: dict[str, Any]
    ) -> None:
        draft = draft_of(new_id(), rendered(content), channel, Purpose.MARKETING, "sendgrid")
        async with sessions.begin(tenant.id) as session:
            assert await SHORTENER.shorten(session, tenant.id, [draft]) == {}
        assert await links_of(sessions, tenant) == []

    async def test_a_code_that_somebody_else_has_leaves_the_long_link_in(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        id, other = new_id(), "https://shop.example/other/page/that/is/long"
        async with sessions.begin(stranger := new_id()) as session:
            theirs = NewLink(message_id=new_id(), code=CODES.code(id, SHOP), url="https://evil.example")
            await short_links.add(session, stranger, [theirs])
        draft = Draft(id, Channel.SMS, rendered({"body": f"{SHOP} {other}"}), Shortening.ALWAYS)
        async with sessions.begin(tenant.id) as session:
            changed = await SHORTENER.shorten(session, tenant.id, [draft])
        assert changed[id].content == {"body": f"{SHOP} {PUBLIC}/r/{CODES.code(id, other)}"}
