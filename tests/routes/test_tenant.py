from typing import Any

import pytest

from app.models import Role
from tests.routes.conftest import Api, pointers

PATH = "/v1/tenant"
RULES: dict[str, Any] = {
    "quiet_hours": {"start": "20:00", "end": "09:00"},
    "quiet_hours_by_country": {"FR": {"start": "20:00", "end": "08:00", "days": ["sun"]}, "PT": {}},
    "frequency_caps": [
        {"messages": 3, "period_days": 7},
        {"channel": "sms", "messages": 1, "period_hours": 24},
    ],
    "soft_bounces": {"count": 3, "days": 30},
    "keyword_replies": {"stop": "You get no more.", "help": "Call 800 100."},
}


async def change(api: Api, **patch: Any) -> dict[str, Any]:
    answer = await api.patch(PATH, json=patch)
    assert answer.status_code == 200, answer.text
    assert (await api.get(PATH)).json() == answer.json()
    changed: dict[str, Any] = answer.json()
    return changed


class TestGet:
    async def test_shows_the_defaults_of_a_new_tenant(self, api: Api) -> None:
        shown = (await api.get(PATH)).json()
        assert {name: shown[name] for name in RULES} == {
            "quiet_hours": None,
            "quiet_hours_by_country": {},
            "frequency_caps": [],
            "soft_bounces": {"count": 5, "days": 14},
            "keyword_replies": {},
        }
        assert (shown["default_region"], shown["messages_per_day"]) == ("PT", None)


class TestPatch:
    async def test_what_is_given_is_stored_and_the_rest_stays(self, api: Api) -> None:
        await change(api, **RULES)
        changed = await change(
            api, name="Casa Azul", timezone="europe/lisbon", defaultLang="pt-br", default_region="es"
        )
        assert {name: changed[name] for name in RULES} == RULES
        assert [changed[name] for name in ("name", "timezone", "default_lang", "default_region")] == [
            "Casa Azul",
            "Europe/Lisbon",
            "pt_BR",
            "ES",
        ]

    async def test_objects_are_merged_null_removes_and_lists_are_replaced(self, api: Api) -> None:
        await change(api, **RULES)
        changed = await change(
            api,
            quietHours={"end": "08:30"},
            quiet_hours_by_country={"fr": None, "es": {"start": "22:00", "end": "10:00"}},
            frequency_caps=[{"messages": 1, "periodDays": 1}],
            soft_bounces=None,
            keyword_replies={"help": None, "start": "Welcome back."},
        )
        assert {name: changed[name] for name in RULES} == {
            "quiet_hours": {"start": "20:00", "end": "08:30"},
            "quiet_hours_by_country": {"PT": {}, "ES": {"start": "22:00", "end": "10:00"}},
            "frequency_caps": [{"messages": 1, "period_days": 1}],
            "soft_bounces": {"count": 5, "days": 14},
            "keyword_replies": {"stop": "You get no more.", "start": "Welcome back."},
        }

    @pytest.mark.parametrize(
        ("patch", "named"),
        [
            ({"name": None}, ["/name"]),
            ({"name": "  "}, ["/name"]),
            ({"timezone": "Mars/Base", "default_lang": "klingon!"}, ["/timezone", "/default_lang"]),
            ({"default_region": "Portugal"}, ["/default_region"]),
            ({"quiet_hours": {"start": "25:00"}}, ["/quiet_hours/start", "/quiet_hours/end"]),
            ({"quiet_hours": {"from": "20:00"}}, ["/quiet_hours/from"]),
            ({"quiet_hours_by_country": {"XX": {"start": "20:00", "end": "8"}}}, None),
            ({"frequency_caps": [{"messages": 0, "period_days": 1}]}, ["/frequency_caps/0/messages"]),
            ({"frequency_caps": [{"messages": 1}]}, ["/frequency_caps/0/period_days"]),
            ({"frequency_caps": [{"channel": "fax", "messages": 1}]}, ["/frequency_caps/0/channel"]),
            ({"soft_bounces": {"count": 0}}, ["/soft_bounces/count"]),
            ({"keyword_replies": {"stop": " "}}, ["/keyword_replies/stop"]),
            ({"keyword_replies": {"yes": "ok"}}, ["/keyword_replies/yes"]),
            ({"slug": "mine"}, ["/slug"]),
        ],
    )
    async def test_every_bad_field_is_named_and_nothing_changes(
        self, api: Api, patch: dict[str, Any], named: list[str] | None
    ) -> None:
        before = (await api.get(PATH)).json()
        refused = await api.patch(PATH, json=patch)
        assert refused.status_code == 422
        assert pointers(refused) == (named or ["/quiet_hours_by_country/XX", "/quiet_hours_by_country/XX/end"])
        assert (await api.get(PATH)).json() == before

    async def test_managers_may_and_viewers_only_read(self, api: Api, key_of: Any) -> None:
        for role, status in ((Role.MANAGER, 200), (Role.VIEWER, 403)):
            headers = {"Authorization": f"Bearer {await key_of(role)}"}
            answer = await api.patch(PATH, json={"keyword_replies": {"stop": "Done."}}, headers=headers)
            assert answer.status_code == status
            assert (await api.get(PATH, headers=headers)).status_code == 200
