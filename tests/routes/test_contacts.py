from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from app.db import Sessions
from app.models import Consent, Contact, Suppression, Tenant
from tests.routes.conftest import Api, make_contact, pointers

ANA = {"phone": "912 345 678", "email": "Ana@Example.com", "first_name": "Ana", "last_name": "Silva"}


class TestCreate:
    async def test_addresses_are_normalized_and_consents_kept(self, api: Api) -> None:
        consents = [{"channel": "sms", "opt_in": True}, {"channel": "email", "status": "opted_out"}]
        made = await make_contact(api, **ANA, tags=["vip", "vip"], attributes={"plan": "gold"}, consents=consents)
        assert (made["phone"], made["email"], made["country"]) == ("+351912345678", "ana@example.com", "PT")
        assert (made["tags"], made["attributes"]) == (["vip"], {"plan": "gold"})
        said = {consent["channel"]: consent for consent in made["consents"]}
        assert (said["sms"]["opted_in"], said["email"]["opted_in"]) == (True, False)
        assert said["email"]["suppressed"] == "unsubscribe"
        assert (await api.get(f"/v1/contacts/{made['id']}")).json() == made

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({}, ["/phone"]),
            ({"phone": "12", "email": "nonsense", "timezone": "Mars"}, ["/phone", "/email", "/timezone"]),
            ({"email": "a@example.com", "consents": [{"channel": "sms"}]}, ["/consents/0"]),
            ({"email": "a@example.com", "tags": [""]}, ["/tags/0"]),
            ({"email": "a@example.com", "consents": [{"channel": "sms", "opt_in": True, "at": "2999-01-01"}]}, ["/at"]),
        ],
    )
    async def test_bad_fields_are_named(self, api: Api, fields: dict[str, Any], expected: list[str]) -> None:
        answer = await api.post("/v1/contacts", json=fields)
        assert (answer.status_code, pointers(answer)) == (422, expected)

    async def test_a_taken_phone_number_is_a_conflict_naming_the_holder(self, api: Api) -> None:
        made = await make_contact(api, **ANA)
        answer = await api.post("/v1/contacts", json={"phone": "+351912345678"})
        assert (answer.status_code, pointers(answer)) == (409, ["/phone"])
        assert made["id"] in answer.json()["detail"]


class TestList:
    async def test_search_looks_into_names_and_addresses(self, api: Api) -> None:
        await make_contact(api, **ANA)
        await make_contact(api, email="under_score@example.org", first_name="100%")
        for search, expected in {"silva": 1, "ana SILVA": 1, "345": 1, "example": 2, "%": 1, "_": 1, "\\": 0}.items():
            answer = await api.get("/v1/contacts", params={"search": search})
            assert answer.json()["total"] == expected, search

    async def test_pages_cover_everybody_once(self, api: Api) -> None:
        for n in range(5):
            await make_contact(api, email=f"person{n}@example.com")
        seen = []
        for page in (1, 2, 3):
            answer = (await api.get("/v1/contacts", params={"page": page, "size": 2})).json()
            assert (answer["total"], answer["page"], answer["size"]) == (5, page, 2)
            seen += [row["email"] for row in answer["items"]]
        assert sorted(seen) == [f"person{n}@example.com" for n in range(5)]


class TestChange:
    async def test_what_is_given_is_merged(self, api: Api) -> None:
        made = await make_contact(api, **ANA, attributes={"plan": "gold", "city": "Porto"})
        answer = await api.patch(
            f"/v1/contacts/{made['id']}",
            json={"last_name": None, "attributes": {"plan": "silver", "city": None}, "timezone": "europe/lisbon"},
        )
        changed = answer.json()
        assert (changed["first_name"], changed["last_name"]) == ("Ana", "")
        assert (changed["attributes"], changed["timezone"]) == ({"plan": "silver"}, "Europe/Lisbon")

    async def test_the_last_address_can_not_go(self, api: Api) -> None:
        made = await make_contact(api, email="ana@example.com")
        answer = await api.patch(f"/v1/contacts/{made['id']}", json={"email": None})
        assert (answer.status_code, pointers(answer)) == (422, ["/phone"])

    async def test_the_number_of_another_contact_is_a_conflict(self, api: Api) -> None:
        await make_contact(api, **ANA)
        other = await make_contact(api, email="eva@example.com", first_name="Eva")
        answer = await api.patch(f"/v1/contacts/{other['id']}", json={"phone": ANA["phone"], "first_name": "X"})
        assert answer.status_code == 409
        assert (await api.get(f"/v1/contacts/{other['id']}")).json()["first_name"] == "Eva"


class TestDelete:
    async def test_the_person_is_forgotten_and_suppressions_stay(
        self, api: Api, sessions: Sessions, tenant: Tenant
    ) -> None:
        made = await make_contact(api, **ANA, consents=[{"channel": "sms", "opt_in": False}])
        assert (await api.delete(f"/v1/contacts/{made['id']}")).status_code == 204
        assert (await api.get(f"/v1/contacts/{made['id']}")).status_code == 404
        assert (await api.delete(f"/v1/contacts/{made['id']}")).status_code == 204
        async with sessions.begin(tenant.id) as session:
            row = (await session.execute(select(Contact))).scalar_one()
            assert (row.phone, row.email, row.first_name, row.tags_json) == (None, None, "", [])
            assert (await session.execute(select(Consent))).first() is None
            assert (await session.execute(select(col(Suppression.address)))).scalar_one() == "+351912345678"
        again = await make_contact(api, phone=ANA["phone"])
        assert again["consents"][0]["suppressed"] == "stop"

    async def test_a_contact_of_another_tenant_is_not_found(self, api: Api, sessions: Sessions) -> None:
        answer = await api.delete("/v1/contacts/0199a1b0-0000-7000-8000-000000000001")
        assert answer.status_code == 404


class TestConsents:
    async def test_the_latest_word_counts(self, api: Api) -> None:
        made = await make_contact(api, **ANA)
        path, now = f"/v1/contacts/{made['id']}/consents", datetime.now(UTC)
        no = await api.post(path, json={"channel": "sms", "optIn": False, "source": "call"})
        assert no.status_code == 201
        old = {"channel": "sms", "opt_in": True, "at": (now - timedelta(days=1)).isoformat()}
        late = (await api.post(path, json=old)).json()["consents"][0]
        assert (late["opted_in"], late["suppressed"], late["source"]) == (False, "stop", "call")
        yes = (await api.post(path, json={"channel": "sms", "status": "opted_in"})).json()["consents"][0]
        assert (yes["opted_in"], yes["suppressed"]) == (True, None)


class TestSegmentPreview:
    async def test_counts_and_shows_a_sample(self, api: Api) -> None:
        await make_contact(api, **ANA, tags=["vip"])
        await make_contact(api, email="eva@example.com")
        vip = {"field": "tags", "op": "contains", "value": "vip"}
        for segment, count in (({}, 2), (vip, 1), ({"not": vip}, 1)):
            answer = (await api.post("/v1/segments/preview", json={"segment": segment})).json()
            assert (answer["count"], len(answer["sample"])) == (count, count)

    async def test_an_unknown_field_is_named(self, api: Api) -> None:
        segment = {"all": [{"field": "shoe_size", "op": "eq", "value": 42}]}
        answer = await api.post("/v1/segments/preview", json={"segment": segment})
        assert (answer.status_code, pointers(answer)) == (422, ["/segment/all/0/field"])
        assert "lang" in answer.json()["detail"]
