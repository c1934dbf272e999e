"""Exports: everything there is, safe to open, and good to import again."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.db import Sessions
from app.domain.segment import Everyone
from app.domain.status import Channel, SuppressionReason
from app.ids import new_id
from app.models import Tenant
from app.repositories import consents as consent_rows
from app.repositories import exports
from tests import factories
from tests.importing import run as run_import
from tests.routes.conftest import Api, make_contact, pointers

ANA = {
    "phone": "+351912345678",
    "email": "ana@example.com",
    "first_name": "=HYPERLINK(1)",
    "last_name": 'Sílva, "a"\nb',
    "lang": "pt",
    "timezone": "Europe/Lisbon",
    "tags": ["vip", "spring"],
    "attributes": {"city": "Lisboa", "score": 7},
}


NOW = datetime.now(UTC)
MORE = {"agent": "rita"}


@pytest.fixture
async def other_tenant(sessions: Sessions) -> Tenant:
    async with sessions.system() as session:
        return await factories.make_tenant(session)


async def read(api: Api, path: str, **params: Any) -> list[dict[str, str]]:
    answer = await api.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def consent(api: Api, contact: dict[str, Any], channel: str, **said: Any) -> None:
    answer = await api.post(f"/v1/contacts/{contact['id']}/consents", json={"channel": channel, **said})
    assert answer.status_code == 201, answer.text


class TestContacts:
    async def test_every_field_is_there_and_no_cell_is_a_formula(self, api: Api) -> None:
        ana = await make_contact(api, **ANA)
        await consent(api, ana, "whatsapp", opt_in=True, at="2026-01-15T10:00:00Z", source="checkout")
        await consent(api, ana, "email", opt_in=False, at="2026-02-01T10:00:00Z", source="call")
        (row,) = await read(api, "/v1/contacts/export")
        assert row == {
            "phone": "+351912345678",
            "email": "ana@example.com",
            "first_name": "'=HYPERLINK(1)",
            "last_name": 'Sílva, "a"\nb',
            "lang": "pt",
            "timezone": "Europe/Lisbon",
            "tags": "vip|spring",
            "consent_whatsapp": "2026-01-15T10:00:00+00:00",
            "consent_email": "no",
            "consent_sms": "",
            "consent_source": "checkout",
            "city": "Lisboa",
            "score": "7",
            "relay_id": ana["id"],
            "relay_country": "PT",
            "relay_suppressed": "email:unsubscribe",
            "relay_created_at": row["relay_created_at"],
            "relay_last_inbound_at": "",
            "relay_more_attributes": "",
        }

    async def test_another_tenant_imports_the_same_people(
        self, api: Api, sessions: Sessions, other_tenant: Tenant
    ) -> None:
        ana = await make_contact(api, **{**ANA, "last_name": "Silva"})
        await consent(api, ana, "sms", opt_in=True, at="2026-01-15T10:00:00Z", source="checkout")
        await make_contact(api, email="rui@example.com", attributes={"note": "@home"})
        text = (await api.get("/v1/contacts/export", params={"bom": True})).text
        assert text.startswith("\ufeff")
        await run_import(sessions, other_tenant, text)
        async with sessions.begin(other_tenant.id) as session:
            ids = await exports.contact_ids(session, other_tenant.id, Everyone(), NOW, exports.BEGINNING)
            rows = await exports.contacts(session, ids)
        there = {(row.email, row.first_name, row.sms_in.isoformat() if row.sms_in else None) for row in rows}
        assert there == {
            ("ana@example.com", "=HYPERLINK(1)", "2026-01-15T10:00:00+00:00"),
            ("rui@example.com", "", None),
        }
        assert [row.attributes_json for row in sorted(rows, key=lambda row: row.email)] == [
            {"city": "Lisboa", "score": "7"},
            {"note": "@home"},
        ]

    async def test_more_than_a_page_each_once(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            session.add_all(factories.new_contact(tenant.id) for _ in range(exports.PAGE + 5))
        rows = await read(api, "/v1/contacts/export")
        assert len({row["relay_id"] for row in rows}) == len(rows) == exports.PAGE + 5

    async def test_a_segment_narrows_it(self, api: Api) -> None:
        await make_contact(api, **ANA)
        await make_contact(api, email="rui@example.com")
        segment = json.dumps({"all": [{"field": "tags", "op": "contains", "value": "vip"}]})
        assert [row["email"] for row in await read(api, "/v1/contacts/export", segment=segment)] == ["ana@example.com"]
        bad = await api.get("/v1/contacts/export", params={"segment": "{"})
        assert (bad.status_code, pointers(bad)) == (422, ["?segment"])

    async def test_nobody_is_a_header(self, api: Api) -> None:
        answer = await api.get("/v1/contacts/export")
        assert answer.text.count("\r\n") == 1


class TestConsents:
    async def test_the_present_state(self, api: Api) -> None:
        ana = await make_contact(api, **ANA)
        await consent(api, ana, "whatsapp", opt_in=True, at="2026-01-15T10:00:00Z", source="checkout")
        await consent(api, ana, "whatsapp", opt_in=False, at="2026-02-15T10:00:00Z", source="call")
        (row,) = await read(api, "/v1/consents/export")
        assert (row["channel"], row["opted_in"], row["source"]) == ("whatsapp", "no", "call")
        assert (row["opt_in_at"], row["opt_out_at"]) == ("2026-01-15T10:00:00+00:00", "2026-02-15T10:00:00+00:00")

    async def test_the_history_keeps_what_was_changed_since(self, api: Api) -> None:
        ana = await make_contact(api, **ANA)
        await consent(api, ana, "whatsapp", opt_in=True, at="2026-01-15T10:00:00Z", source="checkout")
        await consent(
            api, ana, "whatsapp", opt_in=False, at="2026-02-15T10:00:00Z", source="call", meta={"agent": "rita"}
        )
        rows = await read(api, "/v1/consents/history/export")
        assert [(row["change"], row["occurred_at"], row["source"], row["details"]) for row in rows] == [
            ("opted_in", "2026-01-15T10:00:00+00:00", "checkout", ""),
            ("opted_out", "2026-02-15T10:00:00+00:00", "call", '{"agent":"rita"}'),
        ]
        assert {row["contact_id"] for row in rows} == {ana["id"]}

    async def test_an_import_is_a_line_for_each_channel(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        text = "email,phone,consent_email,consent_sms,consent_source\n"
        text += "a@b.example,+351912345678,2026-01-15,2026-02-15,form\n"
        await run_import(sessions, tenant, text)
        rows = await read(api, "/v1/consents/history/export")
        assert [(row["channel"], row["change"], row["occurred_at"], row["source"]) for row in rows] == [
            ("email", "opted_in", "2026-01-15T00:00:00+00:00", "form"),
            ("sms", "opted_in", "2026-02-15T00:00:00+00:00", "form"),
        ]
        assert all("import_id" in row["details"] for row in rows)


class TestSuppressions:
    async def test_those_in_force(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        async with sessions.begin(tenant.id) as session:
            for address, reason in (
                ("a@b.example", SuppressionReason.BOUNCE),
                ("c@d.example", SuppressionReason.MANUAL),
            ):
                await consent_rows.suppress(session, tenant.id, Channel.EMAIL, address, reason=reason, source="test")
        rows = await read(api, "/v1/suppressions/export")
        assert [(row["channel"], row["address"], row["reason"]) for row in rows] == [
            ("email", "a@b.example", "bounce"),
            ("email", "c@d.example", "manual"),
        ]

    async def test_no_export_shows_another_tenant(self, api: Api, sessions: Sessions, other_tenant: Tenant) -> None:
        async with sessions.begin(other_tenant.id) as session:
            contact = factories.new_contact(other_tenant.id, id=new_id())
            session.add(contact)
            await consent_rows.suppress(
                session, other_tenant.id, Channel.SMS, "+351912345678", reason=SuppressionReason.STOP, source="test"
            )
            assert isinstance(contact.id, UUID)
        for path in ("contacts/export", "consents/export", "consents/history/export", "suppressions/export"):
            assert await read(api, f"/v1/{path}") == []
