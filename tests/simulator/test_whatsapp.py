import hashlib
import hmac
from typing import Any

import pytest

from tests.simulator.receiver import ASHA, RUI, WA, Client, Receiver, template, text, until

MEDIA_TEMPLATE = {
    "name": "parcel",
    "language": "en_US",
    "status": "APPROVED",
    "category": "UTILITY",
    "components": [
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Hi {{1}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://shop.example.org/{{1}}"}]},
    ],
}


def with_parameters(*texts: str) -> dict[str, Any]:
    parameters = [{"type": "text", "text": value} for value in texts]
    return {
        "name": "spring_offer",
        "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": parameters}],
    }


def pressed(kind: str, **action: Any) -> dict[str, Any]:
    return {**text(), "type": "interactive", "interactive": {"type": kind, "body": {"text": "?"}, "action": action}}


def reply(id: str, title: str) -> dict[str, Any]:
    return {"type": "reply", "reply": {"id": id, "title": title}}


ROWS = [{"id": str(n), "title": f"Row {n}"} for n in range(11)]


class TestPostMessage:
    async def test_template_is_accepted_with_the_body_of_the_cloud_api(self, client: Client) -> None:
        answer = await client.template(reference="ref-1")
        assert answer.status == 200
        assert answer.json["messaging_product"] == "whatsapp"
        assert answer.json["contacts"] == [{"input": ASHA, "wa_id": ASHA[1:]}]
        assert answer.json["messages"][0]["id"].startswith("wamid.")

    @pytest.mark.parametrize(
        "content",
        [
            {"type": "text", "text": {"body": "Olá", "preview_url": False}},
            {"type": "image", "image": {"link": "https://cdn.example.test/a.jpg", "caption": "A"}},
            {"type": "document", "document": {"id": "900100", "filename": "a.pdf"}},
            {"type": "audio", "audio": {"link": "https://cdn.example.test/a.ogg"}},
            {"type": "location", "location": {"latitude": 38.7, "longitude": "-9.1", "name": "Depot"}},
            {
                "type": "interactive",
                "interactive": {
                    "type": "button",
                    "body": {"text": "Confirm?"},
                    "action": {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]},
                },
            },
            {
                "type": "interactive",
                "interactive": {
                    "type": "list",
                    "body": {"text": "Choose"},
                    "action": {"button": "Open", "sections": [{"title": "A", "rows": [{"id": "1", "title": "One"}]}]},
                },
            },
            {"type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": "👍"}},
        ],
    )
    async def test_every_kind_is_accepted_inside_the_window(self, client: Client, content: dict[str, Any]) -> None:
        await client.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": ASHA, "text": "Hi"})
        answer = await client.whatsapp({"messaging_product": "whatsapp", "to": ASHA[1:], **content})
        assert answer.status == 200, answer.body

    async def test_marking_a_message_as_read_is_no_message(self, client: Client) -> None:
        answer = await client.whatsapp({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.X"})
        assert (answer.status, answer.json) == (200, {"success": True})
        assert (await client.stats())["totals"]["whatsapp_cloud"]["accepted"] == 0

    @pytest.mark.parametrize("token", ["", "wrong"])
    async def test_missing_or_bad_token_is_190(self, client: Client, token: str) -> None:
        answer = await client.whatsapp(template(), token=token)
        assert (answer.status, answer.json["error"]["code"]) == (401, 190)

    async def test_unknown_phone_number_id_is_100_33(self, client: Client) -> None:
        answer = await client.whatsapp(template(), sender="1")
        error = answer.json["error"]
        assert (answer.status, error["code"], error["error_subcode"]) == (400, 100, 33)

    @pytest.mark.parametrize(
        ("payload", "code", "status"),
        [
            ([], 100, 400),
            (template(messaging_product="sms"), 100, 400),
            ({"messaging_product": "whatsapp", "type": "text"}, 100, 400),
            (template(to="12ab"), 131009, 400),
            (template(to=["351910000001"]), 131009, 400),
            (template(type="fax"), 100, 400),
            (template(type=["text"]), 100, 400),
            (template(biz_opaque_callback_data="x" * 513), 100, 400),
            (template(to="15005550222"), 131021, 400),
            (template(template=None), 131008, 400),
            (template(template={"name": "spring_offer"}), 131008, 400),
            (template(template=with_parameters("Asha")), 132000, 400),
            (template(template=with_parameters("Asha", "A", "B")), 132000, 400),
            (template(template={"name": "spring_offer", "language": {"code": "en_US"}}), 132000, 400),
            (template(template={"name": "nothing", "language": {"code": "en_US"}}), 132001, 404),
            (template(template={"name": "spring_offer", "language": {"code": "ja"}}), 132001, 404),
            (template(template={**with_parameters("", "A")}), 131008, 400),
            (
                template(
                    template={
                        **with_parameters(),
                        "components": [{"type": "body", "parameters": [{"type": ["text"], "text": "A"}]}],
                    }
                ),
                132012,
                400,
            ),
            (text(body=""), 131008, 400),
            (text(body="x" * 4097), 100, 400),
            ({**text(), "type": "image", "image": {}}, 131008, 400),
            ({**text(), "type": "image", "image": {"id": "1", "link": "https://a.example/b"}}, 100, 400),
            ({**text(), "type": "audio", "audio": {"id": "1", "caption": "no"}}, 100, 400),
            ({**text(), "type": "location", "location": {"latitude": 1}}, 131008, 400),
            ({**text(), "type": "location", "location": {"latitude": "north", "longitude": 1}}, 131009, 400),
            ({**text(), "type": "interactive", "interactive": {"type": "button"}}, 131008, 400),
            (pressed("button", buttons=[]), 131009, 400),
            (pressed("button", buttons=[reply("a", "x" * 21)]), 131009, 400),
            (pressed("button", buttons=[reply("a", "Yes"), reply("a", "No")]), 131009, 400),
            (pressed("list", button="Choose", sections=[{"rows": [{"id": "a", "title": "x" * 25}]}]), 131009, 400),
            (pressed("list", button="Choose", sections=[{"rows": ROWS[:6]}, {"rows": ROWS[6:]}]), 131008, 400),
            (pressed("list", button="Choose", sections=[{"rows": ROWS}]), 131009, 400),
            (pressed("cta_url", name="cta_url", parameters={"display_text": "Shop", "url": "shop"}), 131009, 400),
            (text(), 131047, 400),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(
        self, client: Client, payload: Any, code: int, status: int
    ) -> None:
        answer = await client.whatsapp(payload)
        error = answer.json["error"]
        assert (answer.status, error["code"]) == (status, code)
        assert error["message"].startswith(f"(#{code})")
        assert error["error_data"]["details"]
        assert error["fbtrace_id"]
        assert (await client.stats())["totals"]["whatsapp_cloud"] == {
            "accepted": 0,
            "rejected": {str(code): 1},
            "throttled": 0,
        }

    async def test_a_body_that_is_not_json_is_100(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        path = f"/v23.0/{WA['phone_number_id']}/messages"
        answer = await client.call("POST", path, data=b"{", headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (400, 100)

    async def test_text_is_accepted_only_while_the_window_is_open(self, client: Client) -> None:
        await client.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": ASHA, "text": "Hi"})
        assert (await client.whatsapp(text())).status == 200
        await client.behave(window_seconds=0.000001)
        assert (await client.whatsapp(text())).json["error"]["code"] == 131047

    async def test_person_not_on_whatsapp_is_131026(self, client: Client) -> None:
        await client.script(ASHA, "not_on_whatsapp")
        answer = await client.template()
        assert (answer.status, answer.json["error"]["code"]) == (400, 131026)
        assert (await client.template(RUI)).status == 200

    async def test_too_many_to_one_person_is_131056_and_leaves_others_alone(self, client: Client) -> None:
        await client.behave(pair_burst=2, pair_seconds=600)
        codes = [(await client.template()).status for _ in range(3)]
        assert codes == [200, 200, 400]
        assert (await client.template()).json["error"]["code"] == 131056
        assert (await client.template(RUI)).status == 200

    async def test_above_the_throughput_of_the_number_is_130429(self, client: Client) -> None:
        await client.control("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "messages_per_second": 0.001})
        assert (await client.template()).status == 200
        answer = await client.template(RUI)
        assert (answer.status, answer.json["error"]["code"]) == (429, 130429)
        assert (await client.stats())["totals"]["whatsapp_cloud"]["throttled"] == 1

    async def test_header_and_url_button_take_their_parameters(self, client: Client) -> None:
        await client.control("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "templates": [MEDIA_TEMPLATE]})
        header = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://cdn.example.test/a"}}]}
        body = {"type": "body", "parameters": [{"type": "text", "text": "Asha"}]}
        button = {
            "type": "button",
            "sub_type": "url",
            "index": "0",
            "parameters": [{"type": "text", "text": "A-1042"}],
        }
        wanted = {"name": "parcel", "language": {"code": "en_US"}}

        async def code(*components: Any) -> Any:
            answer = await client.template(template={**wanted, "components": list(components)})
            return answer.json.get("error", {}).get("code")

        assert await code(header, body, button) is None
        assert await code(body, button) == 132000
        assert await code(header, body) == 132000
        text_header = {"type": "header", "parameters": [{"type": "text", "text": "A"}]}
        assert await code(text_header, body, button) == 132012

    @pytest.mark.parametrize(("status", "code"), [("PAUSED", 132015), ("DISABLED", 132016), ("PENDING", 132001)])
    async def test_template_that_is_not_approved_is_refused(self, client: Client, status: str, code: int) -> None:
        templates = [{**MEDIA_TEMPLATE, "status": status}]
        await client.control("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "templates": templates})
        answer = await client.template(template={"name": "parcel", "language": {"code": "en_US"}})
        assert answer.json["error"]["code"] == code

    async def test_star_accepts_every_template(self, client: Client) -> None:
        await client.control("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "templates": "*"})
        assert (await client.template(template={"name": "nothing", "language": {"code": "ja"}})).status == 200


class TestGetTemplates:
    async def test_pages_until_there_is_no_next(self, client: Client) -> None:
        path, after, names = f"/v23.0/{WA['waba_id']}/message_templates", "0", []
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        while True:
            query = {"limit": "20", "after": after}
            page = (await client.call("GET", path, params=query, headers=headers)).json
            names += [(found["name"], found["language"]) for found in page["data"]]
            if "next" not in page["paging"]:
                break
            after = page["paging"]["cursors"]["after"]
        assert ("spring_offer", "pt_BR") in names
        assert len(names) == len(set(names)) > 60

    async def test_name_selects_and_another_account_is_unknown(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        path = f"/v23.0/{WA['waba_id']}/message_templates"
        page = (await client.call("GET", path, params={"name": "welcome"}, headers=headers)).json
        assert {found["name"] for found in page["data"]} == {"welcome"}
        unknown = await client.call("GET", "/v23.0/1/message_templates", headers=headers)
        assert unknown.json["error"]["error_subcode"] == 33

    async def test_answers_the_fields_asked_for(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        path = f"/v23.0/{WA['waba_id']}/message_templates"
        query = {"name": "welcome", "limit": "1", "fields": "name,status,rejected_reason,quality_score"}
        [found] = (await client.call("GET", path, params=query, headers=headers)).json["data"]
        assert found.pop("id")
        assert found == {
            "name": "welcome",
            "status": "APPROVED",
            "rejected_reason": "NONE",
            "quality_score": {"score": "UNKNOWN"},
        }
        wrong = await client.call("GET", path, params={"fields": "name,weather"}, headers=headers)
        assert wrong.json["error"]["code"] == 100

    async def test_star_shows_templates_for_any_parameters(self, client: Client) -> None:
        await client.control("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "templates": "*"})
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        page = (await client.call("GET", f"/v23.0/{WA['waba_id']}/message_templates", headers=headers)).json
        assert page["data"]
        assert not any("components" in found for found in page["data"])


class TestPostTemplate:
    async def test_a_decision_holds_at_once_and_is_reported(self, client: Client, listening: Receiver) -> None:
        change = {"name": "spring_offer", "language": "en_US", "status": "PAUSED", "reason": "LOW_QUALITY"}
        told = await client.control("POST", "/sandbox/templates", {**change, "category": "UTILITY", "quality": "RED"})
        assert told["reports"] == 3
        assert (await client.template()).json["error"]["code"] == 132015
        await until(lambda: len(_changes(listening)) == 3)
        values = _changes(listening)
        assert values["template_category_update"]["new_category"] == "UTILITY"
        assert values["message_template_quality_update"]["new_quality_score"] == "RED"
        decided = values["message_template_status_update"]
        assert (decided["event"], decided["reason"], decided["message_template_name"]) == (
            "PAUSED",
            "LOW_QUALITY",
            "spring_offer",
        )

    async def test_an_unknown_template_is_named(self, client: Client) -> None:
        answer = await client.call(
            "POST", "/sandbox/templates", json={"name": "x", "language": "en", "status": "PAUSED"}
        )
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "name")


def _changes(receiver: Receiver) -> dict[str, Any]:
    """What was posted about templates, by field."""
    entries = [entry for posted in receiver.at("/whatsapp") for entry in posted.json["entry"]]
    assert all(entry["id"] == WA["waba_id"] and entry["time"] for entry in entries)
    return {change["field"]: change["value"] for entry in entries for change in entry["changes"]}


class TestGetPhoneNumber:
    async def test_answers_the_fields_asked_for(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {WA['access_token']}"}
        path = f"/v23.0/{WA['phone_number_id']}?fields=display_phone_number,quality_rating"
        answer = await client.call("GET", path, headers=headers)
        assert answer.json == {
            "display_phone_number": "+15005550222",
            "quality_rating": "GREEN",
            "id": WA["phone_number_id"],
        }


class TestWebhooks:
    async def test_statuses_echo_the_reference_and_are_signed(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, "read")
        wamid = (await client.template(reference="ref-1")).json["messages"][0]["id"]
        await until(lambda: len(listening.whatsapp("statuses")) == 3)
        statuses = listening.whatsapp("statuses")
        assert {status["status"] for status in statuses} == {"sent", "delivered", "read"}
        assert {(status["id"], status["biz_opaque_callback_data"]) for status in statuses} == {(wamid, "ref-1")}
        assert statuses[0]["recipient_id"] == ASHA[1:]
        for posted in listening.at("/whatsapp"):
            digest = hmac.new(WA["app_secret"].encode(), posted.body, hashlib.sha256).hexdigest()
            assert posted.headers["X-Hub-Signature-256"] == f"sha256={digest}"
            assert posted.json["entry"][0]["id"] == WA["waba_id"]

    async def test_who_reads_a_sound_plays_it(self, client: Client, listening: Receiver) -> None:
        await client.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": ASHA, "text": "Hi"})
        await client.script(ASHA, "read")
        await client.whatsapp({**text(), "type": "audio", "audio": {"link": "https://cdn.example.test/a.ogg"}})
        await until(lambda: len(listening.whatsapp("statuses")) == 4)
        statuses = [status["status"] for status in listening.whatsapp("statuses")]
        assert sorted(statuses) == ["delivered", "played", "read", "sent"]

    async def test_asynchronous_failure_carries_the_error(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, {"do": "fail", "code": 131049})
        await client.template()
        await until(lambda: listening.whatsapp("statuses"))
        (status,) = listening.whatsapp("statuses")
        assert status["status"] == "failed"
        assert status["errors"][0]["code"] == 131049

    async def test_silent_person_is_accepted_and_never_reported(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, "silent")
        assert (await client.template()).status == 200
        assert (await client.stats())["webhooks"]["pending"] == 0

    async def test_inbound_text_is_escaped_and_names_the_person(self, client: Client, listening: Receiver) -> None:
        said = {"provider": "whatsapp_cloud", "from": ASHA, "text": "Olá 😊"}
        wamid = (await client.control("POST", "/sandbox/inbound", said))["id"]
        await until(lambda: listening.whatsapp("messages"))
        (message,) = listening.whatsapp("messages")
        assert (message["id"], message["from"], message["text"]) == (wamid, ASHA[1:], {"body": "Olá 😊"})
        (posted,) = listening.at("/whatsapp")
        assert rb"Ol\u00e1 \ud83d\ude0a" in posted.body
        value = posted.json["entry"][0]["changes"][0]["value"]
        assert value["contacts"][0]["wa_id"] == ASHA[1:]
        assert value["contacts"][0]["user_id"].startswith("PT.")
        assert value["metadata"]["phone_number_id"] == WA["phone_number_id"]

    async def test_button_reply_refers_to_the_last_message(self, client: Client, listening: Receiver) -> None:
        wamid = (await client.template()).json["messages"][0]["id"]
        said = {"provider": "whatsapp_cloud", "from": ASHA, "button": {"payload": "YES", "text": "Yes"}}
        await client.control("POST", "/sandbox/inbound", said)
        await until(lambda: listening.whatsapp("messages"))
        (message,) = listening.whatsapp("messages")
        assert (message["type"], message["context"]["id"]) == ("button", wamid)

    async def test_url_is_saved_only_when_it_answers_the_challenge(self, client: Client, receiver: Receiver) -> None:
        receiver.verify_token = "another"
        wanted = {"provider": "whatsapp_cloud", "webhook_url": receiver.url + "/whatsapp"}
        webhook = (await client.control("POST", "/sandbox/accounts", wanted))["webhook"]
        assert not webhook["verified"]
        assert "403" in webhook["detail"]
        unchecked = (await client.control("POST", "/sandbox/accounts", {**wanted, "handshake": False}))["webhook"]
        assert unchecked["verified"]
