import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col

from app.db import Sessions
from app.domain.status import Channel, SuppressionReason
from app.ids import new_id
from app.models import CampaignRecipient, Consent, Event, Suppression, Tenant
from app.routes.pages import LANGUAGES, WORDS
from app.settings import Settings
from app.tokens import UnsubscribeTokens
from tests.conftest import MASTER_KEYS
from tests.factories import make_message
from tests.routes.conftest import Api, make_contact
from tests.routes.test_conversions import campaign_message
from tests.routes.test_outages import NOWHERE, running


@pytest.fixture
async def contact_id(api: Api) -> str:
    contact = await make_contact(api, email="ana@example.com", consents=[{"channel": "email", "opt_in": True}])
    return str(contact["id"])


@pytest.fixture
def link(app: FastAPI, tenant: Tenant, contact_id: str) -> str:
    token = app.state.resources.tokens.issue(
        tenant_id=tenant.id, contact_id=UUID(contact_id), channel=Channel.EMAIL, message_id=new_id()
    )
    return f"/u/{token}"


@pytest.fixture
def consent(sessions: Sessions, tenant: Tenant, link: str) -> Callable[[], Awaitable[Consent]]:
    async def read() -> Consent:
        async with sessions.begin(tenant.id) as session:
            return (await session.execute(select(Consent))).scalar_one()

    return read


class TestUnsubscribe:
    async def test_opening_the_link_changes_nothing(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, link: str
    ) -> None:
        page = await anonymous.get(link)
        assert page.status_code == 200
        assert '<form method="post">' in page.text
        assert "a…@example.com" in page.text
        assert page.headers["cache-control"] == "no-store"
        async with sessions.begin(tenant.id) as session:
            assert (await session.execute(select(Suppression))).first() is None

    async def test_one_click_is_in_force_before_the_answer_and_ends_sequences(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, link: str, contact_id: str
    ) -> None:
        await campaign_message(sessions, tenant, contact_id, datetime.now(UTC))
        for _ in range(2):
            answer = await anonymous.post(link, data={"List-Unsubscribe": "One-Click"})
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        async with sessions.begin(tenant.id) as session:
            suppression = (await session.execute(select(Suppression))).scalar_one()
            assert (suppression.address, suppression.reason) == ("ana@example.com", "unsubscribe")
            consent = (await session.execute(select(Consent))).scalar_one()
            assert consent.opt_out_at_utc is not None
            assert consent.source == "list_unsubscribe"
            assert (await session.execute(select(CampaignRecipient))).scalar_one().stop_reason == "opted_out"

    async def test_a_key_for_another_purpose_does_not_matter_here(self, anonymous: Api, link: str) -> None:
        answer = await anonymous.post(link, headers={"Idempotency-Key": "x", "Authorization": "Bearer nonsense"})
        assert answer.status_code == 200

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_a_damaged_link_is_a_page_for_people_and_a_problem_for_programs(
        self, anonymous: Api, link: str, method: str
    ) -> None:
        page = await anonymous.request(method, link[:-2], headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        answer = await anonymous.request(method, link[:-2])
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_a_form_with_parts_is_a_click_too(self, anonymous: Api, link: str, consent: Any) -> None:
        answer = await anonymous.post(link, files={"List-Unsubscribe": (None, "One-Click")})
        assert answer.status_code == 200
        assert (await consent()).source == "list_unsubscribe"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [(b"", ""), (b"\xff\x00=", "application/x-www-form-urlencoded"), (b"--x", "multipart/form-data; boundary=y"),
         (b"x", "multipart/form-data"), (b'{"intent": "subscribe"}', "application/json")],
    )  # fmt: skip
    async def test_however_garbled_the_form_whoever_posts_wants_no_more(
        self, anonymous: Api, link: str, consent: Any, body: bytes, kind: str
    ) -> None:
        answer = await anonymous.post(link, content=body, headers={"Content-Type": kind} if kind else {})
        assert answer.status_code == 200
        assert (await consent()).opt_out_at_utc is not None

    async def test_head_looks_and_changes_nothing(self, anonymous: Api, link: str, consent: Any) -> None:
        answer = await anonymous.head(link)
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await consent()).opt_out_at_utc is None

    async def test_scanners_that_open_it_change_nothing(self, anonymous: Api, link: str, consent: Any) -> None:
        for query in ("", "?List-Unsubscribe=One-Click", "?intent=unsubscribe"):
            page = await anonymous.get(link + query, headers={"User-Agent": "Barracuda Sentinel (EE)"})
            assert page.status_code == 200
        assert (await consent()).opt_out_at_utc is None

    async def test_a_link_of_years_ago_under_a_key_that_is_old_by_now(
        self, settings: Settings, tenant: Tenant, contact_id: str, consent: Any
    ) -> None:
        old = bytes(range(1, 33))
        who = {"tenant_id": tenant.id, "contact_id": UUID(contact_id), "message_id": new_id()}
        token = UnsubscribeTokens({"2019": old}).issue(channel=Channel.EMAIL, **who)
        keys = SecretStr(f"{MASTER_KEYS},2019:{base64.b64encode(old).decode()}")
        rotated = {**settings.model_dump(), "master_keys": keys, "temporal_address": NOWHERE}
        async with running(Settings(_env_file=None, **rotated)) as anonymous:
            assert (await anonymous.post(f"/u/{token}")).status_code == 200
            assert (await anonymous.post(f"/u/{token[:-2]}")).status_code == 404
        assert (await consent()).opt_out_at_utc is not None

    async def test_a_huge_form_is_refused(self, anonymous: Api, link: str) -> None:
        assert (await anonymous.post(link, content=b"x" * 2_000_000)).status_code == 413


