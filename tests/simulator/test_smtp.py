"""The sandbox's mail server, spoken to as a mail program does, and what it hands on."""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any

import aiosmtplib
import pytest
import uvloop
from aiosmtplib import SMTPResponseException

from app.simulator.accounts import DEFAULT_CREDENTIALS, SMTP
from app.simulator.server import Serving, serving
from tests.simulator.receiver import Client, Posted, Receiver, until

MX = DEFAULT_CREDENTIALS[SMTP]
ANA, TIM = "ana@example.com", "tim@example.com"
REFERENCE = "01920000-0000-7000-8000-000000000001"
NOTIFY = ("NOTIFY=FAILURE,DELAY", f"ORCPT=rfc822;{ANA}")


def mail(*, sender: str = MX["from_email"], lines: str = "", body: str = "Hello") -> bytes:
    head = (
        f"From: Example <{sender}>\nTo: {ANA}\nSubject: March\nDate: Mon, 2 Mar 2026 09:15:04 +0000\n"
        f"Message-ID: <{REFERENCE}@mail.example.org>\nX-Relay-Message-Id: {REFERENCE}\n{lines}"
    )
    return f"{head}\n{body}\n".replace("\n", "\r\n").encode()


@asynccontextmanager
async def session(server: Serving, *, login: bool = True, **options: Any) -> AsyncIterator[aiosmtplib.SMTP]:
    client = aiosmtplib.SMTP(
        hostname="127.0.0.1", port=server.mail.port, start_tls=False, local_hostname="mail.example.org", timeout=20
    )
    await client.connect(**options)
    try:
        await client.ehlo()
        if login:
            await client.auth_plain(MX["username"], MX["password"])
        yield client
    finally:
        client.close()


async def send(
    server: Serving, to: str = ANA, content: bytes = b"", *, rcpt: tuple[str, ...] = NOTIFY, path: str = ""
) -> str:
    """The reply that accepts it."""
    async with session(server) as client:
        await client.mail(path or MX["from_email"], options=["RET=HDRS", f"ENVID={REFERENCE}"])
        await client.rcpt(to, options=rcpt)
        return (await client.data(content or mail())).message


async def refusal(server: Serving, to: str = ANA, content: bytes = b"", path: str = "") -> str:
    with pytest.raises(SMTPResponseException) as caught:
        await send(server, to, content, path=path)
    return f"{caught.value.code} {caught.value.message}"


def trust(certificate: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.decode())


@pytest.fixture
async def mailbox(client: Client, receiver: Receiver) -> Receiver:
    wanted = {"provider": "smtp", "webhook_url": receiver.url + "/mail"}
    await client.control("POST", "/sandbox/accounts", wanted)
    return receiver


def told(receiver: Receiver) -> list[Message]:
    return [message_from_bytes(posted.body) for posted in receiver.at("/mail")]


def is_signed(posted: Posted) -> bool:
    timestamp, _, given = posted.headers["X-Relay-Signature"].removeprefix("t=").partition(",v1=")
    signed = f"{timestamp}.".encode() + posted.body
    return hmac.new(MX["inbound_secret"].encode(), signed, hashlib.sha256).hexdigest() == given


