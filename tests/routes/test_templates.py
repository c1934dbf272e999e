import json
from typing import Any

import jsonschema_rs
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

    async def test_without_a_contact_there_is_a_sample(self, api: Api) -> None:
        template = await make_template(api)
        shown = await api.post(f"/v1/templates/{template['id']}/preview", json={"variables": {"code": "1"}})
        assert shown.json()["channels"]["sms"]["rendered"]["content"]["body"] == "Hi Ana, 1"

    @pytest.mark.parametrize(
        ("category", "said", "links"),
        [
            ("marketing", {}, ["http://relay.test/r/preview000"] * 2),
            ("utility", {}, ["http://relay.test/r/preview000", "http://a.example"]),
            ("marketing", {"short_links": False}, ["https://shop.example/a/long/way/to/go", "http://a.example"]),
        ],
    )
    async def test_an_sms_is_as_long_as_its_short_links_make_it(
        self, api: Api, category: str, said: dict[str, bool], links: list[str]
    ) -> None:
        core = {"blocks": {"body": "https://shop.example/a/long/way/to/go http://a.example {{ unsubscribe_url }}"}}
        template = await make_template(api, category=category, core_schema={**core, "sms": said})
        shown = await api.post(f"/v1/templates/{template['id']}/preview", json={"channel": "sms"})
        sms = shown.json()["channels"]["sms"]["rendered"]
        assert sms["content"]["body"] == " ".join([*links, "http://relay.test/r/preview000"])
        assert sms["segments"]["units"] == len(sms["content"]["body"])

    async def test_segments_name_the_characters_that_make_them_more(self, api: Api) -> None:
        template = await make_template(api, core_schema={"blocks": {"body": "Olá! Até já 🎉 " + "ã" * 70}})
        shown = await api.post(f"/v1/templates/{template['id']}/preview", json={"channel": "sms"})
        sms = shown.json()["channels"]["sms"]
        assert sms["rendered"]["segments"] == {
            "encoding": "ucs2",
            "units": 85,
            "segments": 2,
            "forced_by": [
                {"character": "á", "code": "U+00E1", "name": "latin small letter a with acute", "count": 2},
                {"character": "🎉", "code": "U+1F389", "name": "party popper", "count": 1},
                {"character": "ã", "code": "U+00E3", "name": "latin small letter a with tilde", "count": 70},
            ],
        }
        assert [warning.partition(":")[0] for warning in sms["warnings"]] == [
            "Not in GSM-7",
            "The SMS is sent, and paid for, as 2 messages.",
        ]

    async def test_the_language_of_the_tenant_comes_before_that_of_the_template(self, api: Api) -> None:
        core = {"blocks": {"body": "Bom dia"}, "i18n": {"en": {"body": "Good morning"}}}
        template = await make_template(api, lang="pt", core_schema=core)
        path = f"/v1/templates/{template['id']}/preview"
        shown = await api.post(path, json={"channel": "sms", "contact": {"lang": "fr"}})
        assert shown.json()["channels"]["sms"]["rendered"]["content"]["body"] == "Good morning"

    async def test_a_provider_of_sms_without_media_gets_the_address(self, api: Api) -> None:
        core = {"blocks": {"body": "Look", "media": {"type": "image", "url": "https://x.example/a.png"}}}
        path = f"/v1/templates/{(await make_template(api, core_schema=core))['id']}/preview"
        attached = (await api.post(path, json={"channel": "sms"})).json()["channels"]["sms"]["rendered"]
        assert (attached["type"], attached["content"]["media_urls"]) == ("media", ["https://x.example/a.png"])
        setting = {
            "channel": "sms",
            "provider": "messagebird",
            "name": "bird",
            "credentials": {"access_key": "k" * 25, "originator": "+31612345678", "signing_key": "s" * 32},
        }
        made = await api.post("/v1/onboarding/channel-settings", json=setting)
        assert made.status_code == 201, made.text
        linked = (await api.post(path, json={"channel": "sms"})).json()["channels"]["sms"]
        assert linked["rendered"]["content"] == {"body": "Look\nhttp://relay.test/r/preview000"}
        assert linked["warnings"] == ["The provider of SMS takes no media: its address is in the text."]

    async def test_an_unknown_template_is_not_found(self, api: Api) -> None:
        answer = await api.post("/v1/templates/0199a1b0-0000-7000-8000-000000000001/preview", json={})
        assert answer.status_code == 404


class TestSchema:
    async def test_it_is_served_as_json_schema(self, api: Api) -> None:
        answer = await api.get("/v1/templates/schema")
        assert answer.headers["content-type"] == "application/schema+json"
        assert jsonschema_rs.Draft202012Validator(answer.json()).is_valid(CORE_SCHEMA)

    async def test_the_openapi_document_has_it_without_references(self, api: Api) -> None:
        document = (await api.get("/openapi.json")).json()
        core = document["components"]["schemas"]["TemplateCreate"]["properties"]["core_schema"]
        assert "$ref" not in json.dumps(core)
        schema = jsonschema_rs.Draft202012Validator(core)
        assert schema.is_valid(CORE_SCHEMA)
        assert not schema.is_valid({"blocks": {"body": "x", "buttons": [{"text": "no address"}]}})
