"""Segments against real rows: who is found, and that values stay values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_mock_engine, select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import col

from app.db import Sessions
from app.domain.segment import FIELDS, parse_segment
from app.domain.status import Channel
from app.ids import new_id
from app.models import Consent, Contact, Conversation, Conversion, LeadScore, Tenant
from app.repositories import segments
from tests import factories

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE contacts; --",
    '"; --',
    "\\'; --",
    "%(x)s",
    ":value",
    "{}",
    "$1",
    "vip' || '",
    "?",
]


class People:
    """Ana has everything, Bo the opposite of everything, Cy nothing at all."""

    def __init__(self, tenant_id: UUID, ids: dict[UUID, str], campaign_id: UUID) -> None:
        self.tenant_id, self.ids, self.campaign_id = tenant_id, ids, campaign_id


@pytest.fixture(scope="module")
async def people(sessions: Sessions) -> People:
    async with sessions.system() as session:
        tenant: Tenant = await factories.make_tenant(session)
    async with sessions.begin(tenant.id) as session:
        ana = await factories.make_contact(
            session,
            tenant.id,
            first_name="Ana",
            last_name="Silva",
            email="ana@example.com",
            phone="+351912000001",
            lang="pt",
            country="PT",
            timezone="Europe/Lisbon",
            tags_json=["vip", "it's; DROP"],
            attributes_json={
                "city": "Faro",
                "spent": 120.5,
                "since": "2024-05-01",
                "likes": ["tea", "jam"],
                "on": True,
            },
            last_inbound_at=NOW - DAY,
        )
        bo = await factories.make_contact(
            session,
            tenant.id,
            first_name="Bo",
            email="bo@example.com",
            phone="+16502530000",
            lang="en",
            country="US",
            timezone="America/New_York",
            tags_json=["new"],
            attributes_json={
                "city": "New York",
                "spent": "99",
                "since": "2026-01-01",
                "likes": "green tea",
                "on": "false",
            },
            last_inbound_at=NOW - 30 * DAY,
        )
        cy = await factories.make_contact(session, tenant.id, first_name="", email=None, phone=None, country="")
        campaign = await factories.make_campaign(session, tenant.id)
        await factories.make_recipient(session, tenant.id, campaign.id, ana.id)
        session.add_all(
            [
                Conversation(id=ana.id, tenant_id=tenant.id, contact_id=ana.id, last_outbound_at=NOW - 2 * DAY),
                Conversation(id=bo.id, tenant_id=tenant.id, contact_id=bo.id, last_outbound_at=NOW - 40 * DAY),
                Consent(tenant_id=tenant.id, contact_id=ana.id, channel=Channel.WHATSAPP, opt_in_at_utc=NOW - DAY),
                Consent(
                    tenant_id=tenant.id,
                    contact_id=bo.id,
                    channel=Channel.WHATSAPP,
                    opt_in_at_utc=NOW - 2 * DAY,
                    opt_out_at_utc=NOW - DAY,
                ),
                Consent(
                    tenant_id=tenant.id,
                    contact_id=bo.id,
                    channel=Channel.SMS,
                    opt_in_at_utc=NOW - DAY,
                    opt_out_at_utc=NOW - 2 * DAY,
                ),
                LeadScore(tenant_id=tenant.id, contact_id=ana.id, score=70.5),
                LeadScore(tenant_id=tenant.id, contact_id=bo.id, score=-3),
                Conversion(tenant_id=tenant.id, contact_id=ana.id, amount=Decimal(10), currency="EUR", order_id="o-1"),
            ]
        )
        return People(tenant.id, {ana.id: "Ana", bo.id: "Bo", cy.id: "Cy"}, campaign.id)


async def found(sessions: Sessions, people: People, tree: Any) -> str:
    """The names of the contacts in the segment, in order."""
    async with sessions.begin(people.tenant_id) as session:
        rows = await session.scalars(select(col(Contact.id)).where(segments.where(parse_segment(tree), NOW)))
        return " ".join(sorted(people.ids[id] for id in rows))


def condition(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def trees_with(text: str) -> list[dict[str, Any]]:
    """Conditions that nobody meets, with `text` wherever a tenant's text may go."""
    return [
        condition("lang", "eq", text),
        condition("first_name", "in", [text, text]),
        condition("phone", "eq", text),
        condition("tags", "contains", text),
        condition("tags", "contains_any", [text, text]),
        condition(f"attributes.{text}", "eq", text),
        condition(f"attributes.{text}", "contains", text),
        condition(f"attributes.{text}", "gt", text),
        condition(f"attributes.{text}", "lt", 5),
    ]


