from typing import Any

import pytest

from tests.routes.conftest import CORE_SCHEMA, Api, make_contact, make_template, pointers


class TestCreate:
    async def test_the_same_name_makes_the_next_version(self, api: Api) -> None:
        first = await make_template(api)
        changed = {**CORE_SCHEMA, "blocks": {"body": "Hello {{ code }}"}}
        second = await make_template(api, core_schema=changed)
        assert (second["id"], first["version"], second["version"]) == (first["id"], 1, 2)
        assert (await make_template(api, lang="pt"))["version"] == 1
        assert (await api.get("/v1/templates?name=welcome")).json()["total"] == 2

    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"core_schema": {}}, "/core_schema/blocks/body"),
            ({"core_schema": {"blocks": {"body": "{{ nobody }}"}}}, "/core_schema/blocks/body"),
            ({"core_schema": {"blocks": {"body": "{% if %}"}}}, "/core_schema/blocks/body"),
            ({"lang": "portuguese please"}, "/lang"),
            ({"name": ""}, "/name"),
        ],
    )
    async def test_mistakes_are_named(self, api: Api, changes: dict[str, Any], pointer: str) -> None:
        answer = await api.post("/v1/templates", json={"name": "x", "core_schema": CORE_SCHEMA, **changes})
        assert answer.status_code == 422
        assert pointer in pointers(answer)


class TestPreview:
    async def test_every_channel_is_rendered_for_a_contact(self, api: Api) -> None:
        template = await make_template(api)
        contact = await make_contact(api, email="ana@example.com", first_name="Ana")
        body = {"contact_id": contact["id"], "variables": {"code": "A1"}}
        shown = (await api.post(f"/v1/templates/{template['id']}/preview", json=body)).json()["channels"]
        assert set(shown) == {"whatsapp", "email", "sms"}
        assert shown["sms"]["rendered"]["content"]["body"] == "Hi Ana, A1"
        assert shown["sms"]["rendered"]["segments"]["segments"] == 1
        assert "Hi Ana, A1" in shown["email"]["rendered"]["content"]["html"]

    async def test_a_missing_variable_is_named_instead_of_a_hole(self, api: Api) -> None:
        template = await make_template(api)
        answer = await api.post(f"/v1/templates/{template['id']}/preview", json={"channel": "sms"})
        channels = answer.json()["channels"]
        assert channels["sms"]["rendered"] is None
        assert [problem["pointer"] for problem in channels["sms"]["problems"]] == ["/variables/code"]

    async def test_a_made_up_contact_and_an_unknown_one(self, api: Api) -> None:
        path = f"/v1/templates/{(await make_template(api))['id']}/preview"
        made_up = await api.post(path, json={"contact": {"firstName": "Eva"}, "variables": {"code": "1"}})
        assert made_up.json()["channels"]["sms"]["rendered"]["content"]["body"] == "Hi Eva, 1"
        unknown = await api.post(path, json={"contact_id": "0199a1b0-0000-7000-8000-000000000001"})
        assert (unknown.status_code, pointers(unknown)) == (422, ["/contact_id"])

    async def test_an_unknown_template_is_not_found(self, api: Api) -> None:
        answer = await api.post("/v1/templates/0199a1b0-0000-7000-8000-000000000001/preview", json={})
        assert answer.status_code == 404
