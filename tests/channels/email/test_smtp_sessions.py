"""SMTP on the wire: what is said to a server, in which order, and what becomes of a message when it misbehaves."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.channels.base import OutboundMessage
from app.channels.email.smtp import SmtpEmail, pool
from app.channels.email.smtp.opening import tls_context
from app.channels.http import provider_client
from app.domain.status import Channel, MessageType
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
)
from app.simulator.smtp.certificate import make_certificate, server_context
from tests.channels.email.smtp_peer import OFFERED, Act, Peer
from tests.channels.samples import REFERENCE, context, outbound
from tests.channels.scripted import free_port

CREDENTIALS = {
    "host": "127.0.0.1",
    "security": "none",
    "username": "shop",
    "password": "p ss w\u00f6rd",
    "from_email": "news@mail.example.org",
    "inbound_secret": "sixteen-letters-at-least",
}
MAIL = outbound(Channel.EMAIL, {"subject": "March", "text": "Hello"}, to="ana@example.com", type=MessageType.TEMPLATE)
LARGE = replace(MAIL, content={"subject": "March", "text": "A line of a long letter.\n" * 300_000})
LOGIN = base64.b64encode("\0shop\0p ss w\u00f6rd".encode()).decode()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer().listening() as peer:
        yield peer


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    return make_certificate("127.0.0.1", "localhost")


@pytest.fixture
def trusted(certificate: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The certificate is an authority of this machine, as `SSL_CERT_FILE` makes it."""
    (tmp_path / "ca.pem").write_bytes(certificate[0])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


def adapter(peer: Peer, http: httpx.AsyncClient, **changed: str) -> SmtpEmail:
    return SmtpEmail({**CREDENTIALS, "port": str(peer.port), **changed}, context(http, ""))