class TestSubmission:
    async def test_accepted_mail_is_queued_and_counted(self, client: Client) -> None:
        reply = await send(client.server)
        (entry,) = (await client.stats())["accepted"]
        assert (entry["provider"], entry["recipient"], entry["reference"]) == ("smtp", ANA, REFERENCE)
        assert reply == f"2.0.0 Ok: queued as {entry['message_ids'][0]}"

    async def test_offers_what_submission_needs(self, client: Client) -> None:
        async with session(client.server, login=False) as program:
            offered = program.esmtp_extensions
            assert {"dsn", "size", "smtputf8", "8bitmime", "starttls", "enhancedstatuscodes"} <= offered.keys()
            assert "plain" in program.server_auth_methods

    async def test_who_is_unknown_may_not_send(self, client: Client) -> None:
        async with session(client.server, login=False) as program:
            with pytest.raises(SMTPResponseException) as refused:
                await program.mail(MX["from_email"])
            assert refused.value.code == 530
            with pytest.raises(SMTPResponseException) as wrong:
                await program.auth_plain(MX["username"], "wrong")
            assert wrong.value.code == 535
        assert (await client.stats())["totals"]["smtp"]["rejected"] == {"5.7.0": 1, "5.7.8": 1}

    async def test_starttls_upgrades_and_asks_to_begin_again(self, client: Client) -> None:
        async with session(client.server, login=False) as program:
            await program.starttls(tls_context=trust(client.server.mail.certificate))
            await program.ehlo()
            assert not program.supports_extension("starttls")
            await program.auth_login(MX["username"], MX["password"])
            await program.sendmail(MX["from_email"], ANA, mail())
        assert (await client.stats())["totals"]["smtp"]["accepted"] == 1

    async def test_commands_slipped_in_before_the_handshake_end_the_session(self, client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.server.mail.port)
        writer.write(b"EHLO x\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        writer.write(b"STARTTLS\r\nMAIL FROM:<x@example.org>\r\n")
        assert (await reader.readline()).startswith(b"421 ")
        assert await reader.read() == b""
        writer.close()

    def test_works_on_the_loop_that_the_process_uses(self) -> None:
        async def talk() -> str:
            async with serving() as server, session(server, login=False) as program:
                await program.starttls(tls_context=trust(server.mail.certificate))
                await program.ehlo()
                await program.auth_plain(MX["username"], MX["password"])
                return (await program.sendmail(MX["from_email"], ANA, mail()))[1]

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert "queued" in runner.run(talk())

    @pytest.mark.parametrize(
        ("content", "path", "code"),
        [
            (mail(), "x@other.example", "553 5.7.1"),
            (mail(sender="x@other.example"), "", "550 5.7.1"),
            (mail().replace(b"Date:", b"X-Date:"), "", "550 5.6.0"),
            (mail(lines="Message-ID: <2@mail.example.org>\n"), "", "550 5.6.0"),
            (mail(body="x" * 1_200), "", "500"),
        ],
    )
    async def test_what_a_real_one_refuses_is_refused(
        self, client: Client, content: bytes, path: str, code: str
    ) -> None:
        assert (await refusal(client.server, ANA, content, path)).startswith(code)
        assert (await client.stats())["totals"]["smtp"]["accepted"] == 0

    async def test_return_path_may_be_at_the_bounce_domain(self, client: Client) -> None:
        assert "queued" in await send(client.server, path=f"bounce+1.2@{MX['bounce_domain']}")

    @pytest.mark.parametrize(
        ("step", "reply"),
        [
            ({"do": "fail", "code": 450}, "450 4.2.1"),
            ({"do": "fail", "code": 550}, "550 5.1.1"),
            ({"do": "fail", "text": "550 5.7.26 No DMARC"}, "550 5.7.26 No DMARC"),
            ({"do": "fail", "code": 421}, "421 4.3.2"),
        ],
    )
    async def test_person_is_refused_in_the_words_of_the_script(
        self, client: Client, step: dict[str, Any], reply: str
    ) -> None:
        await client.script(ANA, step)
        assert (await refusal(client.server)).startswith(reply)
        code = reply.split()[1]
        assert (await client.stats())["totals"]["smtp"]["rejected"] == {code: 1}

    async def test_greylisting_takes_the_second_attempt(self, client: Client) -> None:
        await client.behave(smtp_greylist_seconds=0.2)
        assert (await refusal(client.server)).startswith("451 4.7.1")
        await asyncio.sleep(0.25)
        assert "queued" in await send(client.server)

    async def test_above_the_rate_is_throttled(self, client: Client) -> None:
        await client.behave(messages_per_second=0.001)
        await send(client.server)
        assert (await refusal(client.server)).startswith("450 4.7.28")
        assert (await client.stats())["totals"]["smtp"]["throttled"] == 1

    @pytest.mark.parametrize(
        ("fault", "reply"),
        [
            ({"kind": "error", "status": 421}, "421 4.3.2"),
            ({"kind": "error"}, "451 4.3.0"),
            ({"kind": "throttle"}, "450 4.7.28"),
        ],
    )
    async def test_faults_before_acceptance(self, client: Client, fault: dict[str, Any], reply: str) -> None:
        await client.control("PUT", "/sandbox/faults", [{**fault, "provider": "smtp", "next": 1}])
        assert (await refusal(client.server)).startswith(reply)
        assert "queued" in await send(client.server)

    @pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "hang", "seconds": 0.1}])
    async def test_reply_gets_lost_after_the_dot(self, client: Client, fault: dict[str, Any]) -> None:
        await client.control("PUT", "/sandbox/faults", [{**fault, "provider": "smtp", "next": 1}])
        with pytest.raises(aiosmtplib.SMTPServerDisconnected):
            await send(client.server)
        assert (await client.stats())["totals"]["smtp"]["accepted"] == 1


