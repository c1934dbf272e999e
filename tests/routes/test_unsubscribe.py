from datetime import UTC, datetime
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.db import Sessions
from app.domain.status import Channel
from app.ids import new_id
from app.models import CampaignRecipient, Consent, Suppression, Tenant
from tests.routes.conftest import Api, make_contact
from tests.routes.test_conversions import campaign_message


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

    async def test_a_huge_form_is_refused(self, anonymous: Api, link: str) -> None:
        assert (await anonymous.post(link, content=b"x" * 2_000_000)).status_code == 413
