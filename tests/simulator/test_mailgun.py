import hashlib
import hmac
import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from app.simulator.accounts import DEFAULT_CREDENTIALS, MAILGUN
from app.simulator.server import serving
from tests.simulator.receiver import Answer, Client, Posted, Receiver, until

MG = DEFAULT_CREDENTIALS[MAILGUN]
ANA, TIM = "ana@example.com", "tim@example.com"
Form = list[tuple[str, str]]
ONE_CLICK = {"h:List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def form(*to: str, **changes: Any) -> Form:
    """`h_X` is `h:X`; None leaves a parameter out, a list repeats it."""
    fields = {
        "from": f"Example <{MG['from_email']}>",
        "to": list(to or (ANA,)),
        "subject": "March",
        "text": "Hello",
        "html": '<p>Hello <a href="https://shop.example.org/a">shop</a></p>',
        "v:message_id": "m-1",
        "v:tenant_id": "t-1",
        **changes,
    }
    return [
        (name, str(one))
        for name, value in fields.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]


def with_file(content: io.BytesIO) -> aiohttp.FormData:
    fields = aiohttp.FormData()
    for name, value in form():
        fields.add_field(name, value, content_type="text/plain")
    fields.add_field("attachment", content, filename="a.pdf", content_type="application/pdf")
    return fields


async def post(
    client: Client, fields: Form | aiohttp.FormData, *, key: str = "", user: str = "api", domain: str = ""
) -> Answer:
    headers = {"Authorization": aiohttp.encode_basic_auth(user, key or MG["api_key"])}
    path = f"/v3/{domain or MG['domain']}/messages"
    return await client.call("POST", path, data=fields, headers=headers)


async def listed(client: Client, **query: str) -> list[dict[str, Any]]:
    answer = await events(client, **query)
    assert answer.status == 200
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def events(client: Client, **query: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in query.items()}
    headers = {"Authorization": aiohttp.encode_basic_auth("api", MG["api_key"])}
    return await client.call("GET", f"/v3/{MG['domain']}/events", params=named, headers=headers)


@pytest.fixture
async def mailbox(client: Client, receiver: Receiver) -> Receiver:
    """Where Mailgun posts."""
    wanted = {"provider": "mailgun", "webhook_url": receiver.url + "/mailgun"}
    await client.control("POST", "/sandbox/accounts", wanted)
    return receiver


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [posted.json["event-data"] for posted in receiver.at("/mailgun") if posted.body.startswith(b"{")]


def kinds(receiver: Receiver) -> list[str]:
    return [event["event"] for event in told(receiver)]


def is_signed(values: dict[str, str]) -> bool:
    signed = (values["timestamp"] + values["token"]).encode()
    digest = hmac.new(MG["webhook_signing_key"].encode(), signed, hashlib.sha256).hexdigest()
    return values["signature"] == digest and len(values["token"]) == 50


class TestSendMessage:
    async def test_accepted_e_mail_is_200_with_its_id(self, client: Client) -> None:
        answer = await post(client, form(f"Ana <{ANA.upper()}>"))
        assert (answer.status, answer.json["message"]) == (200, "Queued. Thank you.")
        (entry,) = (await client.stats())["accepted"]
        assert (entry["provider"], entry["recipient"], entry["reference"]) == ("mailgun", ANA, "m-1")
        assert [f"<{id}>" for id in entry["message_ids"]] == [answer.json["id"]]

    async def test_id_of_the_caller_is_kept(self, client: Client) -> None:
        answer = await post(client, form(**{"h:Message-Id": "<m-1@mg.example.org>"}))
        assert answer.json["id"] == "<m-1@mg.example.org>"

    async def test_multipart_with_a_file_is_accepted(self, client: Client) -> None:
        assert (await post(client, with_file(io.BytesIO(b"%PDF")))).status == 200

    async def test_everybody_who_gets_it_is_counted(self, client: Client) -> None:
        await post(client, form(ANA, cc=TIM, bcc="x@example.com, y@example.com"))
        assert (await client.stats())["totals"]["mailgun"]["accepted"] == 4

    @pytest.mark.parametrize(("user", "key"), [("api", "wrong"), ("root", MG["api_key"]), ("api", " ")])
    async def test_bad_key_is_forbidden_in_plain_text(self, client: Client, user: str, key: str) -> None:
        answer = await post(client, form(), user=user, key=key)
        assert (answer.status, answer.body) == (401, b"Forbidden")

    async def test_unknown_domain_is_404(self, client: Client) -> None:
        answer = await post(client, form(), domain="mg.other.example")
        assert (answer.status, answer.json) == (404, {"message": "Domain not found: mg.other.example"})

    async def test_sender_of_another_domain_is_not_allowed(self, client: Client) -> None:
        strange = form(**{"from": "x@other.example"})
        answer = await post(client, strange)
        assert (answer.status, "not allowed to send" in answer.json["message"]) == (400, True)
        await client.control(
            "POST", "/sandbox/accounts", {"provider": "mailgun", "verified_senders": ["other.example"]}
        )
        assert (await post(client, strange)).status == 200
        assert (await post(client, form(**{"from": "x@example.org"}))).status == 200

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            (form(**{"from": None}), "from parameter is missing"),
            (form(to=None), "to parameter is missing"),
            (form("ana"), "'to' parameter is not a valid address"),
            (form(cc="a b@example.com"), "'cc' parameter is not a valid address"),
            (form(text=None, html=None), "at least one of"),
            (form(template="t"), "mutually exclusive"),
            (form(*(f"p{number}@example.com" for number in range(1_001))), "too many recipients"),
            (form(**{"h:X-Long": "x" * 16_384}), "16KB"),
            (form(**{"o:tag": ["a", "b", "c", "d"]}), "Too many tags"),
            (form(**{"o:testmode": "perhaps"}), "o:testmode"),
            (form(**{"o:deliverytime": "tomorrow"}), "o:deliverytime"),
            (form(**{"o:deliverytime": format_datetime(datetime.now(UTC) + timedelta(days=4))}), "3 days"),
            (form(**{"recipient-variables": "{"}), "recipient-variables"),
            (form(**{"recipient-variables": '{"a@example.com": 1}'}), "recipient-variables"),
            (form(**{"recipient-variables": '{"a@example.com": {"x": []}}'}), "scalar"),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(self, client: Client, fields: Form, words: str) -> None:
        answer = await post(client, fields)
        assert (answer.status, words in answer.json["message"]) == (400, True)
        totals = (await client.stats())["totals"]["mailgun"]
        assert totals == {"accepted": 0, "rejected": {"400": 1}, "throttled": 0}

    async def test_mail_of_more_than_25_mb_is_413(self, client: Client) -> None:
        assert (await post(client, with_file(io.BytesIO(b"x" * 26_300_000)))).status == 413

    async def test_above_the_rate_is_429_with_the_time_in_words(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        assert (await post(client, form())).status == 200
        answer = await post(client, form())
        assert answer.status == 429
        until_when = parsedate_to_datetime(answer.json["message"].partition("try again after ")[2])
        assert timedelta() < until_when - datetime.now(UTC) < timedelta(minutes=1)

    @pytest.mark.parametrize(("status", "words"), [(402, "Request Failed"), (403, "large batches"), (503, "")])
    async def test_fault_has_the_provider_s_words(self, client: Client, status: int, words: str) -> None:
        fault = {"kind": "error", "provider": "mailgun", "status": status, "next": 1}
        await client.control("PUT", "/sandbox/faults", [fault])
        answer = await post(client, form())
        assert (answer.status, words in answer.json["message"]) == (status, True)
        assert (await post(client, form())).status == 200


class TestBatch:
    VARIABLES = {
        ANA: {"mid": "m-a", "subject": "For Ana", "html": "<a href='https://shop.example.org/ana'>x</a>", "n": 1},
        TIM: {"mid": "m-t", "subject": "For Tim", "html": "<a href='https://shop.example.org/tim'>x</a>"},
    }

    async def test_everybody_gets_a_copy_of_their_own_under_one_id(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "click")
        await client.script(TIM, "click")
        changes = {
            "subject": "%recipient.subject% %recipient.n%",
            "html": "%recipient.html%",
            "v:message_id": "%recipient.mid%",
            "recipient-variables": orjson.dumps(self.VARIABLES).decode(),
        }
        answer = await post(client, form(ANA, TIM, **changes))
        entries = (await client.stats())["accepted"]
        assert {(entry["recipient"], entry["reference"]) for entry in entries} == {(ANA, "m-a"), (TIM, "m-t")}
        await until(lambda: kinds(mailbox).count("clicked") == 2)
        clicks = {event["recipient"]: event for event in told(mailbox) if event["event"] == "clicked"}
        assert clicks[ANA]["url"] == "https://shop.example.org/ana"
        assert clicks[TIM]["user-variables"]["message_id"] == "m-t"
        ids = {f"<{event['message']['headers']['message-id']}>" for event in clicks.values()}
        assert ids == {answer.json["id"]}
        subjects = {event["message"]["headers"]["subject"] for event in clicks.values()}
        assert subjects == {"For Ana 1", "For Tim %recipient.n%"}  # what is not known is left as it is


class TestWebhooks:
    async def test_each_event_is_posted_alone_and_signed(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "read", "click")
        answer = await post(client, form(**{"o:tag": "march"}))
        await until(lambda: len(told(mailbox)) == 4)
        assert sorted(kinds(mailbox)) == ["accepted", "clicked", "delivered", "opened"]
        assert all(is_signed(posted.json["signature"]) for posted in mailbox.at("/mailgun"))
        for event in told(mailbox):
            assert f"<{event['message']['headers']['message-id']}>" == answer.json["id"]
            assert event["user-variables"] == {"message_id": "m-1", "tenant_id": "t-1"}
            assert (event["recipient"], event["tags"]) == (ANA, ["march"])

    async def test_redelivery_is_the_same_event(self, client: Client, mailbox: Receiver) -> None:
        mailbox.statuses = [503]
        await post(client, form())
        await until(lambda: len(told(mailbox)) == 3)
        assert len({event["id"] for event in told(mailbox)}) == 2
        assert all(is_signed(posted.json["signature"]) for posted in mailbox.at("/mailgun"))

    async def test_address_that_bounced_is_suppressed_the_next_time(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, {"do": "bounce", "after": 1})
        await post(client, form())
        await until(lambda: "failed" in kinds(mailbox))
        bounced = next(event for event in told(mailbox) if event["event"] == "failed")
        assert (bounced["severity"], bounced["reason"]) == ("permanent", "bounce")
        assert bounced["delivery-status"]["enhanced-code"] == "5.1.1"
        assert (await post(client, form(**{"v:message_id": "m-2"}))).status == 200
        await until(lambda: kinds(mailbox).count("failed") == 2)
        again = [event for event in told(mailbox) if event["event"] == "failed"][-1]
        assert (again["reason"], again["delivery-status"]["code"]) == ("suppress-bounce", 605)

    async def test_what_is_blocked_is_put_off_and_then_given_up(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "blocked")
        await post(client, form())
        await until(lambda: kinds(mailbox).count("failed") == 2)
        severities = {event["severity"]: event["reason"] for event in told(mailbox) if event["event"] == "failed"}
        assert severities == {"temporary": "generic", "permanent": "old"}

    async def test_rejection_names_the_person_in_the_headers_only(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "fail")
        await post(client, form())
        await until(lambda: kinds(mailbox) == ["rejected"])
        (event,) = told(mailbox)
        assert "recipient" not in event
        assert event["message"]["headers"]["to"] == ANA

    @pytest.mark.parametrize(
        ("wish", "word", "reason"),
        [("spamreport", "complained", "suppress-complaint"), ("unsubscribe", "unsubscribed", "suppress-unsubscribe")],
    )
    async def test_wish_comes_at_any_time_and_holds(
        self, client: Client, mailbox: Receiver, wish: str, word: str, reason: str
    ) -> None:
        await post(client, form())
        await client.control("POST", "/sandbox/inbound", {"provider": "mailgun", "from": ANA, "event": wish})
        await post(client, form(**{"v:message_id": "m-2"}))
        await until(lambda: {word, "failed"} <= set(kinds(mailbox)))
        failed = next(event for event in told(mailbox) if event["event"] == "failed")
        assert failed["reason"] == reason

    async def test_unsubscribing_presses_one_click_where_it_is_offered(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "unsubscribe")
        await post(client, form(**{"h:List-Unsubscribe": f"<{mailbox.url}/u/tok-ana>", **ONE_CLICK}))
        await until(lambda: mailbox.at("/u/tok-ana"))
        assert mailbox.at("/u/tok-ana")[0].form == {"List-Unsubscribe": "One-Click"}
        assert "unsubscribed" not in kinds(mailbox)

    async def test_without_it_the_provider_s_own_link_is_pressed(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "unsubscribe")
        await post(client, form())
        await until(lambda: "unsubscribed" in kinds(mailbox))


class TestRoute:
    def posted(self, receiver: Receiver) -> list[Posted]:
        return [posted for posted in receiver.at("/mailgun") if not posted.body.startswith(b"{")]

    async def test_answer_is_posted_as_a_signed_form(self, client: Client, mailbox: Receiver) -> None:
        answer = await post(client, form())
        said = {"provider": "mailgun", "from": ANA, "text": "Yes, please"}
        await client.control("POST", "/sandbox/inbound", said)
        await until(lambda: self.posted(mailbox))
        fields = self.posted(mailbox)[0].form
        assert is_signed(fields)
        assert (fields["sender"], fields["recipient"]) == (ANA, MG["from_email"])
        assert (fields["stripped-text"], fields["subject"]) == ("Yes, please", "Re: March")
        assert "> March" in fields["body-plain"]
        assert ["In-Reply-To", answer.json["id"]] in orjson.loads(fields["message-headers"])

    async def test_anybody_may_write(self, client: Client, mailbox: Receiver) -> None:
        await client.control("POST", "/sandbox/inbound", {"provider": "mailgun", "from": TIM, "text": "Hi"})
        await until(lambda: self.posted(mailbox))
        headers = orjson.loads(self.posted(mailbox)[0].form["message-headers"])
        assert "In-Reply-To" not in {name for name, _ in headers}


class TestEvents:
    async def test_they_are_listed_and_filtered(self, client: Client) -> None:
        sent = await post(client, form())
        await post(client, form(TIM, **{"v:message_id": "m-2"}))
        id = sent.json["id"].strip("<>")
        assert [event["user-variables"]["message_id"] for event in await listed(client, message_id=id)] == ["m-1"]
        (found,) = await listed(client, recipient=TIM, event="accepted")
        assert found["user-variables"]["message_id"] == "m-2"
        assert await listed(client, begin=format_datetime(datetime.now(UTC) + timedelta(hours=1))) == []

    async def test_newest_come_first_unless_it_is_asked_otherwise(self, client: Client, mailbox: Receiver) -> None:
        await post(client, form())
        await until(lambda: len(told(mailbox)) == 2)
        newest = [event["event"] for event in await listed(client)]
        assert newest == ["delivered", "accepted"]
        assert [event["event"] for event in await listed(client, ascending="yes")] == newest[::-1]
        assert len(await listed(client, limit="1")) == 1

    async def test_they_may_be_listed_late(self, client: Client) -> None:
        await client.behave(mailgun_listed_after_seconds=1_000)
        await post(client, form())
        assert await listed(client) == []

    @pytest.mark.parametrize("query", [{"limit": "301"}, {"limit": "x"}, {"begin": "yesterday"}])
    async def test_bad_parameters_are_refused(self, client: Client, query: dict[str, str]) -> None:
        assert (await events(client, **query)).status == 400

    async def test_acceptance_survives_a_restart(self, tmp_path: Path) -> None:
        for place in range(2):
            async with serving(state_dir=tmp_path) as server, aiohttp.ClientSession() as http:
                client = Client(http, server)
                if place == 0:
                    await post(client, form())
                assert "accepted" in {event["event"] for event in await listed(client, recipient=ANA)}
