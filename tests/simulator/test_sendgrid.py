import base64
import io
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.simulator.receiver import SG, Client, Receiver, mail, until

ANA, TIM = "ana@example.com", "tim@example.com"


def personal(**changes: Any) -> dict[str, Any]:
    return mail(personalizations=[{"to": [{"email": ANA}], **changes}])


class TestSendMail:
    async def test_accepted_mail_is_202_without_a_body(self, client: Client) -> None:
        answer = await client.mail(mail(ANA))
        assert (answer.status, answer.body) == (202, b"")
        assert answer.headers["X-Message-Id"]
        assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= answer.headers.keys()

    async def test_each_personalization_is_counted_with_its_own_reference(self, client: Client) -> None:
        payload = mail(ANA)
        payload["personalizations"].append({"to": [{"email": TIM.upper()}], "custom_args": {"message_id": "m-2"}})
        await client.mail({**payload, "custom_args": {"message_id": "overridden", "shop": "1"}})
        accepted = (await client.stats())["accepted"]
        assert [(entry["recipient"], entry["reference"]) for entry in accepted] == [(ANA, "m-1"), (TIM, "m-2")]

    @pytest.mark.parametrize("key", ["", "SG.wrong"])
    async def test_bad_key_is_401(self, client: Client, key: str) -> None:
        answer = await client.mail(mail(ANA), key=key)
        assert answer.status == 401
        assert answer.json["errors"][0]["field"] is None

    async def test_sender_that_is_not_verified_is_403(self, client: Client) -> None:
        unknown = mail(ANA, sender={"email": "x@other.example.org"})
        answer = await client.mail(unknown)
        assert (answer.status, answer.json["errors"][0]["field"]) == (403, "from")
        wanted = {"provider": "sendgrid", "verified_senders": ["other.example.org"]}
        await client.control("POST", "/sandbox/accounts", wanted)
        assert (await client.mail(unknown)).status == 202

    @pytest.mark.parametrize(
        ("payload", "field"),
        [
            ([], None),
            (mail(), "personalizations"),
            (
                mail(personalizations=[{"to": [{"email": f"p{n}@example.com"}]} for n in range(1001)]),
                "personalizations",
            ),
            (mail(personalizations=["x"]), "personalizations.0"),
            (personal(to=[]), "personalizations.0.to"),
            (personal(to=[{"email": "ana"}]), "personalizations.0.to.0.email"),
            (personal(to=[ANA]), "personalizations.0.to.0.email"),
            (personal(cc=[{"email": ANA.upper()}]), "personalizations.0"),
            (personal(bcc="x"), "personalizations.0.bcc"),
            (personal(custom_args={"n": 1}), "personalizations.0.custom_args.n"),
            (personal(custom_args={"n": "x" * 10_001}), "personalizations.0.custom_args"),
            (personal(headers={"Subject": "x"}), "personalizations.0.headers.Subject"),
            (personal(headers={"X-A": 1}), "personalizations.0.headers.X-A"),
            (personal(send_at=int(time.time()) + 80 * 3600), "personalizations.0.send_at"),
            (mail(ANA, sender=None), "from.email"),
            (mail(ANA, sender={"email": "nobody"}), "from.email"),
            (mail(ANA, subject=""), "subject"),
            (mail(ANA, reply_to={"email": "x"}), "reply_to.email"),
            (mail(ANA, reply_to={"email": TIM}, reply_to_list=[{"email": TIM}]), "reply_to"),
            (mail(ANA, content=None), "content"),
            (mail(ANA, content=[{"type": "text/plain", "value": ""}]), "content.0.value"),
            (mail(ANA, content=[{"type": 1, "value": "x"}]), "content.0.type"),
            (
                mail(ANA, content=[{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]),
                "content",
            ),
            (mail(ANA, categories=[str(n) for n in range(11)]), "categories"),
            (mail(ANA, categories=["a", "a"]), "categories"),
            (mail(ANA, categories=[{}]), "categories.0"),
            (mail(ANA, attachments=[{"content": "eA=="}]), "attachments.0.filename"),
            (mail(ANA, asm={}), "asm.group_id"),
            (mail(ANA, mail_settings=1), "mail_settings"),
        ],
    )
    async def test_what_the_real_one_refuses_is_refused(self, client: Client, payload: Any, field: str | None) -> None:
        answer = await client.mail(payload)
        assert answer.status == 400
        assert [error["field"] for error in answer.json["errors"]] == [field]
        assert (await client.stats())["totals"]["sendgrid"] == {
            "accepted": 0,
            "rejected": {"400": 1},
            "throttled": 0,
        }

    async def test_one_bad_personalization_refuses_the_whole_request(self, client: Client) -> None:
        answer = await client.mail(mail(ANA, "broken@", TIM))
        assert [error["field"] for error in answer.json["errors"]] == ["personalizations.1.to.0.email"]
        assert (await client.stats())["accepted"] == []

    async def test_other_content_type_is_415(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {SG['api_key']}", "Content-Type": "text/plain"}
        assert (await client.call("POST", "/v3/mail/send", data=b"{}", headers=headers)).status == 415

    async def test_more_than_30_megabytes_is_413(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {SG['api_key']}"}
        big = await client.call(
            "POST", "/v3/mail/send", data=io.BytesIO(b" " * (30 * 1024 * 1024 + 1)), headers=headers
        )
        assert big.status == 413

    async def test_above_the_rate_is_429_with_the_time_of_the_reset(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        assert (await client.mail(mail(ANA))).status == 202
        answer = await client.mail(mail(ANA))
        assert (answer.status, answer.json["errors"][0]["message"]) == (429, "too many requests")
        assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000

    async def test_sandbox_mode_checks_and_sends_nothing(self, client: Client) -> None:
        answer = await client.mail(mail(ANA, mail_settings={"sandbox_mode": {"enable": True}}))
        assert answer.status == 200
        assert (await client.stats())["accepted"] == []


class TestEventWebhook:
    async def test_events_are_flat_signed_and_end_with_a_line_break(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "read")
        answer = await client.mail(mail(ANA, categories=["march"]))
        await until(lambda: len(listening.events()) == 3)
        key = load_der_public_key(base64.b64decode(SG["webhook_public_key"]))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        for posted in listening.at("/email"):
            signature = base64.b64decode(posted.headers["X-Twilio-Email-Event-Webhook-Signature"])
            timestamp = posted.headers["X-Twilio-Email-Event-Webhook-Timestamp"]
            key.verify(signature, timestamp.encode() + posted.body, ec.ECDSA(hashes.SHA256()))
            assert posted.body.endswith(b"]\r\n")
        events = listening.events()
        assert {event["event"] for event in events} == {"processed", "delivered", "open"}
        assert len({event["sg_event_id"] for event in events}) == 3
        for event in events:
            assert (event["message_id"], event["tenant_id"], event["email"]) == ("m-1", "t-1", ANA)
            assert event["sg_message_id"].partition(".")[0] == answer.headers["X-Message-Id"]
            assert event["category"] == ["march"]

    @pytest.mark.parametrize(("fate", "kind"), [("bounce", "bounce"), ("blocked", "blocked")])
    async def test_bounce_says_which_kind_it_is(
        self, client: Client, listening: Receiver, fate: str, kind: str
    ) -> None:
        await client.script(ANA, fate)
        await client.mail(mail(ANA))
        await until(lambda: len(listening.events()) == 2)
        bounce = next(event for event in listening.events() if event["event"] == "bounce")
        assert (bounce["type"], bool(bounce["reason"])) == (kind, True)

    async def test_address_that_bounced_is_dropped_the_next_time(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, {"do": "bounce", "after": 1})
        await client.mail(mail(ANA))
        await until(lambda: len(listening.events()) == 2)
        assert (await client.mail(mail(ANA, reference="m-2"))).status == 202
        await until(lambda: len(listening.events()) == 3)
        dropped = next(event for event in listening.events() if event["message_id"] == "m-2")
        assert (dropped["event"], dropped["reason"]) == ("dropped", "Bounced Address")

    async def test_complaint_can_be_made_at_any_time(self, client: Client, listening: Receiver) -> None:
        await client.mail(mail(ANA))
        await client.control("POST", "/sandbox/inbound", {"provider": "sendgrid", "from": ANA, "event": "spamreport"})
        await until(lambda: any(event["event"] == "spamreport" for event in listening.events()))


class TestUnsubscribe:
    async def test_presses_one_click_where_it_is_offered(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "unsubscribe")
        payload = mail(ANA)
        payload["personalizations"][0]["headers"] = {
            "List-Unsubscribe": f"<mailto:x@example.org>, <{listening.url}/u/tok-ana>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
        await client.mail(payload)
        await until(lambda: listening.at("/u/tok-ana"))
        assert listening.at("/u/tok-ana")[0].form == {"List-Unsubscribe": "One-Click"}
        assert (await client.stats())["people"]["unsubscribed"] == 1

    async def test_uses_the_event_otherwise_and_suppresses(self, client: Client, listening: Receiver) -> None:
        await client.script(ANA, "unsubscribe")
        await client.mail(mail(ANA))
        await until(lambda: any(event["event"] == "unsubscribe" for event in listening.events()))
        await client.mail(mail(ANA, reference="m-2"))
        await until(lambda: any(event["message_id"] == "m-2" for event in listening.events()))
        last = next(event for event in listening.events() if event["message_id"] == "m-2")
        assert last["reason"] == "Unsubscribed Address"
