"""The suppression list over the API, and lists that are imported."""

import io
from typing import Any
from uuid import UUID

import pytest

from app.db import Sessions
from app.domain.contact_file.types import FileKind
from app.ids import new_id
from app.models import Import, Tenant
from app.services import imports
from tests.importing import query, read, verdicts, work
from tests.routes.conftest import Api, make_contact, pointers

PATH = "/v1/suppressions"


async def store_list(sessions: Sessions, tenant: Tenant, text: str, **options: str) -> UUID:
    id = new_id()
    upload = imports.look_through(io.BytesIO(text.encode()), None, FileKind.SUPPRESSIONS)
    async with sessions.begin(tenant.id) as session:
        await imports.store(session, tenant.id, id, upload, imports.read_suppression_options(options, tenant))
    return id


async def run_list(sessions: Sessions, tenant: Tenant, text: str, **options: str) -> Import:
    id = await store_list(sessions, tenant, text, **options)
    await work(sessions, tenant, id)
    return await read(sessions, tenant, id)


class TestImport:
    async def test_each_row_has_its_verdict(self, sessions: Sessions, tenant: Tenant) -> None:
        text = "channel,address,reason\nemail,a@b.example,bounce\nemail,A@B.example,stop\nsms,12,stop\n"
        text += "sms,+351912345678,stop\n"
        done = await run_list(sessions, tenant, text)
        assert (done.status, done.rows, done.created, done.merged, done.rejected) == ("done", 4, 2, 1, 1)
        assert [row.verdict for row in await verdicts(sessions, tenant, done.id)] == [
            "created",
            "merged",
            "rejected",
            "created",
        ]
        rows = await query(sessions, tenant, "SELECT channel, address, reason FROM suppressions ORDER BY channel")
        assert rows == [("email", "a@b.example", "bounce"), ("sms", "+351912345678", "stop")]

    async def test_a_second_time_changes_nothing_and_a_lifted_one_holds_again(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        text = "email,reason\na@b.example,complaint\nc@d.example,bounce\n"
        await run_list(sessions, tenant, text)
        await query(sessions, tenant, "UPDATE suppressions SET lifted_at = now() WHERE reason = 'bounce' RETURNING id")
        again = await run_list(sessions, tenant, text.replace("complaint", "manual"))
        assert (again.created, again.updated, again.merged) == (0, 1, 1)
        rows = await query(sessions, tenant, "SELECT reason, lifted_at FROM suppressions ORDER BY address")
        assert rows == [("complaint", None), ("bounce", None)]

    async def test_it_goes_on_where_a_crash_left_it(self, sessions: Sessions, tenant: Tenant) -> None:
        text = "address\n" + "".join(f"person{n}@example.com\n" for n in range(50))
        id = await store_list(sessions, tenant, text)
        await work(sessions, tenant, id, batch=20, batches=2)
        assert (await read(sessions, tenant, id)).rows == 40
        await work(sessions, tenant, id, batch=20)
        done = await read(sessions, tenant, id)
        assert (done.status, done.rows, done.created) == ("done", 50, 50)

    @pytest.mark.parametrize(
        ("params", "pointer"),
        [({"default_channel": "pigeon"}, "?default_channel"), ({"default_reason": "whim"}, "?default_reason")],
    )
    async def test_options_that_are_none_are_named(self, api: Api, params: dict[str, str], pointer: str) -> None:
        answer = await api.post(
            f"{PATH}/import", params=params, content="email\na@b.example\n", headers={"content-type": "text/csv"}
        )
        assert (answer.status_code, pointers(answer)) == (422, [pointer])

    async def test_over_http_as_json_too(self, api: Api) -> None:
        answer = await api.post(f"{PATH}/import", json=[{"email": "a@b.example", "reason": "bounce"}])
        assert answer.status_code == 202, answer.text
        shown = (await api.get(f"/v1/contacts/imports/{answer.json()['import_id']}")).json()
        assert (shown["kind"], shown["status"]) == ("suppressions", "pending")


class TestOne:
    async def test_added_listed_and_lifted(self, api: Api) -> None:
        made = (await api.post(PATH, json={"channel": "email", "address": "Ana@Example.com"})).json()
        assert (made["address"], made["reason"], made["lifted_at"]) == ("ana@example.com", "manual", None)
        listed = (await api.get(PATH, params={"channel": "email", "search": "ana@"})).json()
        assert [row["id"] for row in listed["items"]] == [made["id"]]
        assert (await api.delete(f"{PATH}/{made['id']}")).status_code == 204
        assert (await api.get(PATH)).json()["total"] == 0

    @pytest.mark.parametrize("reason", ["bounce", "complaint", "stop"])
    async def test_a_lasting_reason_is_not_lifted_by_accident(self, api: Api, reason: str) -> None:
        wanted = {"channel": "sms", "address": "+351912345678", "reason": reason}
        made = (await api.post(PATH, json=wanted)).json()
        refused = await api.delete(f"{PATH}/{made['id']}")
        assert (refused.status_code, "force=true" in refused.json()["detail"]) == (409, True)
        assert (await api.delete(f"{PATH}/{made['id']}", params={"force": "true"})).status_code == 204

    async def test_an_address_that_is_none_is_refused(self, api: Api) -> None:
        answer = await api.post(PATH, json={"channel": "sms", "address": "12"})
        assert (answer.status_code, pointers(answer)) == (422, ["/address"])

    async def test_a_contact_shows_it(self, api: Api) -> None:
        contact = await make_contact(api, email="ana@example.com")
        await api.post(PATH, json={"channel": "email", "address": "ana@example.com"})
        shown: dict[str, Any] = (await api.get(f"/v1/contacts/{contact['id']}")).json()
        assert "manual" in str(shown)
