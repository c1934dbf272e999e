import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import jwt
import pytest

from app.simulator.server import serving
from tests.simulator.receiver import ASHA, MB, RUI, Client, Posted, Receiver, until


def verified(posted: Posted) -> dict[str, Any]:
    """The claims of its token, which has to be good now and for exactly this request."""
    claims: dict[str, Any] = jwt.decode(
        posted.headers["MessageBird-Signature-JWT"],
        MB["signing_key"],
        algorithms=["HS256"],
        issuer="MessageBird",
        options={"require": ["iss", "nbf", "exp", "jti", "url_hash"]},
    )
    assert claims["exp"] - claims["nbf"] == 60
    assert claims["url_hash"] == hashlib.sha256(posted.url.encode()).hexdigest()
    expected = hashlib.sha256(posted.body).hexdigest() if posted.body else None
    assert claims.get("payload_hash") == expected
    return claims


class TestCreateMessage:
    async def test_answer_is_the_whole_resource(self, client: Client) -> None:
        answer = await client.bird(body="Olá " * 50, datacoding="auto", reportUrl="https://x.example/r")
        message = answer.json
        assert answer.status == 201
        assert len(message["id"]) == 32
        assert message["href"].endswith(f"/messages/{message['id']}")
        assert (message["direction"], message["reference"], message["datacoding"]) == ("mt", "m-1", "auto")
        assert message["originator"] == MB["originator"]
        (item,) = message["recipients"].pop("items")
        assert (item["recipient"], item["status"], item["messagePartCount"]) == (int(ASHA[1:]), "sent", 3)
        assert message["recipients"] == {
            "totalCount": 1, "totalSentCount": 1, "totalDeliveredCount": 0, "totalDeliveryFailedCount": 0,
        }  # fmt: skip

    @pytest.mark.parametrize("header", ["", f"Bearer {MB['access_key']}", "AccessKey wrong", "AccessKey"])
    async def test_bad_key_is_2(self, client: Client, header: str) -> None:
        answer = await client.call("POST", "/messages", json={}, headers={"Authorization": header})
        assert (answer.status, answer.json["errors"][0]["code"]) == (401, 2)

    @pytest.mark.parametrize(
        ("changes", "code", "parameter"),
        [
            ({"originator": None}, 9, "originator"),
            ({"originator": "TwelveLetter"}, 10, "originator"),
            ({"originator": "+0"}, 10, "originator"),
            ({"originator": 31612345678}, 10, "originator"),
            ({"recipients": None}, 9, "recipients"),
            ({"recipients": []}, 9, "recipients"),
            ({"recipients": [ASHA]}, 9, "recipients"),
            ({"recipients": ["0351910000001"]}, 9, "recipients"),
            ({"recipients": "351910000001,abc"}, 9, "recipients"),
            ({"recipients": [str(351_910_000_000 + number) for number in range(51)]}, 10, "recipients"),
            ({"body": None}, 9, "body"),
            ({"body": ""}, 9, "body"),
            ({"body": "x" * 1_378}, 10, "body"),
            ({"body": "€" * 689}, 10, "body"),
            ({"body": "ã" * 604, "datacoding": "auto"}, 10, "body"),
            ({"body": "x" * 604, "datacoding": "unicode"}, 10, "body"),
            ({"reference": "x" * 129}, 10, "reference"),
            ({"reference": 7}, 10, "reference"),
            ({"reportUrl": "ftp://x.example"}, 10, "reportUrl"),
            ({"reportUrl": "https://[x"}, 10, "reportUrl"),
            ({"reportUrl": ["https://x.example"]}, 10, "reportUrl"),
            ({"datacoding": "gsm"}, 10, "datacoding"),
            ({"type": "mms"}, 10, "type"),
            ({"validity": 0}, 10, "validity"),
            ({"report_url": "https://x.example"}, 10, "report_url"),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(
        self, client: Client, changes: dict[str, Any], code: int, parameter: str
    ) -> None:
        answer = await client.bird(**changes)
        (error,) = answer.json["errors"]
        assert (answer.status, error["code"], error["parameter"]) == (422, code, parameter)
        assert (await client.stats())["totals"]["messagebird"]["rejected"] == {str(code): 1}

    @pytest.mark.parametrize("body", [b"", b"{", b"[]"])
    async def test_what_is_no_object_is_21(self, client: Client, body: bytes) -> None:
        headers = {"Authorization": f"AccessKey {MB['access_key']}"}
        answer = await client.call("POST", "/messages", data=body, headers=headers)
        assert (answer.status, answer.json["errors"][0]["code"]) == (400, 21)

    @pytest.mark.parametrize(
        "changes",
        [
            {"body": "x" * 1_377},
            {"body": "ã" * 603, "datacoding": "auto"},
            {"body": "ã" * 1_000},  # what `plain` lacks is replaced
            {"originator": "My Shop 1"},
            {"originator": "+31612345678"},
            {"recipients": "351910000001, 351910000002"},
            {"recipients": [351910000001]},
        ],
    )
    async def test_what_fits_is_accepted(self, client: Client, changes: dict[str, Any]) -> None:
        assert (await client.bird(**changes)).status == 201

    async def test_above_the_rate_is_429(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        assert (await client.bird()).status == 201
        assert (await client.bird()).status == 429
        assert (await client.stats())["totals"]["messagebird"]["throttled"] == 1

    async def test_faults_are_in_its_own_words(self, client: Client) -> None:
        faults = [
            {"kind": "throttle", "provider": "messagebird", "next": 1, "retry_after": 3},
            {"kind": "error", "provider": "messagebird", "next": 1, "status": 402, "code": 25},
            {"kind": "error", "provider": "messagebird", "next": 1, "status": 500},
        ]
        await client.control("PUT", "/sandbox/faults", faults)
        answers = [await client.bird() for _ in faults]
        assert [answer.status for answer in answers] == [429, 402, 500]
        assert answers[0].headers["Retry-After"] == "3"
        assert [answer.json["errors"][0].get("code") for answer in answers] == [None, 25, 99]

    async def test_everybody_counts(self, client: Client) -> None:
        message = (await client.bird(recipients=[ASHA[1:], RUI[1:], ASHA[1:]])).json
        accepted = (await client.stats())["accepted"]
        assert {entry["recipient"] for entry in accepted} == {ASHA, RUI}
        assert [(entry["reference"], entry["message_ids"]) for entry in accepted] == [("m-1", [message["id"]])] * 2


class TestReports:
    async def test_are_signed_gets_of_the_url_with_what_happened(self, client: Client, listening: Receiver) -> None:
        url = f"{listening.url}/v1/webhooks/sms/s-1?x=a%20b%2Fc"
        message = (await client.bird(reportUrl=url)).json
        await until(lambda: len(listening.at("/v1/webhooks/sms/s-1")) == 2)
        reports = listening.at("/v1/webhooks/sms/s-1")
        for report in reports:
            verified(report)
            assert (report.method, report.body) == ("GET", b"")
            assert report.url.startswith(url + "&")
            assert (report.query["id"], report.query["reference"]) == (message["id"], "m-1")
            assert (report.query["recipient"], report.query["originator"]) == (ASHA[1:], MB["originator"])
            assert datetime.fromisoformat(report.query["statusDatetime"]).tzinfo
        assert [report.query["status"] for report in reports] == ["sent", "delivered"]
        assert len({verified(report)["jti"] for report in reports}) == 2

    async def test_without_a_url_go_to_the_account_s_own(self, client: Client, listening: Receiver) -> None:
        await client.bird()
        await until(lambda: len(listening.at("/bird")) == 2)

    async def test_without_a_reference_there_are_none(self, client: Client, listening: Receiver) -> None:
        await client.bird(reference=None)
        message = await client.bird(recipients=[RUI[1:]])
        await until(lambda: len(listening.at("/bird")) == 2)
        assert {report.query["id"] for report in listening.at("/bird")} == {message.json["id"]}
        assert (await client.stats())["people"]["delivered"] == 2

    @pytest.mark.parametrize(
        ("step", "reason", "code"),
        [
            ({"do": "fail", "code": 27}, "unavailable subscriber", "27"),
            ({"do": "fail", "code": 30005}, "unknown subscriber", "1"),
            ({"do": "fail", "code": 999}, "generic delivery failure", "0"),
            ("not_mobile", "unknown subscriber", "1"),
        ],
    )
    async def test_failure_has_a_reason_and_a_code(
        self, client: Client, listening: Receiver, step: Any, reason: str, code: str
    ) -> None:
        await client.script(ASHA, step)
        await client.bird()
        await until(lambda: len(listening.at("/bird")) == 2)
        failed = next(report for report in listening.at("/bird") if report.query["status"] == "delivery_failed")
        assert (failed.query["statusReason"], failed.query["statusErrorCode"]) == (reason, code)

    async def test_anything_but_200_is_tried_again_with_a_new_token(self, client: Client, listening: Receiver) -> None:
        listening.statuses = [204]
        await client.script(ASHA, "silent")
        await client.control("POST", "/sandbox/inbound", {"provider": "messagebird", "from": ASHA, "text": "Hi"})
        await until(lambda: len(listening.at("/bird")) == 2)
        first, second = listening.at("/bird")
        assert first.body == second.body
        assert verified(first)["jti"] != verified(second)["jti"]


class TestInbound:
    async def test_message_is_posted_as_a_form(self, client: Client, listening: Receiver) -> None:
        said = {"provider": "messagebird", "from": ASHA, "text": "Olá & até já"}
        id = (await client.control("POST", "/sandbox/inbound", said))["id"]
        await until(lambda: listening.at("/bird"))
        (posted,) = listening.at("/bird")
        verified(posted)
        assert posted.method == "POST"
        assert (posted.form["id"], posted.form["originator"]) == (id, ASHA[1:])
        assert (posted.form["recipient"], posted.form["body"]) == (MB["originator"], "Olá & até já")

    async def test_people_write_to_a_number_where_a_name_sends(self, client: Client, listening: Receiver) -> None:
        credentials = {**MB, "originator": "ExampleShop"}
        await client.control("POST", "/sandbox/accounts", {"provider": "messagebird", "credentials": credentials})
        await client.control("POST", "/sandbox/inbound", {"provider": "messagebird", "from": ASHA, "text": "Hi"})
        await until(lambda: listening.at("/bird"))
        assert listening.at("/bird")[0].form["recipient"].isdigit()

    async def test_after_a_stop_everything_fails_until_start(self, client: Client, listening: Receiver) -> None:
        assert await self.after(client, listening, " stop ") == "103"
        assert await self.after(client, listening, "START") is None

    async def after(self, client: Client, listening: Receiver, word: str) -> str | None:
        """The error code of what is sent to a person who wrote this."""
        await client.control("POST", "/sandbox/inbound", {"provider": "messagebird", "from": ASHA, "text": word})
        id = (await client.bird()).json["id"]

        def final() -> list[Posted]:
            ends = {"delivered", "delivery_failed"}
            told = [report for report in listening.at("/bird") if report.query.get("id") == id]
            return [report for report in told if report.query["status"] in ends]

        await until(final)
        return final()[0].query.get("statusErrorCode")


class TestFetchMessage:
    async def test_status_moves_on_by_itself(self, client: Client) -> None:
        id = (await client.bird()).json["id"]
        while not (message := (await client.bird_get(f"/messages/{id}")).json)["recipients"]["totalDeliveredCount"]:
            await asyncio.sleep(0.03)  # it may be asked 50 times a second
        assert message["recipients"]["items"][0]["status"] == "delivered"

    async def test_unknown_id_is_20(self, client: Client) -> None:
        answer = await client.bird_get("/messages/x")
        assert (answer.status, answer.json["errors"][0]["code"]) == (404, 20)


class TestListMessages:
    async def test_asking_too_often_is_429(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.simulator.messagebird.api.GETS_PER_SECOND", 0.001)
        assert [(await client.bird_get()).status for _ in range(2)] == [200, 429]
        assert (await client.bird()).status == 201  # what is sent is counted by itself

    async def test_filters_by_recipient_and_time_newest_first(self, client: Client) -> None:
        first = (await client.bird(body="one")).json["id"]
        second = (await client.bird(body="two")).json["id"]
        await client.bird(recipients=[RUI[1:]])
        now = datetime.now(UTC)
        page = (await client.bird_get(recipient=ASHA[1:], **{"from": (now - timedelta(minutes=1)).isoformat()})).json
        assert [item["id"] for item in page["items"]] == [second, first]
        assert [item["reference"] for item in page["items"]] == ["m-1", "m-1"]
        assert (page["count"], page["totalCount"], page["offset"], page["links"]["next"]) == (2, 2, 0, None)
        later = (await client.bird_get(recipient=ASHA[1:], **{"from": (now + timedelta(minutes=1)).isoformat()})).json
        assert (later["items"], later["totalCount"]) == ([], 0)
        for query in ({"until": (now - timedelta(minutes=1)).isoformat()}, {"direction": "mo"}, {"originator": "x"}):
            assert (await client.bird_get(**query)).json["items"] == []
        assert len((await client.bird_get(searchterm="two")).json["items"]) == 1

    async def test_pages_are_linked(self, client: Client) -> None:
        ids = {(await client.bird()).json["id"] for _ in range(3)}
        page = (await client.bird_get(limit=2)).json
        found = {item["id"] for item in page["items"]}
        last = (await client.bird_get(page["links"]["next"].removeprefix(client.server.url))).json
        assert (len(found), last["offset"], last["totalCount"], last["links"]["next"]) == (2, 2, 3, None)
        assert found | {item["id"] for item in last["items"]} == ids

    @pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"offset": "-1"}, {"from": "soon"}])
    async def test_a_bad_filter_is_refused(self, client: Client, query: dict[str, str]) -> None:
        answer = await client.bird_get(**query)
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, 10)

    async def test_another_account_sees_nothing(self, client: Client) -> None:
        id = (await client.bird()).json["id"]
        other = {"access_key": "live_other", "originator": "Other", "signing_key": "k"}
        await client.control("POST", "/sandbox/accounts", {"provider": "messagebird", "credentials": other})
        headers = {"Authorization": "AccessKey live_other"}
        assert (await client.call("GET", f"/messages/{quote(id)}", headers=headers)).status == 404
        assert (await client.call("GET", "/messages", headers=headers)).json["items"] == []


class TestState:
    async def test_messages_are_still_listed_after_a_restart(self, tmp_path: Path) -> None:
        pages: list[dict[str, Any]] = []
        for _ in range(2):
            async with serving(state_dir=tmp_path) as server, aiohttp.ClientSession() as http:
                client = Client(http, server)
                if not pages:
                    await client.bird(recipients=[ASHA[1:], RUI[1:]])
                pages.append((await client.bird_get(recipient=RUI[1:])).json)
        assert pages[0]["items"][0]["id"] == pages[1]["items"][0]["id"]
        assert pages[1]["totalCount"] == 1
