"""What holds for every route: authentication, problem documents, limits and spellings."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from app.db import Sessions
from app.models import Role, Tenant
from app.settings import Settings
from tests.factories import make_tenant
from tests.routes.conftest import Api, pointers


class TestAuthentication:
    @pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "Bearer eyJhbGciOi.J9.x", "Bearer rk_1_2"])
    async def test_without_a_valid_key_nothing_is_told(self, anonymous: Api, header: str | None) -> None:
        headers = {"Authorization": header} if header is not None else {}
        answer = await anonymous.get("/v1/contacts", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthenticated"

    async def test_the_tenant_header_may_name_the_own_tenant(self, api: Api, tenant: Tenant) -> None:
        for name, value in (("X-Tenant-Id", str(tenant.id)), ("X-Client-Id", tenant.slug)):
            assert (await api.get("/v1/contacts", headers={name: value})).status_code == 200

    async def test_a_foreign_tenant_is_forbidden_and_an_unknown_one_not_accepted(
        self, api: Api, sessions: Sessions
    ) -> None:
        async with sessions.system() as session:
            other = await make_tenant(session)
        named = {str(other.id): 403, other.slug: 403, "nobody": 401, str(uuid4()): 401}
        for name, expected in named.items():
            answer = await api.get("/v1/contacts", headers={"X-Tenant-Id": name})
            assert (answer.status_code, pointers(answer)) == (expected, ["X-Tenant-Id"])

    async def test_a_viewer_reads_and_never_writes(self, anonymous: Api, key_of: Callable[..., Any]) -> None:
        anonymous.headers["Authorization"] = f"Bearer {await key_of(Role.VIEWER)}"
        assert (await anonymous.get("/v1/contacts")).status_code == 200
        answer = await anonymous.post("/v1/contacts", json={"email": "ana@example.com"})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")

    async def test_a_manager_does_not_touch_credentials(self, anonymous: Api, key_of: Callable[..., Any]) -> None:
        anonymous.headers["Authorization"] = f"Bearer {await key_of(Role.MANAGER)}"
        answer = await anonymous.post("/v1/onboarding/channel-settings", json={})
        assert answer.status_code in {403, 422}
        body = {"channel": "sms", "provider": "twilio", "credentials": {}}
        assert (await anonymous.post("/v1/onboarding/channel-settings", json=body)).status_code == 403


class TestProblems:
    async def test_an_unknown_route_and_a_wrong_method_are_problem_documents(self, api: Api) -> None:
        for method, path, status in (
            ("GET", "/nope", 404),
            ("PUT", "/v1/contacts", 405),
            ("GET", "/v1/contacts/", 404),
        ):
            answer = await api.request(method, path)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail", "code", "errors"}

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b'{"first_name": NaN}', 400),
            (b'{"email": ' + b"1" * 6_000 + b"}", 400),
            (b"[" * 5_000, 400),
            (b"null", 422),
            (b"[]", 422),
            (b'"text"', 422),
            (b"", 422),
            (b'{"email": "a@example.com", "attributes": {"n": 99999999999999999999}}', 422),
            (b'{"email": "a@example.com", "attributes": {"n": 1e999}}', 422),
            (b'{"email": "a@example.com", "attributes": ' + b'{"a":' * 80 + b"1" + b"}" * 80 + b"}", 422),
        ],
    )
    async def test_a_body_that_is_no_json_object_is_refused(self, api: Api, body: bytes, status: int) -> None:
        answer = await api.post("/v1/contacts", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "nonsense", "*/*"])
    async def test_another_content_type_is_refused(self, api: Api, content_type: str) -> None:
        answer = await api.post("/v1/contacts", content=b"{}", headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")

    async def test_a_body_without_content_type_is_read_as_json(self, api: Api) -> None:
        answer = await api.post("/v1/contacts", content=b'{"email": "ana@example.com"}')
        assert answer.status_code == 201

    @pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800"])
    async def test_text_that_cannot_be_stored_is_named(self, api: Api, text: str) -> None:
        body = f'{{"email": "ana@example.com", "attributes": {{"a/b": ["{text}"]}}}}'
        answer = await api.post("/v1/contacts", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, pointers(answer)) == (422, ["/attributes/a~1b/0"])

    async def test_a_nul_in_the_query_is_named(self, api: Api) -> None:
        answer = await api.get("/v1/contacts?search=%00")
        assert (answer.status_code, pointers(answer)) == (422, ["?search"])

    async def test_bad_query_fields_are_named(self, api: Api) -> None:
        answer = await api.get("/v1/contacts?page=0&size=501")
        assert (answer.status_code, pointers(answer)) == (422, ["?page", "?size"])

    async def test_a_malformed_id_is_named(self, api: Api) -> None:
        answer = await api.get("/v1/contacts/not-an-id")
        assert (answer.status_code, pointers(answer)) == (422, ["contact_id"])

    async def test_unknown_fields_are_refused_by_name(self, api: Api) -> None:
        answer = await api.post("/v1/contacts", json={"email": "ana@example.com", "frist_name": "Ana"})
        assert (answer.status_code, pointers(answer)) == (422, ["/frist_name"])

    async def test_what_nobody_expected_tells_nothing(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr("app.routes.contacts.rows.page", broken)
        answer = await api.get("/v1/contacts")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "hunter2" not in answer.text


class TestBodyLimit:
    async def test_a_declared_size_is_refused_unread(self, api: Api, settings: Settings) -> None:
        answer = await api.post("/v1/contacts", content=b" " * (settings.max_body_bytes + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "RELAY_MAX_BODY_BYTES" in answer.json()["detail"]

    async def test_an_endless_body_is_refused_once_it_is_too_long(self, api: Api) -> None:
        given = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal given
            while given < 50_000_000:
                given += 100_000
                yield b" " * 100_000

        answer = await api.post("/v1/contacts", content=endless())
        assert answer.status_code == 413


class TestSpellings:
    async def test_camel_case_is_understood_and_snake_case_answered(self, api: Api) -> None:
        answer = await api.post("/v1/contacts", json={"email": "ana@example.com", "firstName": "Ana"})
        assert answer.json()["first_name"] == "Ana"

    async def test_both_spellings_of_one_field_are_one_too_many(self, api: Api) -> None:
        answer = await api.post(
            "/v1/contacts", json={"email": "a@example.com", "firstName": "Ana", "first_name": "Eva"}
        )
        assert (answer.status_code, pointers(answer)) == (422, ["/firstName"])


class TestHealth:
    async def test_alive_and_ready(self, anonymous: Api) -> None:
        assert (await anonymous.get("/health")).json() == {"status": "ok"}
        assert (await anonymous.get("/ready")).json() == {"status": "ready", "database": "ok", "engine": "ok"}


class TestReference:
    async def test_the_page_and_its_script_come_from_here(self, anonymous: Api) -> None:
        page = await anonymous.get("/docs")
        assert page.status_code == 200
        assert 'src="/docs/scalar.js"' in page.text
        assert "https://" not in page.text
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert len((await anonymous.get("/docs/scalar.js")).content) > 1_000_000

    async def test_every_route_has_a_description_a_tag_and_examples(self, anonymous: Api) -> None:
        document = (await anonymous.get("/openapi.json")).json()
        tags = {tag["name"] for tag in document["tags"]}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                where = f"{method} {path}"
                assert operation.get("description") or operation.get("summary"), where
                assert set(operation["tags"]) <= tags, where
                body = operation.get("requestBody", {}).get("content", {}).get("application/json")
                if body is not None:
                    assert "example" in json.dumps(body), where
                good = [answer for status, answer in operation["responses"].items() if status[0] in "23"]
                assert good, where
                shown = [answer for answer in good if "application/json" in answer.get("content", {})]
                assert all("example" in json.dumps(answer) for answer in shown), where

    async def test_fields_are_shown_in_snake_case(self, anonymous: Api) -> None:
        document = (await anonymous.get("/openapi.json")).json()
        assert "primary_channel" in document["components"]["schemas"]["CampaignCreate"]["properties"]
