from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.db import Sessions
from app.domain.status import CampaignStatus, Channel, Direction, MessageStatus, MessageType, RecipientState
from app.ids import new_id
from app.models import Campaign, CampaignRecipient, Event, Message, Template, Tenant
from tests.routes.conftest import Api, make_contact, pointers

ORDER = {"email": "ana@example.com", "amount": "49.90", "currency": "eur", "order_id": "A-17"}


async def campaign_message(
    sessions: Sessions, tenant: Tenant, contact_id: str, sent_at: datetime, **values: Any
) -> tuple[UUID, UUID]:
    """A running campaign that reached the contact at `sent_at`: its id and the message's."""
    async with sessions.begin(tenant.id) as session:
        template = Template(tenant_id=tenant.id, name=str(new_id()))
        session.add(template)
        await session.flush()
        campaign = Campaign(
            tenant_id=tenant.id,
            name="Spring",
            primary_channel=Channel.SMS,
            template_id=template.id,
            status=CampaignStatus.RUNNING,
            exit_on_json=["reply", "conversion"],
            launched_at=sent_at,
        )
        session.add(campaign)
        message = Message(
            id=new_id(),
            tenant_id=tenant.id,
            conversation_id=UUID(contact_id),
            contact_id=UUID(contact_id),
            campaign_id=campaign.id,
            channel=Channel.SMS,
            direction=Direction.OUT,
            type=MessageType.TEXT,
            status=MessageStatus.SENT,
            created_at=sent_at,
            sent_at=sent_at,
            **values,
        )
        session.add(message)
        session.add(
            CampaignRecipient(
                tenant_id=tenant.id,
                campaign_id=campaign.id,
                contact_id=UUID(contact_id),
                state=RecipientState.SENT,
                armed_at=sent_at,
            )
        )
        return campaign.id, message.id


class TestRecord:
    async def test_the_last_message_gets_the_credit_and_the_sequence_stops(
        self, api: Api, sessions: Sessions, tenant: Tenant
    ) -> None:
        contact, now = await make_contact(api, email="ana@example.com"), datetime.now(UTC)
        await campaign_message(sessions, tenant, contact["id"], now - timedelta(days=3))
        latest, message = await campaign_message(sessions, tenant, contact["id"], now - timedelta(days=1))
        answer = await api.post("/v1/conversions", json=ORDER)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["campaign_id"], made["message_id"]) == (str(latest), str(message))
        assert (made["amount"], made["currency"]) == ("49.90", "EUR")
        async with sessions.begin(tenant.id) as session:
            stops = (await session.execute(select(CampaignRecipient))).scalars().all()
            assert {stop.stop_reason for stop in stops} == {"converted"}
            assert (await session.execute(select(Event))).scalar_one().kind == "converted"

    async def test_a_message_of_eight_days_ago_gets_none(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        contact = await make_contact(api, email="ana@example.com")
        await campaign_message(sessions, tenant, contact["id"], datetime.now(UTC) - timedelta(days=8))
        assert (await api.post("/v1/conversions", json=ORDER)).json()["campaign_id"] is None

    async def test_the_same_order_is_the_same_answer_and_another_amount_a_conflict(self, api: Api) -> None:
        await make_contact(api, email="ana@example.com")
        first = await api.post("/v1/conversions", json=ORDER)
        again = await api.post("/v1/conversions", json={**ORDER, "amount": 49.9})
        assert (again.status_code, again.json()) == (201, first.json())
        other = await api.post("/v1/conversions", json={**ORDER, "amount": 50})
        assert (other.status_code, pointers(other)) == (409, ["/amount"])

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"email": "eva@example.com"}, "/email"),
            ({"amount": 0}, "/amount"),
            ({"amount": "a lot"}, "/amount"),
            ({"amount": "NaN"}, "/amount"),
            ({"amount": "1e30"}, "/amount"),
            ({"amount": "1.00001"}, "/amount"),
            ({"currency": "EURO"}, "/currency"),
            ({"order_id": " "}, "/order_id"),
            ({"occurred_at": "2999-01-01T00:00:00Z"}, "/occurred_at"),
            ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "/occurred_at"),
        ],
    )
    async def test_bad_fields_are_named(self, api: Api, changes: dict[str, Any], pointer: str) -> None:
        await make_contact(api, email="ana@example.com")
        answer = await api.post("/v1/conversions", json={**ORDER, **changes})
        assert (answer.status_code, pointers(answer)) == (422, [pointer])


class TestOverview:
    async def test_counts_and_revenue_per_channel(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        contact, now = await make_contact(api, email="ana@example.com"), datetime.now(UTC)
        await campaign_message(sessions, tenant, contact["id"], now - timedelta(hours=1), delivered_at=now)
        await api.post("/v1/conversions", json=ORDER)
        no = {"channel": "email", "opt_in": False}
        await api.post(f"/v1/contacts/{contact['id']}/consents", json=no)
        shown = (await api.get("/v1/analytics/overview")).json()
        assert (shown["total"]["sent"], shown["total"]["delivered"], shown["total"]["conversions"]) == (1, 1, 1)
        assert shown["channels"]["sms"]["revenue"] == {"EUR": "49.90"}
        assert shown["channels"]["sms"]["rates"]["delivered"] == 1.0
        assert shown["channels"]["email"]["opted_out"] == 1
        before = {"from": (now - timedelta(days=9)).isoformat(), "to": (now - timedelta(days=8)).isoformat()}
        assert (await api.get("/v1/analytics/overview", params=before)).json()["total"]["sent"] == 0

    @pytest.mark.parametrize(
        "params",
        [
            {"from": "2026-05-02", "to": "2026-05-01"},
            {"from": "2020-01-01", "to": "2026-01-01"},
            {"from": "yesterday"},
            {"from": "0001-01-01T00:00:00+14:00"},
        ],
    )
    async def test_a_span_that_makes_no_sense_is_refused(self, api: Api, params: dict[str, str]) -> None:
        answer = await api.get("/v1/analytics/overview", params=params)
        assert (answer.status_code, pointers(answer)) == (422, ["?from"])
