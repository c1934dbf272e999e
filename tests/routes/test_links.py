"""Short links over HTTP, as browsers, scanners and strangers open them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text, update
from sqlmodel import col

from app.db import Sessions
from app.domain.status import Channel, MessageStatus
from app.ids import new_id
from app.models import Message, Tenant
from app.repositories import short_links
from app.repositories.short_links import NewLink
from app.settings import Settings
from app.tokens import ShortCodes, UnsubscribeTokens
from app.webhook_relay import WebhookRelay
from tests.factories import make_contact, make_message
from tests.routes.conftest import Api
from tests.routes.test_outages import NOWHERE, running

SHOP = "https://shop.example/spring?a=1&b=ã#x"
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml",
}


@pytest.fixture
async def message(sessions: Sessions, tenant: Tenant) -> Message:
    """An SMS that left a minute ago."""
    async with sessions.begin(tenant.id) as session:
        contact = await make_contact(session, tenant.id)
        sent_at = datetime.now(UTC) - timedelta(minutes=1)
        return await make_message(
            session,
            tenant.id,
            contact.id,
            channel=Channel.SMS,
            sent_at=sent_at,
            settings_id=new_id(),
            provider="twilio",
        )


async def shortened(settings: Settings, sessions: Sessions, message: Message, url: str = SHOP) -> str:
    """The path of a short link in the message."""
    code = ShortCodes(settings.keys).code(message.id, url)
    async with sessions.begin(message.tenant_id) as session:
        added = await short_links.add(session, message.tenant_id, [NewLink(message_id=message.id, code=code, url=url)])
    assert added == {code}
    return f"/r/{code}"


@pytest.fixture
async def link(settings: Settings, sessions: Sessions, message: Message) -> str:
    return await shortened(settings, sessions, message)


@pytest.fixture
def strange(anonymous: Api) -> Api:
    """A browser."""
    anonymous.headers.update(BROWSER)
    return anonymous


class Ledger:
    """What was written about the clicks on a message."""

    def __init__(self, sessions: Sessions, message: Message) -> None:
        self.sessions, self.message = sessions, message

    async def one(self, sql: str) -> Any:
        async with self.sessions.begin(self.message.tenant_id) as session:
            return (await session.execute(text(sql), {"id": self.message.id})).scalar_one()

    async def clicks(self) -> tuple[int, int, bool]:
        """Counted on the links, kept as events, noted with the message."""
        return (
            int(await self.one("SELECT sum(clicks) FROM short_links WHERE message_id = :id")),
            await self.one("SELECT count(*) FROM events WHERE message_id = :id AND kind = 'clicked'"),
            await self.one("SELECT clicked_at IS NOT NULL FROM messages WHERE id = :id"),
        )

    async def a_while_ago(self) -> None:
        """The last click was not just now."""
        async with self.sessions.begin(self.message.tenant_id) as session:
            earlier = "UPDATE short_links SET clicked_at = clicked_at - interval '5 s' WHERE message_id = :id"
            await session.execute(text(earlier), {"id": self.message.id})


@pytest.fixture
def ledger(sessions: Sessions, message: Message) -> Ledger:
    return Ledger(sessions, message)


class TestFollowing:
    async def test_it_leads_where_the_message_said_and_the_click_counts(
        self, strange: Api, link: str, ledger: Ledger
    ) -> None:
        answer = await strange.get(link)
        assert answer.status_code == 302
        assert answer.headers["location"] == "https://shop.example/spring?a=1&b=%C3%A3#x"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert await ledger.clicks() == (1, 1, True)
        source = await ledger.one("SELECT source || payload_json::text FROM events WHERE message_id = :id")
        assert source.startswith("sms{")
        assert SHOP in source

    async def test_the_first_click_is_the_message_s_and_later_ones_count_too(
        self, strange: Api, link: str, ledger: Ledger
    ) -> None:
        await strange.get(link)
        first = await ledger.one("SELECT clicked_at FROM messages WHERE id = :id")
        await ledger.a_while_ago()
        await strange.get(link)
        assert await ledger.clicks() == (2, 2, True)
        assert await ledger.one("SELECT clicked_at FROM messages WHERE id = :id") == first

    async def test_a_double_request_is_one_click(self, strange: Api, link: str, ledger: Ledger) -> None:
        for _ in range(3):
            assert (await strange.get(link)).status_code == 302
        assert await ledger.clicks() == (1, 1, True)

    @pytest.mark.parametrize(
        "headers",
        [
            {"User-Agent": "WhatsApp/2.23.20.0 A"},
            {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
            {"User-Agent": "curl/8.5.0"},
            {"User-Agent": ""},
            {"Sec-Purpose": "prefetch;prerender"},
            {"X-Moz": "prefetch"},
        ],
    )
    async def test_scanners_are_redirected_and_not_counted(
        self, strange: Api, link: str, ledger: Ledger, headers: dict[str, str]
    ) -> None:
        assert (await strange.get(link, headers=headers)).headers["location"].startswith("https://shop.example/")
        assert await ledger.clicks() == (0, 0, False)

    async def test_head_looks_and_does_not_click(self, strange: Api, link: str, ledger: Ledger) -> None:
        answer = await strange.head(link)
        assert (answer.status_code, answer.content) == (302, b"")
        assert answer.headers["location"].startswith("https://shop.example/")
        assert await ledger.clicks() == (0, 0, False)

    async def test_whoever_is_there_as_it_leaves_is_a_gateway(
        self, strange: Api, link: str, ledger: Ledger, sessions: Sessions, message: Message
    ) -> None:
        async with sessions.begin(message.tenant_id) as session:
            await session.execute(
                update(Message).where(col(Message.id) == message.id).values(sent_at=datetime.now(UTC))
            )
        assert (await strange.get(link)).status_code == 302
        assert await ledger.clicks() == (0, 0, False)


class TestWhatAClickProves:
    async def test_a_message_whose_fate_was_unknown_has_arrived(
        self, app: FastAPI, strange: Api, link: str, ledger: Ledger, sessions: Sessions, message: Message
    ) -> None:
        since = datetime.now(UTC) - timedelta(minutes=1)
        values = {"status": MessageStatus.UNKNOWN, "sent_at": None, "unresolved_since": since}
        async with sessions.begin(message.tenant_id) as session:
            await session.execute(update(Message).where(col(Message.id) == message.id).values(**values))
        await strange.get(link)
        relay = WebhookRelay(sessions, app.state.resources.workflows, app.state.resources.settings)
        while await relay.drain_once():
            pass
        status = "SELECT status || (unresolved_since IS NULL)::text FROM messages WHERE id = :id"
        assert await ledger.one(status) == "deliveredtrue"
        assert await ledger.clicks() == (1, 1, True)

    async def test_what_is_known_to_have_arrived_needs_no_proof(
        self, strange: Api, link: str, ledger: Ledger, sessions: Sessions, message: Message
    ) -> None:
        async with sessions.begin(message.tenant_id) as session:
            values = {"status": MessageStatus.READ}
            await session.execute(update(Message).where(col(Message.id) == message.id).values(**values))
        await strange.get(link)
        assert (
            await ledger.one("SELECT count(*) FROM webhook_events WHERE event_json ->> 'reference' = (:id)::text") == 0
        )


class TestNoOpenRedirect:
    async def test_nothing_in_the_request_changes_where_it_leads(self, strange: Api, link: str) -> None:
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Referer": "https://evil.example"}
        answer = await strange.get(f"{link}?url=https://evil.example&next=//evil.example", headers=headers)
        assert answer.headers["location"] == "https://shop.example/spring?a=1&b=%C3%A3#x"

    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "//evil.example", "data:text/html,x", "ftp://a.example", ""]
    )
    async def test_only_web_addresses_are_opened(
        self, strange: Api, settings: Settings, sessions: Sessions, message: Message, ledger: Ledger, url: str
    ) -> None:
        answer = await strange.get(await shortened(settings, sessions, message, url))
        assert (answer.status_code, "location" in answer.headers) == (404, False)
        assert await ledger.clicks() == (0, 0, False)

    async def test_a_line_break_starts_no_header(
        self, strange: Api, settings: Settings, sessions: Sessions, message: Message
    ) -> None:
        path = await shortened(settings, sessions, message, "https://a.example/\r\nSet-Cookie: a=b")
        answer = await strange.get(path)
        assert "set-cookie" not in answer.headers
        assert answer.headers["location"].startswith("https://a.example/%0D%0A")

    async def test_our_own_way_out_is_found_at_our_own_address(
        self, strange: Api, settings: Settings, sessions: Sessions, message: Message, ledger: Ledger
    ) -> None:
        answer = await strange.get(await shortened(settings, sessions, message, "/u/token"))
        assert answer.headers["location"] == "http://relay.test/u/token"
        assert await ledger.clicks() == (0, 0, False)


class TestUnknownLinks:
    @pytest.mark.parametrize("code", ["0000000000", "x", "A" * 500, "é😊", "a%00b", "'; DROP TABLE short_links"])
    async def test_a_page_for_people_and_a_problem_for_programs(self, anonymous: Api, code: str) -> None:
        page = await anonymous.get(f"/r/{code}", headers={**BROWSER, "Accept-Language": "pt-PT,pt;q=0.9"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "Este link não funciona" in page.text
        answer = await anonymous.get(f"/r/{code}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_a_link_works_for_everybody_and_counts_for_its_tenant(
        self, strange: Api, link: str, sessions: Sessions
    ) -> None:
        await strange.get(link)
        async with sessions.begin(new_id()) as stranger:
            assert (await stranger.execute(text("SELECT count(*) FROM short_links"))).scalar_one() == 0


class TestCollision:
    async def test_a_code_that_is_another_s_is_not_ours(self, sessions: Sessions, message: Message, link: str) -> None:
        code, other = link.removeprefix("/r/"), NewLink(message_id=new_id(), code=new_id().hex[-10:], url=SHOP)
        again = NewLink(message_id=message.id, code=code, url=SHOP)
        foreign = NewLink(message_id=UUID(int=1), code=code, url="https://evil.example")
        async with sessions.begin(message.tenant_id) as session:
            assert await short_links.add(session, message.tenant_id, [again]) == {code}
            assert await short_links.add(session, message.tenant_id, [foreign]) == set()
        async with sessions.begin(stranger := new_id()) as session:
            assert await short_links.add(session, stranger, [again, other]) == {other.code}


class TestDatabaseAway:
    async def test_people_are_asked_to_wait_a_moment(self, settings: Settings, tmp_path: Path) -> None:
        url = SecretStr(f"postgresql://relay@/relay?host={tmp_path}")
        async with running(settings.model_copy(update={"database_url": url, "temporal_address": NOWHERE})) as api:
            who = {"tenant_id": new_id(), "contact_id": new_id(), "message_id": new_id()}
            token = UnsubscribeTokens(settings.keys).issue(channel=Channel.EMAIL, **who)
            for method, path in (("GET", "/r/0123456789"), ("GET", f"/u/{token}"), ("POST", f"/u/{token}")):
                page = await api.request(method, path, headers=BROWSER)
                assert (page.status_code, page.headers["retry-after"]) == (503, "2")
                assert "One moment, please" in page.text
                assert ("refresh" in page.text) == (method == "GET")
                assert str(tmp_path) not in page.text
                answer = await api.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert answer.headers["retry-after"] == "2"
