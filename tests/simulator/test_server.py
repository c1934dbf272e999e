"""The control API, the count, and the sandbox as a process that is stopped, killed and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator.accounts import DEFAULT_CREDENTIALS
from app.simulator.sandbox import Sandbox
from app.simulator.server import Serving, serving
from app.simulator.smtp.server import ServingMail
from tests.simulator.receiver import ASHA, RUI, Client, Receiver, mail, text, until


class TestControl:
    async def test_health_and_default_accounts(self, client: Client) -> None:
        assert await client.control("GET", "/health") == {"status": "ok"}
        accounts = await client.control("GET", "/sandbox/accounts")
        assert accounts.pop("smtp") == {**DEFAULT_CREDENTIALS["smtp"], "port": str(client.server.mail.port)}
        assert accounts == {name: value for name, value in DEFAULT_CREDENTIALS.items() if name != "smtp"}

    @pytest.mark.parametrize(
        ("method", "path", "body", "field"),
        [
            ("PUT", "/sandbox/behaviour", {"latency": 1}, "latency"),
            ("PUT", "/sandbox/behaviour", {"shares": {"read": 2}}, "shares.read"),
            ("PUT", "/sandbox/behaviour", {"shares": {"reply": 0.6, "buy": 0.6}}, "shares"),
            ("PUT", "/sandbox/behaviour", {"webhook_delay_ms": [5, 1]}, ""),
            ("PUT", "/sandbox/behaviour", [], ""),
            ("PUT", "/sandbox/people", [{"address": ASHA, "script": ["dance"]}], "0.script.0.do"),
            ("PUT", "/sandbox/people", [{"address": "a@example.com", "script": ["reply"]}], "0"),
            ("PUT", "/sandbox/faults", [{"kind": "reset"}], "0"),
            ("PUT", "/sandbox/shop", {"url": "shop", "api_key": "k"}, "url"),
            ("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA}, ""),
            ("POST", "/sandbox/inbound", {"provider": "sendgrid", "from": "a@example.com", "event": "open"}, "from"),
            ("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": "x", "account": "no"}, "account"),
            ("POST", "/sandbox/accounts", {"provider": "fax"}, "provider"),
            (
                "POST",
                "/sandbox/accounts",
                {"provider": "twilio", "credentials": {"auth_token": "x"}},
                "credentials.account_sid",
            ),
            (
                "POST",
                "/sandbox/accounts",
                {"provider": "twilio", "credentials": {"account_sid": "ACx"}},
                "credentials.auth_token",
            ),
            ("POST", "/sandbox/accounts", {"provider": "whatsapp_cloud", "templates": [{}]}, "templates.0"),
        ],
    )
    async def test_body_that_can_not_be_used_names_the_field(
        self, client: Client, method: str, path: str, body: Any, field: str
    ) -> None:
        answer = await client.call(method, path, json=body)
        assert answer.status == 422
        assert answer.json["errors"][0]["field"] == field

    async def test_behaviour_changes_only_what_is_named(self, client: Client) -> None:
        before = await client.control("GET", "/sandbox/behaviour")
        after = await client.control("PUT", "/sandbox/behaviour", {"shares": {"read": 0.5}})
        assert after["shares"]["read"] == 0.5
        assert {**after, "shares": before["shares"]} == before

    async def test_public_key_of_a_sendgrid_account_is_the_sandbox_s_own(self, client: Client) -> None:
        credentials = {"api_key": "SG.two", "from_email": "a@two.example.org", "webhook_public_key": "mine"}
        wanted = {"provider": "sendgrid", "credentials": credentials}
        reply = await client.control("POST", "/sandbox/accounts", wanted)
        assert reply["credentials"]["webhook_public_key"].startswith("MFkw")

    async def test_reset_forgets_all_but_accounts_and_behaviour(self, client: Client, listening: Receiver) -> None:
        await client.script(RUI, "not_on_whatsapp")
        await client.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": ASHA, "text": "Hi"})
        await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": "STOP"})
        await client.control("PUT", "/sandbox/faults", [{"kind": "error", "share": 1, "provider": "sendgrid"}])
        await client.behave(webhook_delay_ms=[60_000, 60_000])
        await client.template()
        await client.control("POST", "/sandbox/reset")
        stats = await client.stats()
        assert (stats["accepted"], stats["webhooks"]["pending"], stats["people"]["stopped"]) == ([], 0, 0)
        assert (await client.whatsapp(text())).json["error"]["code"] == 131047
        assert (await client.sms()).status == 201
        assert (await client.template(RUI)).status == 200
        assert (await client.mail(mail("ana@example.com"))).status == 202
        assert (await client.control("GET", "/sandbox/behaviour"))["webhook_delay_ms"] == [60_000, 60_000]


class TestStats:
    async def test_counts_what_was_accepted_per_recipient_and_reference(self, client: Client) -> None:
        first = (await client.template(reference="r-1")).json["messages"][0]["id"]
        again = (await client.template(reference="r-1")).json["messages"][0]["id"]
        await client.template(RUI, "r-2")
        await client.template(RUI)
        await client.template(RUI)  # without a reference nobody can tell whether it is the same
        stats = await client.stats()
        assert stats["totals"]["whatsapp_cloud"]["accepted"] == 5
        assert stats["duplicates"] == 1
        entry = next(found for found in stats["accepted"] if found["reference"] == "r-1")
        assert entry == {
            "provider": "whatsapp_cloud",
            "recipient": ASHA,
            "reference": "r-1",
            "count": 2,
            "message_ids": [first, again],
        }
        summary = await client.control("GET", "/stats?summary=1")
        assert summary == {name: value for name, value in stats.items() if name != "accepted"}


class TestLatency:
    async def test_requests_wait_side_by_side(self, client: Client) -> None:
        await client.behave(latency_ms=50)
        answers = await asyncio.gather(*(client.template(f"+3519100000{number:02d}") for number in range(50)))
        assert {answer.status for answer in answers} == {200}


NO_MAIL = ServingMail("", 0, b"")


@asynccontextmanager
async def started(state_dir: Path) -> AsyncIterator[tuple[Client, asyncio.subprocess.Process]]:
    """The sandbox as its own process; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.simulator", "--port", "0", "--state-dir", str(state_dir),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession() as http:
            # Of the server only its address is known here.
            yield Client(http, Serving(url, int(url.rpartition(":")[2]), Sandbox(), NO_MAIL)), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else the pipe is left to the garbage collector


