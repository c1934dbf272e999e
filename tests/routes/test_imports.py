import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api import create_app
from app.db import Sessions
from app.models import Role, Tenant
from app.settings import Settings
from tests import importing
from tests.routes.conftest import Api, pointers
from tests.workflows.test_contact_import import worker

CSV = {"content-type": "text/csv"}
JSON = {"content-type": "application/json"}
FILE = "phone,email,first_name,city\n+351912345678,ana@example.com,Ana,Lisboa\n12,,Bad,\n"
WAIT_SECONDS = 30


@pytest.fixture
async def working(client: Client, sessions: Sessions) -> AsyncIterator[None]:
    async with worker(client, sessions):
        yield


@pytest.fixture
async def nothing_written(sessions: Sessions, tenant: Tenant) -> AsyncIterator[None]:
    """The test leaves no trace of an import."""
    yield
    for table in ("imports", "import_chunks", "contacts"):
        assert await importing.query(sessions, tenant, f"SELECT count(*) FROM {table}") == [(0,)]


async def sent(api: Api, content: str | bytes = FILE, headers: dict[str, str] = CSV, **query: str) -> dict[str, Any]:
    answer = await api.post("/v1/contacts/import", content=content, headers=headers, params=query)
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def ended(api: Api, accepted: dict[str, Any]) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        answer = await api.get(f"/v1/contacts/imports/{accepted['import_id']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["status"] not in {"pending", "running"}:
            return found
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("working")
class TestImportContacts:
    async def test_csv_body_is_imported(self, api: Api) -> None:
        accepted = await sent(api)
        assert accepted["status"] == "pending"
        done = await ended(api, accepted)
        assert done["status"] == "done"
        assert done["counts"] == {"rows": 2, "created": 1, "updated": 0, "merged": 0, "rejected": 1}
        assert [(one["row"], one["field"]) for one in done["first_rejected"]] == [(2, "phone")]
        assert (done["read_bytes"], done["size_bytes"]) == (len(FILE), len(FILE))
        found = (await api.get("/v1/contacts", params={"search": "Ana"})).json()
        assert [contact["attributes"] for contact in found["items"]] == [{"city": "Lisboa"}]

    @pytest.mark.parametrize("envelope", [False, True])
    async def test_json_body_is_imported(self, api: Api, envelope: bool) -> None:
        rows = [{"phone": "+351912345678", "firstName": "Ana", "tags": ["vip"], "consentSms": True}]
        body = json.dumps({"contacts": rows} if envelope else rows)
        done = await ended(api, await sent(api, body, JSON))
        assert done["counts"]["created"] == 1

    @pytest.mark.parametrize("name", ["contacts.csv", "contacts.json"])
    async def test_form_with_a_file_is_imported(self, api: Api, name: str) -> None:
        content = FILE if name.endswith("csv") else json.dumps([{"phone": "912345678"}])
        answer = await api.post(
            "/v1/contacts/import", files={"file": (name, content)}, data={"defaultRegion": "PT", "dedupe": "email"}
        )
        assert answer.status_code == 202, answer.text
        assert (await ended(api, answer.json()))["counts"]["created"] == 1

    async def test_latin1_with_semicolons_is_imported(self, api: Api) -> None:
        body = "telefone;phone;first_name\r\n1;912345678;João\r\n".encode("latin-1")
        await ended(api, await sent(api, body))
        found = (await api.get("/v1/contacts")).json()["items"]
        assert [contact["first_name"] for contact in found] == ["João"]

    async def test_default_region_reads_national_numbers(self, api: Api) -> None:
        await ended(api, await sent(api, "phone\n(11) 91234-5678\n", default_region="BR"))
        assert [contact["phone"] for contact in (await api.get("/v1/contacts")).json()["items"]] == ["+5511912345678"]

    async def test_same_idempotency_key_is_one_import(self, api: Api) -> None:
        headers = {**CSV, "idempotency-key": "monday"}
        first = await sent(api, headers=headers)
        assert await sent(api, headers=headers) == first
        other = await api.post("/v1/contacts/import", content=FILE + "x", headers=headers)
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        await ended(api, first)
        assert (await api.get("/v1/contacts/imports")).json()["total"] == 1

    async def test_verdict_file_has_every_row(self, api: Api) -> None:
        done = await ended(api, await sent(api))
        answer = await api.get(done["verdicts_url"])
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [(row["row"], row["verdict"], row["field"]) for row in rows] == [
            ("1", "created", ""),
            ("2", "rejected", "phone"),
        ]
        rejected = await api.get(done["verdicts_url"], params={"verdict": "rejected"})
        assert len(rejected.text.splitlines()) == 2

    async def test_verdict_file_is_paged_inside(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.routes.imports.VERDICTS_AT_ONCE", 2)
        body = "phone\n" + "".join(f"+35191000000{n}\n" for n in range(5))
        done = await ended(api, await sent(api, body))
        assert len((await api.get(done["verdicts_url"])).text.splitlines()) == 6


@pytest.mark.usefixtures("nothing_written")
class TestImportContactsRefused:
    @pytest.mark.parametrize("headers", [CSV, JSON])
    @pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b" \n "])
    async def test_empty_body_is_malformed(self, api: Api, body: bytes, headers: dict[str, str]) -> None:
        answer = await api.post("/v1/contacts/import", content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) in {
            (400, "application/problem+json"),
            (422, "application/problem+json"),
        }

    @pytest.mark.parametrize(
        ("body", "headers", "status", "pointer"),
        [
            (b"name,city\nAna,Porto\n", CSV, 422, ["/header"]),
            (b"phone,phone\n", CSV, 422, ["/header/1"]),
            (bytes(range(256)), CSV, 422, ["/header"]),
            (b"PK\x03\x04....", CSV, 400, []),
            (b'{"people": []}', JSON, 422, [""]),
            (b"[1, 2]", JSON, 422, ["/0"]),
            (b'{"contacts": [{}, 3]}', JSON, 422, ["/contacts/1"]),
            (b'[{"phone": "1"', JSON, 400, []),
            (b"phone\n1\n", JSON, 422, [""]),
        ],
    )
    async def test_file_that_cannot_be_read_is_refused_at_once(
        self, api: Api, body: bytes, headers: dict[str, str], status: int, pointer: list[str]
    ) -> None:
        answer = await api.post("/v1/contacts/import", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert pointers(answer) == pointer

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ({"dedupe": "name"}, "?dedupe"),
            ({"default_region": "XX"}, "?default_region"),
            ({"defaultRegion": "nowhere"}, "?default_region"),
            ({"dedupe": "a\0b"}, "?dedupe"),
        ],
    )
    async def test_unknown_option_is_named(self, api: Api, query: dict[str, str], pointer: str) -> None:
        answer = await api.post("/v1/contacts/import", content=FILE, headers=CSV, params=query)
        assert (answer.status_code, pointers(answer)) == (422, [pointer])

    @pytest.mark.parametrize("media_type", ["image/png", "application/xml", ""])
    async def test_other_content_type_is_415(self, api: Api, media_type: str) -> None:
        answer = await api.post("/v1/contacts/import", content=FILE.encode(), headers={"content-type": media_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")

    async def test_form_without_a_file_names_the_part(self, api: Api) -> None:
        answer = await api.post("/v1/contacts/import", files={"upload": ("a.csv", FILE)})
        assert (answer.status_code, pointers(answer)) == (422, ["/upload"])
        nothing = await api.post("/v1/contacts/import", files={"dedupe": (None, "phone")})
        assert (nothing.status_code, pointers(nothing)) == (422, ["/file"])

    async def test_broken_form_is_malformed(self, api: Api) -> None:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert (await api.post("/v1/contacts/import", content=b"--y\r\n\r\n", headers=headers)).status_code in {
            400,
            422,
        }
        none = {"content-type": "multipart/form-data"}
        assert (await api.post("/v1/contacts/import", content=b"--y\r\n", headers=none)).status_code == 400

    async def test_viewer_may_not_import(self, anonymous: Api, key_of: Callable[..., Any]) -> None:
        anonymous.headers["Authorization"] = f"Bearer {await key_of(Role.VIEWER)}"
        assert (await anonymous.post("/v1/contacts/import", content=FILE, headers=CSV)).status_code == 403

    async def test_without_a_key_nothing_is_read(self, anonymous: Api) -> None:
        assert (await anonymous.post("/v1/contacts/import", content=FILE, headers=CSV)).status_code == 401


@pytest.fixture
async def small(settings: Settings, temporal_address: str) -> AsyncIterator[FastAPI]:
    """An API that takes files of 1,000 bytes and finds no engine."""
    changes = {"temporal_address": "127.0.0.1:9", "max_import_bytes": 1_000}
    application = create_app(settings.model_copy(update=changes))
    async with application.router.lifespan_context(application):
        yield application


class TestImportContactsElsewhere:
    @pytest.mark.parametrize("declared", [True, False])
    async def test_file_beyond_the_limit_names_the_setting(
        self, small: FastAPI, key_of: Callable[..., Any], sessions: Sessions, tenant: Tenant, declared: bool
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"phone\n" * 20

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=small), base_url="http://relay.test") as api:
            headers = {**CSV, "Authorization": f"Bearer {await key_of()}"}
            content = b"phone\n" * 400 if declared else body()
            answer = await api.post("/v1/contacts/import", content=content, headers=headers)
            form = await api.post(
                "/v1/contacts/import",
                files={"file": ("a.csv", b"phone\n" * 400)},
                headers={"Authorization": headers["Authorization"]},
            )
        for refused in (answer, form):
            assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
            assert "RELAY_MAX_IMPORT_BYTES" in refused.json()["detail"]
        assert await importing.query(sessions, tenant, "SELECT count(*) FROM imports") == [(0,)]

    async def test_engine_that_is_away_leaves_the_import_waiting(
        self, small: FastAPI, key_of: Callable[..., Any], sessions: Sessions, tenant: Tenant
    ) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=small), base_url="http://relay.test") as api:
            api.headers["Authorization"] = f"Bearer {await key_of()}"
            accepted = await sent(api)
        waiting = await importing.query(sessions, tenant, "SELECT id::text, status, workflow_started_at FROM imports")
        assert waiting == [(accepted["import_id"], "pending", None)]


class TestReadImports:
    async def test_imports_are_listed_newest_first(self, api: Api) -> None:
        ids = [(await sent(api))["import_id"] for _ in range(3)]
        listed = (await api.get("/v1/contacts/imports", params={"size": 2})).json()
        assert [one["import_id"] for one in listed["items"]] == ids[:0:-1]
        assert listed["total"] == 3

    async def test_import_of_another_tenant_is_not_found(self, api: Api) -> None:
        for path in ("", "/verdicts"):
            answer = await api.get(f"/v1/contacts/imports/01a1fe00-0000-7000-8000-000000000001{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_reference_shows_all_three_bodies(self, api: Api) -> None:
        document = (await api.get("/openapi.json")).json()
        body = document["paths"]["/v1/contacts/import"]["post"]["requestBody"]
        assert set(body["content"]) == {"text/csv", "application/json", "multipart/form-data"}
