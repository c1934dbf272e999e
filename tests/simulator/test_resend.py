import asyncio
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator.server import serving
from tests.simulator.receiver import RE, Client, Posted, Receiver, email, until

ANA, TIM = "ana@example.com", "tim@example.com"


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [posted.json for posted in receiver.at("/resend")]


def kinds(receiver: Receiver) -> list[str]:
    return [event["type"] for event in told(receiver)]


def is_signed(posted: Posted) -> bool:
    headers = {name.lower(): value for name, value in posted.headers.items()}
    key = base64.b64decode(RE["webhook_secret"].removeprefix("whsec_"))
    signed = f"{headers['svix-id']}.{headers['svix-timestamp']}.".encode() + posted.body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return headers["svix-signature"] == f"v1,{expected}"


class TestSendEmail:
    async def test_accepted_e_mail_is_200_with_its_id(self, client: Client) -> None:
        answer = await client.email(email(f"Ana <{ANA.upper()}>"))
        assert (answer.status, list(answer.json)) == (200, ["id"])
        assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= answer.headers.keys()
        (entry,) = (await client.stats())["accepted"]
        assert (entry["provider"], entry["recipient"], entry["reference"]) == ("resend", ANA, "m-1")
        assert entry["message_ids"] == [answer.json["id"]]

    async def test_everybody_who_gets_it_is_counted(self, client: Client) -> None:
        await client.email(email([ANA], cc=TIM, bcc=["x@example.com"]))
        assert (await client.stats())["totals"]["resend"]["accepted"] == 3

    @pytest.mark.parametrize(
        ("authorization", "status", "name"),
        [("", 401, "missing_api_key"), ("Basic abc", 401, "missing_api_key"), ("Bearer re_no", 403, "invalid_api_key")],
    )
    async def test_bad_key_is_refused(self, client: Client, authorization: str, status: int, name: str) -> None:
        answer = await client.email(email(), Authorization=authorization)
        assert (answer.status, answer.json["statusCode"], answer.json["name"]) == (status, status, name)

    async def test_without_a_user_agent_it_does_not_get_past_the_edge(self, client: Client) -> None:
        answer = await client.email(email(), **{"User-Agent": ""})
        assert (answer.status, answer.body) == (403, b"error code: 1010")

    async def test_domain_that_is_not_verified_is_403(self, client: Client) -> None:
        unknown = email(sender="x@other.example.org")
        answer = await client.email(unknown)
        assert (answer.status, answer.json["name"]) == (403, "validation_error")
        wanted = {"provider": "resend", "verified_senders": ["other.example.org"]}
        await client.control("POST", "/sandbox/accounts", wanted)
        assert (await client.email(unknown)).status == 200

    @pytest.mark.parametrize(
        ("payload", "status", "name"),
        [
            ([], 400, "validation_error"),
            (email(to=None), 422, "missing_required_field"),
            (email(to=[]), 422, "missing_required_field"),
            (email(subject=None), 422, "missing_required_field"),
            (email(sender=None), 422, "missing_required_field"),
            (email(html=None, text=None), 422, "missing_required_field"),
            (email(sender="nobody"), 422, "invalid_from_address"),
            (email("ana"), 422, "invalid_parameter"),
            (email(["ána@example.com"]), 422, "invalid_parameter"),
            (email([f"p{number}@example.com" for number in range(51)]), 422, "invalid_parameter"),
            (email(reply_to="x"), 422, "invalid_parameter"),
            (email(subject=1), 400, "validation_error"),
            (email(text=1), 400, "validation_error"),
            (email(template={"id": "t"}), 400, "validation_error"),
            (email(headers=["X-A"]), 400, "validation_error"),
            (email(headers={"X-A": 1}), 400, "validation_error"),
            (email(tags=[{"name": "a"}]), 400, "validation_error"),
            (email(tags=[{"name": "a", "value": "á"}]), 400, "validation_error"),
            (email(tags=[{"name": "a", "value": "x" * 257}]), 400, "validation_error"),
            (email(attachments=[{"filename": "a.pdf"}]), 422, "invalid_attachment"),
            (email(personalizations=[]), 400, "validation_error"),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(
        self, client: Client, payload: Any, status: int, name: str
    ) -> None:
        answer = await client.email(payload)
        assert (answer.status, answer.json["name"]) == (status, name)
        totals = (await client.stats())["totals"]["resend"]
        assert totals == {"accepted": 0, "rejected": {name: 1}, "throttled": 0}

    async def test_above_the_rate_is_429_with_the_time_to_wait(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        assert (await client.email(email())).status == 200
        answer = await client.email(email())
        assert (answer.status, answer.json["name"]) == (429, "rate_limit_exceeded")
        assert (answer.headers["Retry-After"], answer.headers["ratelimit-remaining"]) == ("1", "0")

    async def test_a_team_starts_with_ten_requests_a_second(self, client: Client) -> None:
        assert (await client.email(email())).headers["ratelimit-limit"] == "10"


class TestIdempotencyKey:
    async def test_same_request_has_the_first_answer_and_is_no_second_e_mail(self, client: Client) -> None:
        first = await client.email(email(), key="k-1")
        again = await client.email(email(), key="k-1")
        assert (again.status, again.json) == (200, first.json)
        stats = await client.stats()
        assert (stats["totals"]["resend"]["accepted"], stats["duplicates"]) == (1, 0)

    async def test_other_body_is_409_and_is_not_sent(self, client: Client) -> None:
        await client.email(email(), key="k-1")
        answer = await client.email(email(subject="April"), key="k-1")
        assert (answer.status, answer.json["name"]) == (409, "invalid_idempotent_request")
        assert (await client.stats())["totals"]["resend"]["accepted"] == 1

    async def test_while_the_first_is_under_way_it_is_409(self, client: Client) -> None:
        await client.behave(latency_ms=500)
        first = asyncio.create_task(client.email(email(), key="k-1"))
        while not (await client.stats())["accepted"]:
            await asyncio.sleep(0.01)
        answer = await client.email(email(), key="k-1")
        assert (answer.status, answer.json["name"]) == (409, "concurrent_idempotent_requests")
        assert (await first).status == 200
        assert (await client.email(email(), key="k-1")).json == (await first).json

    async def test_lost_answer_is_given_again(self, client: Client) -> None:
        await client.control("PUT", "/sandbox/faults", [{"kind": "reset", "provider": "resend", "next": 1}])
        with pytest.raises(aiohttp.ClientError):
            await client.email(email(), key="k-1")
        answer = await client.email(email(), key="k-1")
        (entry,) = (await client.stats())["accepted"]
        assert (entry["count"], entry["message_ids"]) == (1, [answer.json["id"]])

    async def test_refused_request_leaves_the_key_free(self, client: Client) -> None:
        assert (await client.email(email(subject=None), key="k-1")).status == 422
        assert (await client.email(email(), key="k-1")).status == 200

    async def test_each_account_has_its_own(self, client: Client) -> None:
        credentials = {"api_key": "re_two", "from_email": RE["from_email"]}
        await client.control("POST", "/sandbox/accounts", {"provider": "resend", "credentials": credentials})
        await client.email(email(), key="k-1")
        await client.email(email(), key="k-1", Authorization="Bearer re_two")
        assert (await client.stats())["totals"]["resend"]["accepted"] == 2

    async def test_after_its_lifetime_it_is_a_second_e_mail(self, client: Client) -> None:
        await client.behave(resend_key_seconds=0.001)
        await client.email(email(), key="k-1")
        await asyncio.sleep(0.01)
        await client.email(email(), key="k-1")
        assert (await client.stats())["duplicates"] == 1

    async def test_too_long_a_key_is_refused(self, client: Client) -> None:
        answer = await client.email(email(), key="k" * 257)
        assert (answer.status, answer.json["name"]) == (400, "invalid_idempotency_key")

    async def test_survives_a_restart(self, tmp_path: Path) -> None:
        answers = []
        for _ in range(2):
            async with serving(state_dir=tmp_path) as server, aiohttp.ClientSession() as http:
                answers.append((await Client(http, server).email(email(), key="k-1")).json)
        assert answers[0] == answers[1]


class TestWebhooks:
    async def test_each_event_is_posted_alone_and_signed(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "read", "click")
        answer = await client.email(email())
        await until(lambda: len(told(listening)) == 4)
        assert sorted(kinds(listening)) == ["email.clicked", "email.delivered", "email.opened", "email.sent"]
        assert all(is_signed(posted) for posted in listening.at("/resend"))
        for event in told(listening):
            assert event["data"]["email_id"] == answer.json["id"]
            assert event["data"]["tags"] == {"message_id": "m-1", "tenant_id": "t-1"}
            assert event["data"]["to"] == [ANA]
        (clicked,) = (event for event in told(listening) if event["type"] == "email.clicked")
        assert clicked["data"]["click"]["link"] == "https://shop.example.org/a"

    async def test_redelivery_has_the_same_id_and_a_new_signature(self, client: Client, listening: Receiver) -> None:
        listening.statuses = [503]
        await client.email(email())
        await until(lambda: len(listening.at("/resend")) == 3)
        assert all(is_signed(posted) for posted in listening.at("/resend"))
        ids = [posted.headers["svix-id"] for posted in listening.at("/resend")]
        assert len(set(ids)) == 2

    @pytest.mark.parametrize(("fate", "type"), [("bounce", "Permanent"), ("blocked", "Transient")])
    async def test_bounce_says_which_kind_it_is(
        self, client: Client, listening: Receiver, fate: str, type: str
    ) -> None:
        await client.script(ANA, fate)
        await client.email(email())
        await until(lambda: "email.bounced" in kinds(listening))
        bounced = next(event for event in told(listening) if event["type"] == "email.bounced")
        assert bounced["data"]["bounce"]["type"] == type

    async def test_address_that_bounced_is_suppressed_the_next_time(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, {"do": "bounce", "after": 1})
        await client.email(email())
        await until(lambda: "email.bounced" in kinds(listening))
        assert (await client.email(email(reference="m-2"))).status == 200
        await until(lambda: "email.suppressed" in kinds(listening))
        assert told(listening)[-1]["data"]["suppressed"]["reason"] == "previous_bounce"

    async def test_failure_of_the_provider_is_reported(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "fail")
        await client.email(email())
        await until(lambda: kinds(listening) == ["email.failed"])

    async def test_complaint_and_reply_come_at_any_time(self, client: Client, listening: Receiver) -> None:
        await client.email(email())
        await client.control("POST", "/sandbox/inbound", {"provider": "resend", "from": ANA, "event": "spamreport"})
        await client.control("POST", "/sandbox/inbound", {"provider": "resend", "from": ANA, "text": "Re: March"})
        await until(lambda: {"email.complained", "email.received"} <= set(kinds(listening)))
        received = next(event for event in told(listening) if event["type"] == "email.received")
        assert (received["data"]["from"], received["data"]["subject"]) == (ANA, "Re: March")

    async def test_unsubscribing_presses_one_click_where_it_is_offered(
        self, client: Client, listening: Receiver
    ) -> None:
        await client.script(ANA, "unsubscribe")
        headers = {
            "List-Unsubscribe": f"<{listening.url}/u/tok-ana>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        await client.email(email(headers=headers))
        await until(lambda: listening.at("/u/tok-ana"))
        assert listening.at("/u/tok-ana")[0].form == {"List-Unsubscribe": "One-Click"}