class TestProcess:
    async def test_sigterm_ends_it_with_requests_under_way_and_keeps_everything(
        self, tmp_path: Path, receiver: Receiver
    ) -> None:
        async with started(tmp_path) as (client, process):
            await client.behave(latency_ms=0, webhook_delay_ms=[60_000, 60_000], retry_factor=0.01)
            await client.script(RUI, "not_on_whatsapp")
            wanted = {"provider": "whatsapp_cloud", "webhook_url": receiver.url + "/whatsapp"}
            await client.control("POST", "/sandbox/accounts", wanted)
            await client.control("POST", "/sandbox/inbound", {"provider": "whatsapp_cloud", "from": ASHA, "text": "Hi"})
            await client.control("POST", "/sandbox/inbound", {"provider": "twilio", "from": ASHA, "text": "STOP"})
            await client.template(reference="r-1")
            await client.template(RUI)
            sid = (await client.sms(RUI, StatusCallback=receiver.url + "/s?ref=r-2")).json["sid"]
            await until(lambda: receiver.whatsapp("messages"))
            before = await client.stats()
            await client.control("PUT", "/sandbox/faults", [{"kind": "hang", "next": 1}])
            hanging = asyncio.ensure_future(client.mail(mail("ana@example.com")))
            while (await client.control("GET", "/stats?summary=1"))["faults"] == {}:
                pass
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                assert await process.wait() == 0
            with pytest.raises(aiohttp.ClientConnectionError):
                await hanging
        async with started(tmp_path) as (client, process):
            stats = await client.stats()
            assert len(stats["accepted"]) == len(before["accepted"]) + 1  # the mail whose answer was lost
            assert stats["totals"]["whatsapp_cloud"] == before["totals"]["whatsapp_cloud"]
            assert stats["people"] == before["people"]
            assert stats["webhooks"]["pending"] == 4 + 2  # two WhatsApp statuses, two callbacks, two e-mail events
            assert (await client.whatsapp(text())).status == 200
            assert (await client.sms()).json["code"] == 21610
            assert (await client.template(RUI)).json["error"]["code"] == 131026
            assert (await client.sms_get(f"/Messages/{sid}.json")).json["to"] == RUI

    async def test_pending_webhooks_arrive_after_a_restart(self, tmp_path: Path, receiver: Receiver) -> None:
        async with serving(state_dir=tmp_path) as server, aiohttp.ClientSession() as http:
            client = Client(http, server)
            await client.behave(latency_ms=0, webhook_delay_ms=[300, 300])
            await client.sms(StatusCallback=receiver.url + "/s?ref=r-1")
        async with serving(state_dir=tmp_path):
            await until(lambda: len(receiver.at("/s")) == 2)
        assert {posted.form["MessageStatus"] for posted in receiver.at("/s")} == {"sent", "delivered"}

    async def test_every_answered_message_is_counted_after_kill_9(self, tmp_path: Path) -> None:
        answered: list[str] = []

        async def keep_sending(client: Client, worker: int) -> None:
            for number in range(10_000):
                reference = f"{worker}-{number}"
                try:
                    answer = await client.template(f"+35191{worker:03d}{number:04d}", reference)
                except aiohttp.ClientError:
                    return
                assert answer.status == 200
                answered.append(reference)

        async with started(tmp_path) as (client, process):
            await client.behave(latency_ms=0)
            async with asyncio.TaskGroup() as group:
                for worker in range(10):
                    group.create_task(keep_sending(client, worker))
                await until(lambda: len(answered) > 300)
                os.kill(process.pid, signal.SIGKILL)
        with (tmp_path / "journal.jsonl").open("ab") as journal:
            journal.write(b'{"k":"a","p":"wha')  # as a kill inside a write leaves it
        async with started(tmp_path) as (client, process):
            entries = (await client.stats())["accepted"]
            assert set(answered) <= {entry["reference"] for entry in entries}
            assert {entry["count"] for entry in entries} == {1}
            assert (await client.sms()).status == 201

    async def test_port_that_is_taken_is_named_in_one_line(self, server: Serving) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.simulator", "--port", str(server.port),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert f"cannot listen on 127.0.0.1:{server.port}" in errors.decode()
        assert len(errors.decode().splitlines()) == 1


class TestServing:
    async def test_several_sandboxes_can_run_side_by_side(self) -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(serving())
            two = await stack.enter_async_context(serving())
            assert one.port != two.port
