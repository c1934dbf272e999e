import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from app.simulator.twilio.segments import segment_count
from tests.simulator.receiver import ASHA, RUI, TW, Client, Posted, Receiver, until


def signed(posted: Posted) -> bool:
    """The published formula, written out once more."""
    data = posted.url + "".join(name + value for name, value in sorted(posted.form.items()))
    digest = hmac.new(TW["auth_token"].encode(), data.encode(), hashlib.sha1).digest()
    return posted.headers["X-Twilio-Signature"] == base64.b64encode(digest).decode()


class TestCreateMessage:
    async def test_answer_is_the_whole_resource(self, client: Client) -> None:
        answer = await client.sms(Body="Olá " * 20)
        message = answer.json
        assert answer.status == 201
        assert message["sid"].startswith("SM")
        assert len(message["sid"]) == 34
        assert (message["status"], message["to"], message["from"]) == ("queued", ASHA, TW["from_number"])
        assert (message["num_segments"], message["direction"], message["error_code"]) == ("2", "outbound-api", None)
        assert message["uri"] == f"/2010-04-01/Accounts/{TW['account_sid']}/Messages/{message['sid']}.json"
        assert {"date_created", "date_sent", "date_updated", "price", "price_unit", "api_version"} <= message.keys()

    @pytest.mark.parametrize("auth", ["x:y", f"{TW['account_sid']}:wrong", "é"])
    async def test_bad_credentials_are_20003(self, client: Client, auth: str) -> None:
        answer = await client.sms(auth=auth)
        assert (answer.status, answer.json["code"], answer.json["status"]) == (401, 20003, 401)

    async def test_another_account_in_the_path_is_20404(self, client: Client) -> None:
        answer = await client.sms(sid="AC" + "0" * 32)
        assert (answer.status, answer.json["code"]) == (404, 20404)

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            ({"to": ""}, 21604),
            ({"From": ""}, 21603),
            ({"Body": ""}, 21602),
            ({"Body": "x" * 1601}, 21617),
            ({"to": "+12ab"}, 21211),
            ({"to": "351910000001"}, 21211),
            ({"From": "+15005550999"}, 21606),
            ({"From": "+"}, 21212),
            ({"to": TW["from_number"]}, 21266),
            ({"StatusCallback": "ftp://x.example/a"}, 21609),
            ({"StatusCallback": "https://under_score.example/a"}, 21609),
            ({"StatusCallback": "https://x.example:99999/a"}, 21609),
            ({"ValidityPeriod": "36001"}, 21624),
            ({"From": "", "MessagingServiceSid": "MG1"}, 21701),
            ({"MediaUrl": "cdn.example.org/a.jpg"}, 21620),
            ({"MediaUrl": "https://[cdn"}, 21620),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(self, client: Client, form: dict[str, str], code: int) -> None:
        answer = await client.sms(**form)
        assert (answer.status, answer.json["code"]) == (400, code)
        assert answer.json["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
        assert (await client.stats())["totals"]["twilio"]["rejected"] == {str(code): 1}

    async def test_media_are_counted_and_not_more_than_ten(self, client: Client) -> None:
        address = "https://cdn.example.org/a.jpg"
        assert (await client.sms(Body="", MediaUrl=address)).json["num_media"] == "1"
        form = [("To", ASHA), ("From", TW["from_number"]), *[("MediaUrl", address)] * 11]
        headers = {"Authorization": aiohttp.encode_basic_auth(TW["account_sid"], TW["auth_token"])}
        path = f"/2010-04-01/Accounts/{TW['account_sid']}/Messages.json"
        assert (await client.call("POST", path, data=form, headers=headers)).json["code"] == 21623

    async def test_person_without_a_mobile_is_21614(self, client: Client) -> None:
        await client.script(ASHA, "not_mobile")
        assert (await client.sms()).json["code"] == 21614

    async def test_above_the_rate_is_429_and_20429(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        assert (await client.sms()).status == 201
        answer = await client.sms()
        assert (answer.status, answer.json["code"]) == (429, 20429)
        assert (await client.stats())["totals"]["twilio"]["throttled"] == 1

    async def test_messaging_service_accepts_before_it_has_a_sender(self, client: Client) -> None:
        credentials = {**TW, "messaging_service_sid": "MG" + "0" * 32}
        await client.control("POST", "/sandbox/accounts", {"provider": "twilio", "credentials": credentials})
        message = (await client.sms(From="", MessagingServiceSid="MG" + "0" * 32)).json
        assert (message["status"], message["from"], message["num_segments"]) == ("accepted", None, "0")


class TestOptOut:
    async def test_stop_blocks_later_sends_until_start(self, client: Client, listening: Receiver) -> None:
        await client.sms()
        await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": " stop "})
        answer = await client.sms()
        assert (answer.status, answer.json["code"]) == (400, 21610)
        assert (await client.sms(RUI)).status == 201
        await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": "START"})
        assert (await client.sms()).status == 201
        await until(lambda: len(listening.at("/sms")) == 2)
        stop = next(posted for posted in listening.at("/sms") if posted.form["Body"] == " stop ")
        assert stop.form["SmsStatus"] == "received"
        assert (stop.form["From"], stop.form["To"], stop.form["FromCountry"]) == (ASHA, TW["from_number"], "PT")
        assert "OptOutType" not in stop.form
        assert signed(stop)

    @pytest.mark.parametrize(("word", "kind"), [("Stop", "STOP"), ("start", "START"), ("HELP", "HELP"), ("hi", None)])
    async def test_messaging_service_names_the_keyword(
        self, client: Client, listening: Receiver, word: str, kind: str | None
    ) -> None:
        credentials = {**TW, "messaging_service_sid": "MG" + "0" * 32}
        await client.control("POST", "/sandbox/accounts", {"provider": "twilio", "credentials": credentials})
        await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": word})
        await until(lambda: listening.at("/sms"))
        (posted,) = listening.at("/sms")
        assert posted.form.get("OptOutType") == kind
        assert signed(posted)

    async def test_a_sentence_with_stop_in_it_blocks_nothing(self, client: Client) -> None:
        said = {"provider": "twilio", "from": ASHA, "text": "please stop by tomorrow"}
        await client.control("POST", "/sandbox/inbound", said)
        assert (await client.sms()).status == 201


class TestStatusCallback:
    async def test_is_posted_to_the_exact_url_and_signed(self, client: Client, listening: Receiver) -> None:
        callback = f"{listening.url}/v1/webhooks/sms/s-1?ref=m-1&x=a%20b%2Fc"
        sid = (await client.sms(StatusCallback=callback)).json["sid"]
        await until(lambda: len(listening.at("/v1/webhooks/sms/s-1")) == 2)
        posts = listening.at("/v1/webhooks/sms/s-1")
        assert {posted.form["MessageStatus"] for posted in posts} == {"sent", "delivered"}
        for posted in posts:
            assert posted.url == callback
            assert signed(posted)
            assert posted.form["MessageSid"] == posted.form["SmsSid"] == sid
            assert posted.headers["I-Twilio-Idempotency-Token"]
        accepted = (await client.stats())["accepted"]
        assert [(entry["recipient"], entry["reference"]) for entry in accepted] == [(ASHA, "m-1")]

    async def test_undelivered_carries_its_error_code(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, {"do": "fail", "code": 30005})
        await client.sms(StatusCallback=listening.url + "/s?ref=m-1")
        await until(lambda: len(listening.at("/s")) == 2)
        failed = next(posted for posted in listening.at("/s") if posted.form["MessageStatus"] == "undelivered")
        assert failed.form["ErrorCode"] == "30005"


class TestFetchMessage:
    async def test_status_moves_on_by_itself(self, client: Client) -> None:
        sid = (await client.sms()).json["sid"]
        while (await client.sms_get(f"/Messages/{sid}.json")).json["status"] != "delivered":
            pass
        message = (await client.sms_get(f"/Messages/{sid}.json")).json
        assert message["date_sent"]

    async def test_unknown_sid_is_20404(self, client: Client) -> None:
        answer = await client.sms_get("/Messages/SM1.json")
        assert (answer.status, answer.json["code"]) == (404, 20404)


class TestListMessages:
    async def test_filters_by_recipient_and_day_newest_first(self, client: Client) -> None:
        first = (await client.sms(Body="one")).json["sid"]
        second = (await client.sms(Body="two")).json["sid"]
        await client.sms(RUI)
        today = datetime.now(UTC).date()
        yesterday = (today - timedelta(days=1)).isoformat()
        page = (await client.sms_get("/Messages.json", To=ASHA, **{"DateSent>": yesterday})).json
        assert [message["sid"] for message in page["messages"]] == [second, first]
        tomorrow = (today + timedelta(days=1)).isoformat()
        page = (await client.sms_get("/Messages.json", To=ASHA, **{"DateSent>": tomorrow})).json
        assert page["messages"] == []

    async def test_pages_are_linked(self, client: Client) -> None:
        sids = {(await client.sms()).json["sid"] for _ in range(3)}
        page = (await client.sms_get("/Messages.json", PageSize="2")).json
        found = {message["sid"] for message in page["messages"]}
        assert (len(found), page["page_size"]) == (2, 2)
        auth = {
            "Authorization": "Basic " + base64.b64encode(f"{TW['account_sid']}:{TW['auth_token']}".encode()).decode()
        }
        last = (await client.call("GET", page["next_page_uri"], headers=auth)).json
        assert found | {message["sid"] for message in last["messages"]} == sids
        assert last["next_page_uri"] is None

    async def test_a_bad_page_size_is_refused(self, client: Client) -> None:
        assert (await client.sms_get("/Messages.json", PageSize="0")).status == 400
        assert (await client.sms_get("/Messages.json", DateSent="soon")).status == 400


class TestSegmentCount:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2),
            ("a" * 152 + "€" + "a" * 151, 2), ("a" * 152 + "€" + "a" * 152, 3), ("ã" * 70, 1), ("ã" * 71, 2),
            ("ã" * 134, 2), ("ã" * 135, 3), ("😊" * 35, 1), ("😊" * 36, 2), ("😊" * 66, 2), ("😊" * 67, 3),
        ],
    )  # fmt: skip
    def test_packs_characters_into_parts(self, text: str, parts: int) -> None:
        assert segment_count(text) == parts