class TestPage:
    @pytest.mark.parametrize(
        ("accepted", "lang", "words"),
        [
            ("", "en", "Unsubscribe"),
            ("de, ja;q=0.9", "en", "Unsubscribe"),
            ("pt-BR,pt;q=0.9,en;q=0.8", "pt", "Cancelar subscrição"),
            ("de;q=1, fr;q=0.5, es;q=0.7", "es", "Darse de baja"),
            ("FR-ca", "fr", "Se désabonner"),
            ("pt;q=0, en;q=0.1", "en", "Unsubscribe"),
            ("pt;q=x,,;q=1, es ; q=0.2", "es", "Darse de baja"),
        ],
    )
    async def test_it_speaks_the_browser_s_language(
        self, anonymous: Api, link: str, accepted: str, lang: str, words: str
    ) -> None:
        page = await anonymous.get(link, headers={"Accept-Language": accepted})
        assert page.headers["content-language"] == lang
        assert page.headers["vary"] == "Accept-Language"
        assert f'<html lang="{lang}">' in page.text
        assert f"<h1>{words}</h1>" in page.text

    def test_every_language_says_everything(self) -> None:
        assert WORDS.keys() == set(LANGUAGES)
        assert len({frozenset(words) for words in WORDS.values()}) == 1
        assert all(word for words in WORDS.values() for word in words.values())

    async def test_a_name_is_text_and_never_markup(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, link: str
    ) -> None:
        async with sessions.begin(tenant.id) as session:
            (await session.get_one(Tenant, tenant.id)).name = '<script>alert("1")</script>{sender}{title}'
        for page in (await anonymous.get(link), await anonymous.post(link), await anonymous.get(link)):
            assert "<script" not in page.text
            assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;{sender}{title}" in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]


class TestSubscribeAgain:
    async def test_the_page_offers_it_and_it_is_an_opt_in(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, link: str, consent: Any
    ) -> None:
        await anonymous.post(link, data={"List-Unsubscribe": "One-Click"})
        page = await anonymous.get(link)
        assert '<button type="submit" name="intent" value="subscribe">Subscribe again</button>' in page.text
        for _ in range(2):
            page = await anonymous.post(link, data={"intent": "subscribe"})
            assert (page.status_code, "Subscribed again" in page.text) == (200, True)
        allowed = await consent()
        assert allowed.opt_in_at_utc > allowed.opt_out_at_utc
        assert allowed.source == "unsubscribe_page"
        async with sessions.begin(tenant.id) as session:
            assert (await session.execute(select(Suppression))).scalar_one().lifted_at is not None
            facts = (await session.execute(select(Event).where(col(Event.kind) == "opted_in"))).scalars().all()
        assert "unsubscribe_page" in {fact.payload_json["source"] for fact in facts}
        assert 'value="unsubscribe"' in (await anonymous.get(link)).text

    async def test_a_mailbox_that_clicks_is_never_taken_for_it(self, anonymous: Api, link: str, consent: Any) -> None:
        await anonymous.post(link, data={"List-Unsubscribe": "One-Click", "intent": "subscribe"})
        allowed = await consent()
        assert allowed.opt_out_at_utc > allowed.opt_in_at_utc

    async def test_an_address_that_was_given_up_meanwhile_is_free_again_too(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, contact_id: str, app: FastAPI
    ) -> None:
        async with sessions.begin(tenant.id) as session:
            message = await make_message(
                session, tenant.id, UUID(contact_id), channel=Channel.EMAIL, address="old@example.com"
            )
        token = app.state.resources.tokens.issue(
            tenant_id=tenant.id, contact_id=UUID(contact_id), channel=Channel.EMAIL, message_id=message.id
        )
        await anonymous.post(f"/u/{token}")
        await anonymous.post(f"/u/{token}", data={"intent": "subscribe"})
        async with sessions.begin(tenant.id) as session:
            suppression = (await session.execute(select(Suppression))).scalar_one()
        assert (suppression.address, suppression.lifted_at is not None) == ("old@example.com", True)

    async def test_a_complaint_is_not_taken_back(
        self, anonymous: Api, sessions: Sessions, tenant: Tenant, link: str
    ) -> None:
        async with sessions.begin(tenant.id) as session:
            session.add(
                Suppression(
                    tenant_id=tenant.id, channel=Channel.EMAIL, address="ana@example.com",
                    reason=SuppressionReason.COMPLAINT, source="test",
                )
            )  # fmt: skip
        await anonymous.post(link)
        await anonymous.post(link, data={"intent": "subscribe"})
        async with sessions.begin(tenant.id) as session:
            suppression = (await session.execute(select(Suppression))).scalar_one()
        assert (suppression.reason, suppression.lifted_at) == ("complaint", None)
