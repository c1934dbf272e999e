import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlmodel import col

from app.db import Sessions
from app.models import Contact, IdempotencyKey, Tenant
from app.routes import idempotency
from tests.routes.conftest import Api, make_template

ANA = {"email": "ana@example.com", "first_name": "Ana"}


async def count(sessions: Sessions, tenant: Tenant, table: Any = Contact) -> int:
    async with sessions.begin(tenant.id) as session:
        return (await session.execute(select(func.count()).select_from(table))).scalar_one()


class TestIdempotencyKey:
    async def test_the_same_request_gets_the_same_answer(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        first = await api.post("/v1/contacts", json=ANA, headers={"Idempotency-Key": "one"})
        again = await api.post("/v1/contacts", json=ANA, headers={"Idempotency-Key": "one"})
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert again.headers["idempotency-replayed"] == "true"
        assert await count(sessions, tenant) == 1

    async def test_another_body_or_path_under_the_key_is_a_conflict(self, api: Api) -> None:
        headers = {"Idempotency-Key": "one"}
        await api.post("/v1/contacts", json=ANA, headers=headers)
        other = await api.post("/v1/contacts", json={**ANA, "first_name": "Eva"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        assert (await api.post("/v1/segments/preview", json={"segment": {}}, headers=headers)).status_code == 409

    async def test_two_at_once_create_one_thing(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        headers = {"Idempotency-Key": "both"}
        answers = await asyncio.gather(*(api.post("/v1/contacts", json=ANA, headers=headers) for _ in range(6)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert await count(sessions, tenant) == 1

    async def test_a_refused_request_frees_its_key(self, api: Api) -> None:
        headers = {"Idempotency-Key": "mended"}
        assert (await api.post("/v1/contacts", json={"email": "nonsense"}, headers=headers)).status_code == 422
        assert (await api.post("/v1/contacts", json=ANA, headers=headers)).status_code == 201

    async def test_a_failed_request_frees_its_key(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError

        headers = {"Idempotency-Key": "later"}
        with monkeypatch.context() as patch:
            patch.setattr("app.routes.contacts.contacts.create", broken)
            assert (await api.post("/v1/contacts", json=ANA, headers=headers)).status_code == 500
        assert (await api.post("/v1/contacts", json=ANA, headers=headers)).status_code == 201

    async def test_after_a_crash_before_remembering_nothing_is_made_twice(
        self, api: Api, sessions: Sessions, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        headers = {"Idempotency-Key": "crash"}
        first = await api.post("/v1/contacts", json=ANA, headers=headers)
        async with sessions.begin(tenant.id) as session:
            await session.execute(update(IdempotencyKey).values(status_code=None, body=None))
        monkeypatch.setattr(idempotency, "WAITS", ())
        taken = await api.post("/v1/contacts", json=ANA, headers=headers)
        assert (taken.status_code, taken.json()["code"]) == (409, "in_progress")
        monkeypatch.setattr(idempotency, "LEASE", idempotency.LEASE * 0)
        again = await api.post("/v1/contacts", json=ANA, headers=headers)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        assert await count(sessions, tenant) == 1

    async def test_keys_of_tenants_do_not_meet(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        await make_template(api)
        async with sessions.begin(tenant.id) as session:
            session.add(IdempotencyKey(tenant_id=tenant.id, key="mine", request_hash="x"))
        assert await count(sessions, tenant, IdempotencyKey) == 1

    @pytest.mark.parametrize("key", ["", "x" * 256])
    async def test_a_key_must_be_usable(self, api: Api, key: str) -> None:
        answer = await api.post("/v1/contacts", json=ANA, headers={"Idempotency-Key": key})
        assert answer.status_code == 422

    async def test_a_repeated_template_is_no_new_version(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        assert (await make_template(api))["version"] == 1
        assert (await make_template(api))["version"] == 1
        async with sessions.begin(tenant.id) as session:
            assert (await session.execute(select(func.count(col(IdempotencyKey.id))))).scalar_one() == 0