class TestTransaction:
    async def test_order_of_commands(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        receipt = await sender.send(MAIL)
        size = len(peer.messages[0])
        assert peer.commands == [
            "EHLO mail.example.org",
            f"AUTH PLAIN {LOGIN}",
            f"MAIL FROM:<news@mail.example.org> SIZE={size} RET=HDRS ENVID={REFERENCE}",
            "RCPT TO:<ana@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;ana@example.com",
            "DATA",
        ]
        assert receipt.provider_message_id == f"{REFERENCE}@mail.example.org"
        assert receipt.raw == {"reply": "250 2.0.0 Ok: queued as 4BzX1"}
        sender.close()

    async def test_plain_server_is_not_asked_for_more(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.offered = ()
        sender = adapter(peer, http, username="", password="")
        await sender.send(MAIL)
        assert peer.commands[1:3] == ["MAIL FROM:<news@mail.example.org>", "RCPT TO:<ana@example.com>"]
        sender.close()

    async def test_return_path_names_the_message(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http, bounce_domain="bounces.example.org")
        await sender.send(MAIL)
        path = peer.commands[2].split()[1].removeprefix("FROM:")
        local = path.strip("<>").removesuffix("@bounces.example.org")
        assert local.startswith(f"bounce+{REFERENCE.hex}.")
        assert len(local) <= 64
        sender.close()

    async def test_login_where_that_is_all_there_is(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.offered = ("AUTH LOGIN",)
        peer.will("AUTH", "334 UGFzc3dvcmQ6")
        peer.will(base64.b64encode("p ss w\u00f6rd".encode()).decode().upper(), "235 2.7.0 Welcome")
        sender = adapter(peer, http)
        await sender.send(MAIL)
        assert len(peer.messages) == 1
        sender.close()

    async def test_dots_are_doubled_and_the_message_ends_only_once(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        text = ".\n..two\n.\r\nQUIT\rMAIL FROM:<x@example.org>\n.end\n"
        await sender.send(replace(MAIL, content={**MAIL.content, "text": text}))
        body = peer.messages[0].partition(b"\r\n\r\n")[2]
        assert body.startswith(b"..\r\n...two\r\n..\r\nQUIT\r\nMAIL FROM:<x@example.org>\r\n..end\r\n")
        assert b"\n" not in peer.messages[0].replace(b"\r\n", b"")
        assert peer.verbs().count("MAIL") == 1
        sender.close()

    async def test_very_long_line_is_broken_for_the_way(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        await sender.send(replace(MAIL, content={**MAIL.content, "text": "long " * 2_000}))
        assert max(map(len, peer.messages[0].split(b"\r\n"))) <= 998
        sender.close()

    async def test_option_that_is_offered_but_not_taken_is_left_out(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will("RCPT", "555 5.5.4 Unsupported option: NOTIFY")
        sender = adapter(peer, http)
        await sender.send(MAIL)
        await sender.send(MAIL)
        assert peer.verbs()[2:] == ["MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA"]
        assert "NOTIFY" not in peer.commands[-2]
        sender.close()

    async def test_larger_than_the_server_takes_is_not_sent(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.offered = ("SIZE 100", "AUTH PLAIN")
        sender = adapter(peer, http)
        with pytest.raises(MessageRejected, match="100"):
            await sender.send(MAIL)
        assert "MAIL" not in peer.verbs()
        sender.close()

    async def test_address_beyond_ascii_needs_a_server_that_takes_it(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        with pytest.raises(MessageRejected, match="SMTPUTF8"):
            await sender.send(replace(MAIL, to="josé@bücher.example"))
        sender.close()
        peer.offered = ("SMTPUTF8", "DSN", "AUTH PLAIN")
        sender = adapter(peer, http)
        await sender.send(replace(MAIL, to="josé@bücher.example"))
        assert "SMTPUTF8" in peer.commands[-3]
        assert peer.commands[-2].startswith("RCPT TO:<josé@xn--bcher-kva.example> NOTIFY")
        assert "To: josé@xn--bcher-kva.example".encode() in peer.messages[0]
        sender.close()


class TestRefusals:
    @pytest.mark.parametrize(
        ("verb", "answer", "error", "code", "suppress"),
        [
            ("RCPT", "550 5.1.1 No such user", MessageRejected, "5.1.1", "invalid"),
            ("RCPT", "550 5.7.26 Unauthenticated", MessageRejected, "5.7.26", None),
            ("RCPT", "450 4.2.1 Busy", ProviderUnavailable, "4.2.1", None),
            ("RCPT", "554 5.7.1 Relay access denied", ProviderMisconfigured, "5.7.1", None),
            ("MAIL", "553 5.7.1 Not yours", ProviderMisconfigured, "5.7.1", None),
            ("MAIL", "450 4.7.28 Too many messages", RateLimited, "4.7.28", None),
            ("DATA", "451 4.3.0 Queue file", ProviderUnavailable, "4.3.0", None),
            (".", "554 5.7.1 Spam", MessageRejected, "5.7.1", None),
            (".", "451 4.7.1 Greylisted", ProviderUnavailable, "4.7.1", None),
        ],
    )
    async def test_refusal_is_told_by_its_code_and_the_connection_goes_on(
        self,
        peer: Peer,
        http: httpx.AsyncClient,
        verb: str,
        answer: str,
        error: type[SendError],
        code: str,
        suppress: str | None,
    ) -> None:
        peer.will(verb, answer)
        sender = adapter(peer, http)
        with pytest.raises(SendError) as caught:
            await sender.send(MAIL)
        assert (type(caught.value), caught.value.provider_code) == (error, code)
        assert getattr(caught.value, "suppress", None) == suppress
        assert caught.value.detail == answer
        await sender.send(MAIL)
        assert (peer.connections, len(peer.messages)) == (1, 2 if verb == "." else 1)
        if verb != ".":
            assert "RSET" in peer.verbs()
        sender.close()

    async def test_wrong_password_is_a_matter_of_the_sender(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will("AUTH", "535 5.7.8 Bad credentials")
        with pytest.raises(ProviderMisconfigured) as caught:
            await adapter(peer, http).send(MAIL)
        assert caught.value.provider_code == "5.7.8"
        assert "MAIL" not in peer.verbs()

    async def test_password_without_a_way_to_say_it_stands_still(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.offered = ("SIZE 1000",)
        with pytest.raises(ProviderMisconfigured, match="authenticate"):
            await adapter(peer, http).send(MAIL)
        assert "MAIL" not in peer.verbs()

    @pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
    async def test_server_that_is_closing_is_an_outage_that_nobody_counts(
        self, peer: Peer, http: httpx.AsyncClient, verb: str
    ) -> None:
        peer.will(verb, "421 4.3.2 Going down")
        with pytest.raises(ProviderUnavailable) as caught:
            await adapter(peer, http).send(MAIL)
        assert caught.value.provider_code == ""
        assert peer.messages == []

    async def test_words_of_a_server_that_speaks_no_smtp_are_not_repeated(
        self, peer: Peer, http: httpx.AsyncClient
    ) -> None:
        peer.will("CONNECT", "-ERR secret of an inner service")
        with pytest.raises(ProviderUnavailable) as caught:
            await adapter(peer, http).send(MAIL)
        assert "secret" not in caught.value.detail


class TestBeforeTheDot:
    @pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"])
    @pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
    async def test_lost_connection_is_safe_to_repeat(
        self, peer: Peer, http: httpx.AsyncClient, verb: str, act: Act
    ) -> None:
        peer.will(verb, act)
        with pytest.raises(ProviderUnavailable):
            await adapter(peer, http).send(MAIL)

    @pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
    async def test_connection_lost_inside_the_message_is_safe_to_repeat(
        self, peer: Peer, http: httpx.AsyncClient, act: Act
    ) -> None:
        peer.will("BODY", act)
        with pytest.raises(ProviderUnavailable):
            await adapter(peer, http).send(LARGE)

    async def test_refusal_inside_the_message_is_heard(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will("BODY", "552 5.3.4 Too big")
        with pytest.raises(MessageRejected) as caught:
            await adapter(peer, http).send(LARGE)
        assert caught.value.provider_code == "5.3.4"

    @pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "RCPT"])
    async def test_silent_server_is_not_waited_for_for_ever(
        self, peer: Peer, hasty_http: httpx.AsyncClient, verb: str
    ) -> None:
        peer.will(verb, Act.HANG)
        with pytest.raises(ProviderUnavailable, match="in time"):
            await adapter(peer, hasty_http).send(MAIL)
        assert peer.connections == 1

    async def test_nobody_listens(self, http: httpx.AsyncClient) -> None:
        with pytest.raises(ProviderUnavailable):
            await adapter(Peer(port=free_port()), http).send(MAIL)

    async def test_broken_answer_is_no_acceptance(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will("RCPT", "Ok, whatever")
        with pytest.raises(ProviderUnavailable):
            await adapter(peer, http).send(MAIL)


class TestAfterTheDot:
    @pytest.mark.parametrize("act", [Act.DROP, Act.RESET, "Ok", "354 Go on", "999 What"])
    async def test_lost_or_strange_answer_leaves_it_unknown(
        self, peer: Peer, http: httpx.AsyncClient, act: Act | str
    ) -> None:
        peer.will(".", act)
        with pytest.raises(OutcomeUnknown):
            await adapter(peer, http).send(MAIL)
        assert (peer.connections, len(peer.messages)) == (1, 1)

    async def test_answer_that_never_comes_leaves_it_unknown(self, peer: Peer, hasty_http: httpx.AsyncClient) -> None:
        peer.will(".", Act.HANG)
        with pytest.raises(OutcomeUnknown):
            await adapter(peer, hasty_http).send(MAIL)
        assert len(peer.messages) == 1

    async def test_closing_with_an_answer_is_a_refusal(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will(".", "421 4.3.2 Going down")
        with pytest.raises(ProviderUnavailable):
            await adapter(peer, http).send(MAIL)


class TestConnections:
    async def test_one_connection_takes_one_message_after_the_other(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        for _ in range(3):
            await sender.send(MAIL)
        assert (peer.connections, len(peer.messages), peer.verbs().count("AUTH")) == (1, 3, 1)
        sender.close()

    async def test_many_at_once_share_a_bounded_number(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        await asyncio.gather(*(sender.send(MAIL) for _ in range(40)))
        assert peer.connections <= pool.MOST_CONNECTIONS
        assert len(peer.messages) == 40
        sender.close()

    async def test_connection_that_ended_while_idle_is_replaced(self, peer: Peer, http: httpx.AsyncClient) -> None:
        sender = adapter(peer, http)
        await sender.send(MAIL)
        peer.will("MAIL", "421 4.4.2 Idle too long")
        await sender.send(MAIL)
        peer.will("MAIL", Act.RESET)
        await sender.send(MAIL)
        assert (peer.connections, len(peer.messages)) == (3, 3)
        sender.close()

    async def test_long_session_ends_and_a_new_one_begins(
        self, peer: Peer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "MOST_MESSAGES", 2)
        sender = adapter(peer, http)
        for _ in range(4):
            await sender.send(MAIL)
        assert (peer.connections, len(peer.messages)) == (2, 4)
        sender.close()

    async def test_idle_connection_says_goodbye(
        self, peer: Peer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "IDLE_SECONDS", 0.05)
        await adapter(peer, http).send(MAIL)
        while "QUIT" not in peer.verbs():
            await asyncio.sleep(0.01)

    async def test_server_that_takes_few_connections_gets_few(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.will("CONNECT", "220 first", *["421 4.7.0 Too many connections"] * (pool.MOST_CONNECTIONS - 1))
        sender = adapter(peer, http)
        await asyncio.gather(*(sender.send(MAIL) for _ in range(20)))
        assert len(peer.messages) == 20
        assert peer.connections == pool.MOST_CONNECTIONS  # asked for once, and then left alone
        sender.close()

    async def test_cancelled_send_does_not_leave_its_connection_to_the_next(
        self, peer: Peer, http: httpx.AsyncClient
    ) -> None:
        peer.will("RCPT", Act.HANG)
        sender = adapter(peer, http)
        task = asyncio.ensure_future(sender.send(MAIL))
        while "RCPT" not in peer.verbs():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sender.send(MAIL)
        assert (peer.connections, len(peer.messages)) == (2, 1)
        sender.close()

    def test_every_loop_has_its_own(self) -> None:
        async def send_with(sender: SmtpEmail, peer: Peer) -> None:
            async with peer.listening():
                # the port of the first loop's server is gone: only a new connection can work
                sender._server = replace(sender._server, port=peer.port)
                await sender.send(MAIL)
                sender.close()

        async def build() -> SmtpEmail:
            async with provider_client(concurrency=1, timeout_seconds=10) as http:
                return adapter(Peer(port=9), http)

        sender = asyncio.run(build())
        for peer in (Peer(), Peer()):
            asyncio.run(send_with(sender, peer))
            assert len(peer.messages) == 1


class TestTls:
    @pytest.mark.usefixtures("trusted")
    async def test_from_the_first_byte(self, certificate: tuple[bytes, bytes], http: httpx.AsyncClient) -> None:
        async with Peer().listening(server_context(*certificate)) as peer:
            sender = adapter(peer, http, security="tls")
            await sender.send(MAIL)
            assert len(peer.messages) == 1
            sender.close()

    @pytest.mark.usefixtures("trusted")
    async def test_starttls_comes_before_the_password_and_forgets_what_was_said(
        self, certificate: tuple[bytes, bytes], http: httpx.AsyncClient
    ) -> None:
        offered = ("STARTTLS", "SIZE 1", "AUTH LOGIN")
        async with Peer(offered=offered, tls=server_context(*certificate)).listening() as peer:
            sender = adapter(peer, http, security="starttls")
            await sender.send(MAIL)
            assert peer.verbs() == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]
            assert peer.commands[3].startswith("AUTH PLAIN")
            sender.close()

    async def test_server_that_no_longer_offers_starttls_gets_nothing(
        self, peer: Peer, http: httpx.AsyncClient
    ) -> None:
        with pytest.raises(ProviderMisconfigured, match="STARTTLS"):
            await adapter(peer, http, security="starttls").send(MAIL)
        assert peer.verbs() == ["EHLO"]

    async def test_refused_starttls_gets_nothing(self, peer: Peer, http: httpx.AsyncClient) -> None:
        peer.offered = ("STARTTLS", *OFFERED)
        peer.will("STARTTLS", "454 4.7.0 TLS not available")
        with pytest.raises(ProviderUnavailable):
            await adapter(peer, http, security="starttls").send(MAIL)
        assert peer.verbs() == ["EHLO", "STARTTLS"]

    @pytest.mark.usefixtures("trusted")
    async def test_what_comes_before_the_handshake_is_thrown_away(
        self, certificate: tuple[bytes, bytes], http: httpx.AsyncClient
    ) -> None:
        """Bytes slipped in behind the 220 would otherwise be read as the answer to EHLO inside TLS."""
        offered = ("STARTTLS", *OFFERED)
        async with Peer(offered=offered, tls=server_context(*certificate)).listening() as peer:
            peer.will("STARTTLS", b"220 2.0.0 Go\r\n250-mx.evil.example\r\n250 AUTH LOGIN\r\n")
            sender = adapter(peer, http, security="starttls")
            await sender.send(MAIL)
            assert peer.commands[3] == f"AUTH PLAIN {LOGIN}"
            sender.close()

    @pytest.mark.parametrize("security", ["tls", "starttls"])
    async def test_certificate_of_nobody_is_refused(
        self, certificate: tuple[bytes, bytes], http: httpx.AsyncClient, security: str
    ) -> None:
        tls = server_context(*certificate)
        async with Peer(offered=("STARTTLS", *OFFERED), tls=tls).listening(tls if security == "tls" else None) as peer:
            with pytest.raises(ProviderMisconfigured, match="certificate"):
                await adapter(peer, http, security=security).send(MAIL)
            assert "AUTH" not in peer.verbs()

    @pytest.mark.usefixtures("trusted")
    async def test_certificate_for_another_name_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: httpx.AsyncClient
    ) -> None:
        other = make_certificate("mx.example.net")
        (tmp_path / "other.pem").write_bytes(other[0])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        tls_context.cache_clear()
        async with Peer().listening(server_context(*other)) as peer:
            with pytest.raises(ProviderMisconfigured, match="certificate"):
                await adapter(peer, http, security="tls").send(MAIL)

    async def test_tls_towards_a_server_without_it_stands_still(self, peer: Peer, http: httpx.AsyncClient) -> None:
        with pytest.raises(ProviderMisconfigured) as caught:
            await adapter(peer, http, security="tls").send(MAIL)
        assert caught.value.provider_code == "tls"

    def test_old_protocols_are_refused(self) -> None:
        assert tls_context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_greylisting_is_tried_again_minutes_later(peer: Peer, http: httpx.AsyncClient) -> None:
    peer.will("RCPT", "451 4.7.1 Greylisted, come back")
    sender = adapter(peer, http)
    message: OutboundMessage = MAIL
    with pytest.raises(ProviderUnavailable) as caught:
        await sender.send(message)
    assert caught.value.retry_after == timedelta(minutes=5)
    sender.close()