def compiled(tree: Any) -> SQLCompiler:
    dialect = create_mock_engine("postgresql+psycopg://", lambda *_: None).dialect
    statement = select(1).where(segments.where(parse_segment(tree), NOW)).compile(dialect=dialect)
    assert isinstance(statement, SQLCompiler)
    return statement


def listed(bound: Any) -> list[Any]:
    return bound if isinstance(bound, list) else [bound]


class TestWhere:
    async def test_nothing_is_everyone(self, sessions: Sessions, people: People) -> None:
        assert await found(sessions, people, {}) == "Ana Bo Cy"
        assert await found(sessions, people, {"all": []}) == "Ana Bo Cy"
        assert await found(sessions, people, {"not": {}}) == ""

    @pytest.mark.parametrize(
        ("field", "op", "value", "names"),
        [
            ("tags", "contains", "vip", "Ana"),
            ("tags", "contains", "vi", ""),
            ("tags", "contains", "it's; DROP", "Ana"),
            ("tags", "not_contains", "vip", "Bo Cy"),
            ("tags", "contains_any", ["vip", "new"], "Ana Bo"),
            ("tags", "contains_all", ["vip", "it's; DROP"], "Ana"),
            ("tags", "exists", True, "Ana Bo"),
            ("tags", "exists", False, "Cy"),
            ("lang", "eq", "pt", "Ana"),
            ("lang", "ne", "pt", "Bo Cy"),
            ("country", "in", ["pt", "US"], "Ana Bo"),
            ("country", "not_in", ["PT"], "Bo Cy"),
            ("timezone", "eq", "America/New_York", "Bo"),
            ("timezone", "exists", False, "Cy"),
            ("first_name", "eq", "Ana", "Ana"),
            ("last_name", "exists", True, "Ana"),
            ("email", "eq", "ANA@example.com", "Ana"),
            ("email", "ne", "ana@example.com", "Bo Cy"),
            ("email", "exists", False, "Cy"),
            ("phone", "in", ["+351912000001"], "Ana"),
            ("phone", "exists", True, "Ana Bo"),
            ("lead_score", "gte", 70.5, "Ana"),
            ("lead_score", "lt", 1, "Bo Cy"),
            ("lead_score", "eq", 0, "Cy"),
            ("lead_score", "ne", 0, "Ana Bo"),
            ("lead_score", "gt", -3, "Ana Cy"),
            ("lead_score", "lte", -3, "Bo"),
            ("last_inbound", "within_days", 7, "Ana"),
            ("last_inbound", "not_within_days", 7, "Bo Cy"),
            ("last_inbound_at", "before", "2026-02-15", "Bo"),
            ("last_inbound_at", "after", "2026-02-15T00:00:00Z", "Ana"),
            ("last_outbound_at", "exists", False, "Cy"),
            ("last_outbound_at", "within_days", 0.5, ""),
            ("consent.whatsapp", "eq", True, "Ana"),
            ("consent.whatsapp", "eq", False, "Bo Cy"),
            ("consent.sms", "eq", True, "Bo"),
            ("consent", "eq", "sms", "Bo"),
            ("consent", "ne", "sms", "Ana Cy"),
            ("consent", "in", ["whatsapp", "sms"], "Ana Bo"),
            ("converted", "eq", True, "Ana"),
            ("converted", "eq", False, "Bo Cy"),
        ],
    )
    async def test_finds_by_field(
        self, sessions: Sessions, people: People, field: str, op: str, value: Any, names: str
    ) -> None:
        assert await found(sessions, people, condition(field, op, value)) == names
        rest = " ".join(name for name in ("Ana", "Bo", "Cy") if name not in names.split())
        assert await found(sessions, people, {"not": condition(field, op, value)}) == rest

    @pytest.mark.parametrize(
        ("name", "op", "value", "names"),
        [
            ("city", "eq", "Faro", "Ana"),
            ("city", "ne", "Faro", "Bo Cy"),
            ("city", "in", ["Faro", "New York"], "Ana Bo"),
            ("city", "not_in", ["Faro"], "Bo Cy"),
            ("city", "contains", "york", "Bo"),
            ("city", "exists", True, "Ana Bo"),
            ("shoe size's", "exists", False, "Ana Bo Cy"),
            ("likes", "contains", "tea", "Ana Bo"),
            ("likes", "contains", "jam", "Ana"),
            ("likes", "contains", "ja", ""),
            ("spent", "gt", 100, "Ana"),
            ("spent", "lte", 99, "Bo"),
            ("spent", "gte", 99, "Ana Bo"),
            ("spent", "lt", 100, "Bo"),
            ("spent", "eq", 99, "Bo"),
            ("spent", "eq", 120.5, "Ana"),
            ("spent", "eq", "99", "Bo"),
            ("city", "gt", 5, ""),
            ("since", "lt", "2025-01-01", "Ana"),
            ("since", "gte", "2026-01-01", "Bo"),
            ("on", "eq", True, "Ana"),
            ("on", "eq", False, "Bo"),
        ],
    )
    async def test_finds_by_attribute(
        self, sessions: Sessions, people: People, name: str, op: str, value: Any, names: str
    ) -> None:
        assert await found(sessions, people, condition(f"attributes.{name}", op, value)) == names
        rest = " ".join(name for name in ("Ana", "Bo", "Cy") if name not in names.split())
        assert await found(sessions, people, {"not": condition(f"attributes.{name}", op, value)}) == rest

    async def test_finds_members_of_a_campaign(self, sessions: Sessions, people: People) -> None:
        campaign = str(people.campaign_id)
        assert await found(sessions, people, condition("campaign", "member_of", campaign)) == "Ana"
        assert await found(sessions, people, condition("campaign", "not_member_of", campaign)) == "Bo Cy"
        assert await found(sessions, people, condition("campaign", "member_of", str(new_id()))) == ""

    async def test_combines(self, sessions: Sessions, people: People) -> None:
        vip, english = condition("tags", "contains", "vip"), condition("lang", "eq", "en")
        assert await found(sessions, people, {"any": [vip, english]}) == "Ana Bo"
        assert await found(sessions, people, {"all": [vip, english]}) == ""
        assert await found(sessions, people, {"all": [{"not": vip}, {"any": [english, vip]}]}) == "Bo"

    @pytest.mark.parametrize("text", INJECTIONS)
    async def test_a_value_is_never_sql(self, sessions: Sessions, people: People, text: str) -> None:
        assert [await found(sessions, people, tree) for tree in trees_with(text)] == [""] * len(trees_with(text))

    @pytest.mark.parametrize("text", INJECTIONS)
    def test_a_value_is_a_bound_parameter(self, text: str) -> None:
        for tree, plain in zip(trees_with(text), trees_with("x"), strict=True):
            statement = compiled(tree)
            assert str(statement) == str(compiled(plain))
            assert text in [value for bound in statement.params.values() for value in listed(bound)]

    async def test_every_operator_of_every_field_is_sql(self, sessions: Sessions, people: People) -> None:
        samples = ["x", 1, True, ["x"], "2026-01-01", "sms", ["sms"], str(new_id())]
        ran = set()
        for field, operators in FIELDS.items():
            for op, read in operators.items():
                for sample in samples:
                    try:
                        read(sample)
                    except ValueError:
                        continue
                    await found(sessions, people, condition(field, op, sample))
                    ran.add((field, op))
        assert ran == {(field, op) for field, operators in FIELDS.items() for op in operators}
