import socket
from collections import Counter

import aiohttp
import pytest
from aiohttp import web

from tests.simulator.receiver import ASHA, WA, Client, Receiver, mail, until


class TestRetries:
    async def test_whatsapp_is_redelivered_until_it_is_taken(self, client: Client, listening: Receiver) -> None:
        await client.behave(whatsapp_batch=1, webhook_connections=1)
        await client.script(ASHA, {"do": "fail"})
        listening.statuses = [500, 404, 302]
        await client.template()
        await until(lambda: len(listening.at("/whatsapp")) == 4)
        assert len({posted.body for posted in listening.at("/whatsapp")}) == 1
        webhooks = (await client.stats())["webhooks"]
        assert (webhooks["sent"], webhooks["retried"], webhooks["dropped"]) == (1, 3, 0)

    async def test_sendgrid_is_redelivered_with_the_same_event_ids(self, client: Client, listening: Receiver) -> None:
        await client.script("ana@example.com", "fail")
        listening.statuses = [500, 500]
        await client.mail(mail("ana@example.com"))
        await until(lambda: len(listening.at("/email")) == 3)
        assert len({event["sg_event_id"] for event in listening.events()}) == 1

    async def test_twilio_gives_up_after_its_retries(self, client: Client, listening: Receiver) -> None:
        await client.behave(twilio_retries=2)
        listening.statuses = [500] * 100
        said = {"provider": "twilio", "from": ASHA, "text": "Hi"}
        await client.control("POST", "/sandbox/inbound", said)
        while not (await client.stats())["webhooks"]["dropped"]:
            pass
        posts = listening.at("/sms")
        assert len(posts) == 3
        assert len({posted.headers["I-Twilio-Idempotency-Token"] for posted in posts}) == 1
        assert (await client.stats())["webhooks"]["pending"] == 0

    async def test_nothing_is_lost_while_the_receiver_is_down(self, client: Client, receiver: Receiver) -> None:
        """The receiver's address is taken, but nobody answers there until later."""
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        down = f"http://127.0.0.1:{port}"
        await client.behave(twilio_retries=1_000)
        wanted = {"provider": "whatsapp_cloud", "webhook_url": down + "/whatsapp", "handshake": False}
        await client.control("POST", "/sandbox/accounts", wanted)
        for number in range(50):
            await client.template(f"+3519100000{number:02d}", f"r-{number}")
            await client.sms(f"+3519100000{number:02d}", StatusCallback=f"{down}/status?ref=r-{number}")
        while (await client.stats())["webhooks"]["retried"] < 100:
            pass
        assert (await client.stats())["webhooks"]["pending"] == 200
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", receiver.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        while (await client.stats())["webhooks"]["pending"]:
            pass
        await runner.cleanup()
        statuses = Counter((s["biz_opaque_callback_data"], s["status"]) for s in receiver.whatsapp("statuses"))
        assert len(statuses) == 100
        assert set(statuses.values()) == {1}
        assert len(receiver.at("/status")) == 100

    async def test_what_gets_lost_on_its_way_is_posted_again_until_its_answer_arrives(
        self, client: Client, listening: Receiver
    ) -> None:
        await client.behave(webhook_loss_share=0.5, whatsapp_batch=1, retry_factor=0.01)
        for number in range(20):
            await client.template(f"+3519100000{number:02d}", f"r-{number}")
        while (await client.stats())["webhooks"]["pending"]:
            pass
        told = Counter((s["biz_opaque_callback_data"], s["status"]) for s in listening.whatsapp("statuses"))
        assert len(told) == 40
        webhooks = (await client.stats())["webhooks"]
        assert webhooks["lost"] == webhooks["retried"] > 0
        # of some the receiver heard twice, because only the answer was lost
        assert 40 < told.total() < webhooks["sent"] + webhooks["retried"]

    async def test_more_than_can_be_kept_is_dropped_and_counted(self, client: Client, listening: Receiver) -> None:
        await client.behave(max_pending=1, webhook_delay_ms=[60_000, 60_000])
        await client.template()
        webhooks = (await client.stats())["webhooks"]
        assert (webhooks["pending"], webhooks["dropped"]) == (1, 1)