class TestMailThatComesBack:
    @pytest.mark.parametrize(
        ("fate", "status", "effect"),
        [("bounce", "5.1.1", "bounced"), ("blocked", "5.7.1", "blocked"), ("fail", "4.4.7", "failed")],
    )
    async def test_failure_is_reported_to_the_return_path(
        self, client: Client, mailbox: Receiver, fate: str, status: str, effect: str
    ) -> None:
        await client.script(ANA, fate)
        path = f"bounce+1.2@{MX['bounce_domain']}"
        await send(client.server, path=path)
        await until(lambda: mailbox.at("/mail"))
        assert is_signed(mailbox.at("/mail")[0])
        (report,) = told(mailbox)
        assert (report.get_content_type(), report["X-Original-To"], report["Return-Path"]) == (
            "multipart/report",
            path,
            "<>",
        )
        parts: Any = report.get_payload()
        _, delivery, returned = parts
        whole, recipient, *_ = delivery.get_payload()
        assert whole["Original-Envelope-Id"] == REFERENCE
        assert (recipient["Action"], recipient["Status"]) == ("failed", status)
        assert recipient["Original-Recipient"] == f"rfc822;{ANA}"
        assert f"X-Relay-Message-Id: {REFERENCE}" in str(returned)
        assert (await client.stats())["people"][effect] == 1

    async def test_success_is_reported_only_to_who_asked(self, client: Client, mailbox: Receiver) -> None:
        await send(client.server)
        await send(client.server, rcpt=("NOTIFY=SUCCESS",))
        await until(lambda: mailbox.at("/mail"))
        assert [report["Subject"] for report in told(mailbox)] == ["Delivery report: delivered"]
        assert (await client.stats())["people"]["delivered"] == 2

    async def test_nothing_is_reported_to_who_wants_nothing(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "bounce")
        await send(client.server, rcpt=("NOTIFY=NEVER",))
        while not (await client.stats())["people"]["bounced"]:
            await asyncio.sleep(0.01)
        assert mailbox.at("/mail") == []

    async def test_complaint_and_answer_come_at_any_time(self, client: Client, mailbox: Receiver) -> None:
        await send(client.server)
        await client.control("POST", "/sandbox/inbound", {"provider": "smtp", "from": ANA, "event": "spamreport"})
        await client.control("POST", "/sandbox/inbound", {"provider": "smtp", "from": ANA, "text": "Sim!"})
        await until(lambda: len(mailbox.at("/mail")) == 2)
        assert all(is_signed(posted) for posted in mailbox.at("/mail"))
        complaint, answer = sorted(told(mailbox), key=lambda mail: mail.get_content_type())
        assert complaint.get_param("report-type") == "feedback-report"
        assert ANA not in str(complaint)
        assert (answer["From"], answer["In-Reply-To"]) == (f"<{ANA}>", f"<{REFERENCE}@mail.example.org>")

    async def test_of_clicks_nothing_comes_by_mail(self, client: Client) -> None:
        await send(client.server)
        said = {"provider": "smtp", "from": ANA, "event": "click"}
        assert (await client.call("POST", "/sandbox/inbound", json=said)).status == 422

    async def test_unsubscribing_presses_one_click_where_it_is_offered(self, client: Client, mailbox: Receiver) -> None:
        await client.script(ANA, "unsubscribe")
        lines = f"List-Unsubscribe: <{mailbox.url}/u/tok>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
        await send(client.server, content=mail(lines=lines))
        await until(lambda: mailbox.at("/u/tok"))
        assert mailbox.at("/u/tok")[0].form == {"List-Unsubscribe": "One-Click"}
