import json
from typing import Any

import pytest
from sqlalchemy import select

from app.db import Sessions
from app.models import ChannelSetting, Tenant
from tests.routes.conftest import TWILIO, WHATSAPP, Api, add_sender, pointers

PATH = "/v1/onboarding/channel-settings"
TOKEN = TWILIO["credentials"]["auth_token"]


class TestAdd:
    async def test_credentials_are_sealed_and_masked(self, api: Api, sessions: Sessions, tenant: Tenant) -> None:
        made = await add_sender(api)
        assert made["credentials"]["auth_token"] == f"…{TOKEN[-4:]}"
        assert made["credentials"]["from_number"] == "+351910000000"
        assert made["account"] == TWILIO["credentials"]["account_sid"]
        assert made["webhook_url"] == f"http://relay.test/v1/webhooks/sms/{made['id']}"
        async with sessions.begin(tenant.id) as session:
            row = (await session.execute(select(ChannelSetting))).scalar_one()
        assert TOKEN not in json.dumps(row.settings_json)

    async def test_address_for_what_people_write_is_shown_where_it_is_another_one(self, api: Api) -> None:
        sendgrid = {
            "channel": "email",
            "provider": "sendgrid",
            "credentials": {"api_key": "SG.k", "from_email": "a@b.c"},
        }
        made = await add_sender(api, sendgrid)
        address, _, token = made["inbound_url"].partition("?token=")
        assert (address, len(token)) == (made["webhook_url"], 40)
        changed = await api.patch(f"{PATH}/{made['id']}", json={"credentials": {"inbound_token": "x" * 20}})
        assert changed.json()["inbound_url"] == f"{address}?token={'x' * 20}"
        assert changed.json()["credentials"]["inbound_token"] == "…xxxx"
        assert (await add_sender(api))["inbound_url"] is None

    async def test_the_first_of_a_channel_is_its_default_and_another_may_take_over(self, api: Api) -> None:
        first = await add_sender(api)
        second = await add_sender(api, {**TWILIO, "name": "second"})
        assert (first["is_default"], second["is_default"]) == (True, False)
        assert (await add_sender(api, WHATSAPP))["is_default"]
        third = await add_sender(api, {**TWILIO, "name": "third", "isDefault": True})
        listed = (await api.get(PATH)).json()
        assert [row["name"] for row in listed["items"] if row["is_default"] and row["channel"] == "sms"] == ["third"]
        assert (listed["total"], third["is_default"]) == (4, True)
        assert TOKEN not in json.dumps(listed)

    async def test_camel_case_credentials_are_understood(self, api: Api) -> None:
        camel = {"accountSid": "AC1", "authToken": "0123456789abcdef", "fromNumber": "+351910000000"}
        made = await add_sender(api, {**TWILIO, "credentials": camel, "limits": {"messagesPerSecond": 3}})
        assert made["limits"].pop("messages_per_second") == 3.0
        assert set(made["limits"].values()) == {None}

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"provider": "nobody"}, ["/provider"]),
            ({"channel": "email"}, ["/provider"]),
            ({"channel": "fax"}, ["/channel"]),
            ({"credentials": {}}, ["/credentials/account_sid", "/credentials/auth_token", "/credentials/from_number"]),
            ({"credentials": {**TWILIO["credentials"], "api_url": "http://x"}}, ["/credentials/api_url"]),
            ({"limits": {"messages_per_second": 0}}, ["/limits/messages_per_second"]),
            ({"credentials": {"auth_token": 5}}, ["/credentials/auth_token"]),
            ({"name": "  "}, ["/name"]),
        ],
    )
    async def test_bad_fields_are_named(self, api: Api, changes: dict[str, Any], expected: list[str]) -> None:
        answer = await api.post(PATH, json={**TWILIO, **changes})
        assert answer.status_code == 422
        assert sorted(pointers(answer)) == expected

    async def test_a_taken_name_is_a_conflict(self, api: Api) -> None:
        await add_sender(api)
        answer = await api.post(PATH, json=TWILIO)
        assert (answer.status_code, answer.json()["code"], pointers(answer)) == (409, "already_exists", ["/name"])


class TestChange:
    async def test_a_rotated_credential_keeps_the_others(self, api: Api) -> None:
        made = await add_sender(api)
        answer = await api.patch(f"{PATH}/{made['id']}", json={"credentials": {"auth_token": "fedcba9876543210"}})
        assert answer.status_code == 200
        assert answer.json()["credentials"]["auth_token"] == "…3210"
        assert answer.json()["credentials"]["from_number"] == "+351910000000"

    async def test_the_default_can_only_be_handed_over(self, api: Api) -> None:
        first = await add_sender(api)
        second = await add_sender(api, {**TWILIO, "name": "second"})
        answer = await api.patch(f"{PATH}/{first['id']}", json={"is_default": False})
        assert (answer.status_code, pointers(answer)) == (422, ["/is_default"])
        assert (await api.patch(f"{PATH}/{second['id']}", json={"is_default": True})).json()["is_default"]
        assert not (await api.get(PATH)).json()["items"][0]["is_default"]

    async def test_an_unknown_setting_is_not_found(self, api: Api) -> None:
        answer = await api.patch(f"{PATH}/0199a1b0-0000-7000-8000-000000000001", json={"is_active": False})
        assert answer.status_code == 404