class TestDisorder:
    async def test_duplicates_are_the_same_report_twice(self, client: Client, listening: Receiver) -> None:
        await client.behave(duplicate_share=1)
        await client.template()
        await until(lambda: len(listening.whatsapp("statuses")) == 4)
        counts = Counter(status["status"] for status in listening.whatsapp("statuses"))
        assert counts == {"sent": 2, "delivered": 2}
        assert (await client.stats())["people"]["delivered"] == 1

    async def test_reordered_reports_arrive_last_first(self, client: Client, listening: Receiver) -> None:
        await client.behave(reorder_share=1, whatsapp_batch=1, webhook_connections=1, webhook_delay_ms=[30, 40])
        await client.script(ASHA, "read")
        await client.template()
        await until(lambda: len(listening.whatsapp("statuses")) == 3)
        assert [status["status"] for status in listening.whatsapp("statuses")] == ["read", "delivered", "sent"]

    async def test_statuses_that_are_due_together_share_a_post(self, client: Client, listening: Receiver) -> None:
        await client.behave(webhook_delay_ms=[300, 300], webhook_connections=1, whatsapp_batch=50)
        for number in range(20):
            await client.template(f"+3519100000{number:02d}")
        await until(lambda: len(listening.whatsapp("statuses")) == 40)
        assert len(listening.at("/whatsapp")) < 40


class TestFaults:
    @pytest.mark.parametrize("status", [500, 503])
    async def test_next_requests_fail_and_are_not_accepted(self, client: Client, status: int) -> None:
        await client.control("PUT", "/sandbox/faults", [{"kind": "error", "status": status, "next": 2}])
        assert [(await client.template()).status for _ in range(3)] == [status, status, 200]
        stats = await client.stats()
        assert (stats["totals"]["whatsapp_cloud"]["accepted"], stats["faults"]) == (1, {"error": 2})

    async def test_error_after_accepting_is_counted_as_accepted(self, client: Client) -> None:
        faults = [{"kind": "error", "status": 500, "next": 1, "after_accept": True}]
        await client.control("PUT", "/sandbox/faults", faults)
        assert (await client.sms()).status == 500
        assert (await client.stats())["totals"]["twilio"]["accepted"] == 1

    async def test_error_may_carry_a_code_of_the_provider(self, client: Client) -> None:
        faults = [{"kind": "error", "status": 500, "code": 131016, "next": 1}]
        await client.control("PUT", "/sandbox/faults", faults)
        assert (await client.template()).json["error"]["code"] == 131016

    @pytest.mark.parametrize("kind", ["reset", "hang"])
    async def test_connection_drops_after_accepting(self, client: Client, listening: Receiver, kind: str) -> None:
        faults = [{"kind": kind, "next": 1, "seconds": 0.05, "provider": "whatsapp_cloud"}]
        await client.control("PUT", "/sandbox/faults", faults)
        assert (await client.sms()).status == 201
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.template(reference="lost")
        stats = await client.stats()
        assert [entry["reference"] for entry in stats["accepted"] if entry["provider"] == "whatsapp_cloud"] == ["lost"]
        await until(lambda: listening.whatsapp("statuses"))  # and the webhook says what became of it

    async def test_refused_request_does_not_use_up_a_fault(self, client: Client) -> None:
        await client.control("PUT", "/sandbox/faults", [{"kind": "reset", "next": 1}])
        assert (await client.whatsapp({})).status == 400
        assert (await client.control("GET", "/sandbox/faults"))[0]["left"] == 1

    async def test_throttled_request_is_told_when_to_come_back(self, client: Client) -> None:
        await client.control("PUT", "/sandbox/faults", [{"kind": "throttle", "next": 3, "retry_after": 2}])
        answers = [await client.template(), await client.sms(), await client.mail(mail("ana@example.com"))]
        assert [(answer.status, answer.headers["Retry-After"]) for answer in answers] == [(429, "2")] * 3
        assert answers[0].json["error"]["code"] == 130429
        assert answers[1].json["code"] == 20429

    async def test_share_of_one_hits_every_request_until_it_is_lifted(self, client: Client) -> None:
        await client.control("PUT", "/sandbox/faults", [{"kind": "error", "share": 1}])
        assert {(await client.template()).status for _ in range(5)} == {503}
        await client.control("PUT", "/sandbox/faults", [])
        assert (await client.template()).status == 200


class TestAccounts:
    async def test_two_accounts_have_webhooks_and_secrets_of_their_own(
        self, client: Client, listening: Receiver
    ) -> None:
        other = {
            "phone_number_id": "311", "waba_id": "211", "access_token": "token-2", "app_secret": "secret-2",
            "verify_token": WA["verify_token"],
        }  # fmt: skip
        wanted = {
            "provider": "whatsapp_cloud",
            "credentials": other,
            "webhook_url": listening.url + "/second",
            "templates": "*",
        }
        await client.control("POST", "/sandbox/accounts", wanted)
        payload = {
            "messaging_product": "whatsapp", "to": ASHA, "type": "template",
            "template": {"name": "any", "language": {"code": "en"}},
        }  # fmt: skip
        assert (await client.whatsapp(payload, token="token-2")).status == 400
        assert (await client.whatsapp(payload, token="token-2", sender="311")).status == 200
        await until(lambda: listening.at("/second"))
        assert listening.at("/second")[0].json["entry"][0]["id"] == "211"
        assert listening.at("/whatsapp") == []
