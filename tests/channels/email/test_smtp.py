"""SMTP: the shared contract, the message it makes, what replies mean, and the mails that come back."""

import hashlib
import hmac
import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.channels.base import EventKind, Feature, WebhookEvent, WebhookRequest
from app.channels.email.smtp import SmtpEmail, verp
from app.channels.email.smtp.composing import From, compose
from app.channels.email.smtp.faults import Reply, Stage, fault_of_reply
from app.channels.faults import FaultKind
from app.domain.status import Channel, MessageType, Purpose, SuppressionReason
from app.errors import InvalidSignature, Malformed, MessageRejected, UnsupportedFeature
from tests.channels.contract import PortContract, offline
from tests.channels.samples import REFERENCE, context, outbound, recorded, webhook

SECRET = "sixteen-letters-at-least"
CREDENTIALS = {
    "host": "smtp.example.org",
    "port": "587",
    "security": "starttls",
    "username": "shop",
    "password": "secret",
    "from_email": "news@mail.example.org",
    "from_name": "Example Org",
    "bounce_domain": "bounces.example.org",
    "inbound_secret": SECRET,
}
SENDER = From(address="news@mail.example.org", name="Loja, São José")
UNSUBSCRIBE = {
    "List-Unsubscribe": f"<https://u.example.org/u/{'tok' * 60}>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
MAIL = outbound(
    Channel.EMAIL,
    {"subject": "Promoção de março", "text": "Olá", "html": "<p>Olá</p>", "headers": UNSUBSCRIBE},
    to="ana@example.com",
    to_name="Ana Sá",
    type=MessageType.TEMPLATE,
)


def signed(body: bytes, *, secret: str = SECRET, at: int | None = None, **headers: str) -> WebhookRequest:
    moment = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return webhook(body, x_relay_signature=f"t={moment},v1={digest}", **headers)


def receiver(**changed: str) -> SmtpEmail:
    given = {name: value for name, value in {**CREDENTIALS, **changed}.items() if value}
    return SmtpEmail(given, context(offline(), ""))


def parse(name: str) -> WebhookEvent:
    (event,) = receiver().parse(webhook(recorded("smtp", f"{name}.eml")))
    return event


def composed(**changes: Any) -> EmailMessage:
    mail = compose(replace(MAIL, **changes), SENDER)
    read = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


class TestContract(PortContract):
    adapter = SmtpEmail
    credentials = CREDENTIALS
    payload_headers = {"content_type": "message/rfc822"}
    signature_header = "x-relay-signature"

    def sign(self, request: WebhookRequest) -> WebhookRequest:
        return signed(request.body)


class TestCheckCredentials:
    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"port": "0"}, "port"),
            ({"port": "smtp"}, "port"),
            ({"security": "ssl"}, "security"),
            ({"security": "none"}, "security"),
            ({"security": "none", "host": "10.0.0.1"}, "security"),
            ({"host": "a b"}, "host"),
            ({"from_email": "news"}, "from_email"),
            ({"from_email": "news@-"}, ""),
            ({"from_email": "a b@example.org"}, "from_email"),
            ({"bounce_domain": "boun ces"}, "bounce_domain"),
            ({"bounce_domain": "a@b"}, "bounce_domain"),
            ({"inbound_secret": "short"}, "inbound_secret"),
            ({"inbound_secret": ""}, "inbound_secret"),
            ({"password": ""}, "password"),
            ({"username": ""}, "username"),
            ({"from_name": "A\nB"}, "from_name"),
        ],
    )
    def test_what_cannot_work_is_named(self, changed: dict[str, str], named: str) -> None:
        found = SmtpEmail.check_credentials({**CREDENTIALS, **changed})
        assert (not found) if not named else found[0].startswith(f"credentials.{named} ")

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
    def test_on_this_machine_it_may_be_plain_and_open(self, host: str) -> None:
        open_server = {"host": host, "port": "25", "security": "none", "from_email": "news@mail.example.org"}
        assert SmtpEmail.check_credentials(open_server) == []

    def test_it_can_neither_be_asked_nor_repeat(self) -> None:
        assert not SmtpEmail.features & {Feature.LOOKUP, Feature.IDEMPOTENCY_KEY, Feature.BATCH}


class TestCompose:
    def test_headers_and_parts(self) -> None:
        mail = composed()
        assert mail["From"] == '"Loja, São José" <news@mail.example.org>'
        assert mail["To"] == "Ana Sá <ana@example.com>"
        assert mail["Subject"] == "Promoção de março"
        assert mail["Message-ID"] == f"<{REFERENCE}@mail.example.org>"
        assert mail["X-Relay-Message-Id"] == str(REFERENCE)
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert "Auto-Submitted" not in mail
        assert mail.get_content_type() == "multipart/alternative"
        plain, html = mail.iter_parts()
        assert isinstance(plain, EmailMessage)
        assert isinstance(html, EmailMessage)
        assert (plain.get_content_type(), plain.get_content()) == ("text/plain", "Olá\r\n")
        assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>Olá</p>\r\n")

    def test_unsubscribe_address_stays_readable_however_long(self) -> None:
        line = f"List-Unsubscribe: {UNSUBSCRIBE['List-Unsubscribe']}\r\n"
        assert line.encode() in compose(MAIL, SENDER).content

    def test_all_of_it_is_ascii_in_lines_that_every_server_takes(self) -> None:
        text = "ä" * 3_000 + "\n" + "word " * 500
        content = compose(replace(MAIL, content={**MAIL.content, "text": text}), SENDER).content
        assert content.isascii()
        assert max(map(len, content.split(b"\r\n"))) <= 998
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert b"\r" not in content.replace(b"\r\n", b"")

    def test_long_words_beyond_ascii_are_encoded_in_short_lines(self) -> None:
        subject, name = "Promoção de março, só hoje 🎉 " * 12, "São João da Conceição " * 8
        message = replace(MAIL, to_name=name, content={**MAIL.content, "subject": subject})
        head = compose(message, SENDER).content.partition(b"\r\n\r\n")[0]
        assert max(len(line) for line in head.split(b"\r\n") if b"=?" in line) <= 76 + len(" <ana@example.com>")
        read = message_from_bytes(head)
        assert str(make_header(decode_header(read["Subject"]))) == subject.strip()
        assert str(make_header(decode_header(read["To"]))) == f"{name.strip()} <ana@example.com>"

    def test_subject_that_looks_encoded_is_what_it_says(self) -> None:
        subject = "=?utf-8?q?Sale?= or not"
        assert composed(content={**MAIL.content, "subject": subject})["Subject"] == subject

    def test_message_id_is_the_same_on_every_attempt(self) -> None:
        assert compose(MAIL, SENDER).message_id == compose(MAIL, SENDER).message_id

    def test_transactional_mail_asks_for_no_answers_of_machines(self) -> None:
        assert composed(purpose=Purpose.TRANSACTIONAL)["Auto-Submitted"] == "auto-generated"

    def test_text_alone_is_one_part(self) -> None:
        assert composed(content={"subject": "s", "text": "t"}).get_content_type() == "text/plain"

    @given(
        subject=st.text(st.characters(exclude_categories=[]), min_size=1, max_size=60),
        name=st.text(st.characters(exclude_categories=[]), max_size=40),
        text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    )
    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_nothing_a_tenant_or_contact_says_begins_a_header(self, subject: str, name: str, text: str) -> None:
        sneaky = f"{subject}\r\nBcc: x@evil.example\r\n\r\n{subject}"
        message = replace(MAIL, to_name=f"{name}\nX-Evil: 1", content={"subject": sneaky, "text": text})
        head, _, body = compose(message, SENDER).content.partition(b"\r\n\r\n")
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
        assert set(names) <= {
            b"from", b"to", b"subject", b"date", b"message-id", b"x-relay-message-id", b"content-type",
            b"content-transfer-encoding", b"mime-version",
        }  # fmt: skip
        assert len(names) == len(set(names))
        assert b"\n" not in (head + body).replace(b"\r\n", b"")

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": "a\r\nBcc: x@evil.example"},
            {"X-A\r\nBcc": "x"},
            {"X-A": "a\x00"},
            {"X-A": "a\u2028b"},
            {"Bcc": "x@evil.example"},
            {"from": "x@evil.example"},
            {"Content-Type": "text/html"},
            {"X-Relay-Message-Id": "x"},
            {"": "x"},
        ],
    )
    def test_header_that_is_not_the_templates_to_set_is_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(MessageRejected, match="headers"):
            compose(replace(MAIL, content={**MAIL.content, "headers": headers}), SENDER)

    @pytest.mark.parametrize(
        "to",
        ["", "ana", "ana@", "@example.com", "a@b@example.com", "ana@exa mple.com", "ana@example.com> SIZE=1",
         "ana@example.com\r\nRCPT TO:<x@example.com>", "<ana@example.com>", "ana@[127.0.0.1]", '"a b"@example.com',
         "ana@" + "x" * 70 + ".example"],
    )  # fmt: skip
    def test_address_that_is_none_is_rejected(self, to: str) -> None:
        with pytest.raises(MessageRejected):
            compose(replace(MAIL, to=to), SENDER)

    def test_domain_is_written_in_ascii(self) -> None:
        assert compose(replace(MAIL, to="ana@bücher.example"), SENDER).recipient == "ana@xn--bcher-kva.example"

    @pytest.mark.parametrize("content", [{}, {"subject": "s"}, {"text": "t"}])
    def test_message_without_content_is_rejected(self, content: dict[str, str]) -> None:
        with pytest.raises(MessageRejected):
            compose(replace(MAIL, content=content), SENDER)

    def test_location_is_not_supported(self) -> None:
        with pytest.raises(UnsupportedFeature):
            compose(replace(MAIL, type=MessageType.LOCATION), SENDER)


class TestReplies:
    @pytest.mark.parametrize(
        ("line", "kind", "suppress"),
        [
            ("421 4.3.2 Shutting down", FaultKind.TRANSIENT, None),
            ("421 4.7.0 Try later", FaultKind.TRANSIENT, None),
            ("421 4.7.28 Unusual rate", FaultKind.RATE_LIMITED, None),
            ("450 4.2.1 Busy", FaultKind.TRANSIENT, None),
            ("451 4.7.1 Greylisted", FaultKind.TRANSIENT, None),
            ("451 Throttled", FaultKind.RATE_LIMITED, None),
            ("452 4.2.2 Over its rate quota", FaultKind.TRANSIENT, None),
            ("452 4.3.1 Storage", FaultKind.TRANSIENT, None),
            ("452 4.5.3 Too many recipients", FaultKind.TRANSIENT, None),
            ("454 4.7.0 TLS not available", FaultKind.TRANSIENT, None),
            ("500 5.5.2 Syntax", FaultKind.PERMANENT, None),
            ("503 5.5.1 Order", FaultKind.PERMANENT, None),
            ("521 Host takes no mail", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("530 5.7.0 Authenticate first", FaultKind.ACCOUNT, None),
            ("534 5.7.9 Mechanism too weak", FaultKind.ACCOUNT, None),
            ("535 5.7.8 Bad credentials", FaultKind.ACCOUNT, None),
            ("550 5.1.1 No such user", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 5.1.2 Bad domain", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 5.1.6 Moved", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 5.2.1 Disabled", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 5.4.1 Recipient address rejected", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 5.7.1 Policy", FaultKind.PERMANENT, None),
            ("550 5.7.25 No PTR", FaultKind.PERMANENT, None),
            ("550 5.7.26 Unauthenticated", FaultKind.PERMANENT, None),
            ("550 5.7.515 Bulk rules", FaultKind.PERMANENT, None),
            ("550 Mailbox unavailable", FaultKind.PERMANENT, None),
            ("550 5.7.1 Unable to relay", FaultKind.ACCOUNT, None),
            ("550 5.1.8 <news@shop.example>: Sender address rejected: Domain not found", FaultKind.ACCOUNT, None),
            ("553 5.1.7 Bad sender's mailbox address", FaultKind.ACCOUNT, None),
            ("553 5.7.1 <news@shop.example>: Sender address rejected: not owned by user a", FaultKind.ACCOUNT, None),
            ("554 5.7.1 <mail.shop.example[192.0.2.1]>: Client host rejected: Access denied", FaultKind.ACCOUNT, None),
            ("550 5.7.60 Client does not have permissions to send as this sender", FaultKind.ACCOUNT, None),
            ("550 5.4.5 Daily limit", FaultKind.RATE_LIMITED, None),
            ("551 User not local", FaultKind.PERMANENT, None),
            ("552 5.2.2 Full", FaultKind.PERMANENT, None),
            ("552 5.3.4 Too big", FaultKind.PERMANENT, None),
            ("553 5.1.3 Mailbox name", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("554 5.6.0 Content", FaultKind.PERMANENT, None),
            ("556 5.1.10 Null MX", FaultKind.PERMANENT, SuppressionReason.INVALID),
            ("550 4.1.1 Class and code disagree", FaultKind.PERMANENT, None),
            ("354 Go on", FaultKind.TRANSIENT, None),
        ],
    )
    def test_reply_about_a_recipient(self, line: str, kind: FaultKind, suppress: SuppressionReason | None) -> None:
        fault = fault_of_reply(Reply(int(line[:3]), line[4:]), Stage.RECIPIENT)
        assert (fault.kind, fault.suppress) == (kind, suppress)

    @pytest.mark.parametrize("stage", [Stage.SESSION, Stage.SENDER])
    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ("550 5.1.1 No such user", FaultKind.ACCOUNT),
            ("554 No service for you", FaultKind.ACCOUNT),
            ("553 5.7.1 Sender not yours", FaultKind.ACCOUNT),
            ("552 5.3.4 Too big", FaultKind.PERMANENT),
            ("451 4.3.0 Later", FaultKind.TRANSIENT),
        ],
    )
    def test_reply_about_the_sender(self, line: str, kind: FaultKind, stage: Stage) -> None:
        fault = fault_of_reply(Reply(int(line[:3]), line[4:]), stage)
        assert (fault.kind, fault.suppress) == (kind, None)


class TestVerify:
    BODY = b"From: a@example.com\n\nHi"

    @pytest.mark.parametrize("age", [-290, 0, 290])
    def test_recent_signature_is_accepted(self, age: int) -> None:
        receiver().verify(signed(self.BODY, at=int(time.time()) - age))

    @pytest.mark.parametrize("age", [-400, 400, 86_400])
    def test_signature_from_another_time_is_a_replay(self, age: int) -> None:
        with pytest.raises(InvalidSignature, match="within"):
            receiver().verify(signed(self.BODY, at=int(time.time()) - age))

    def test_other_secret_is_refused(self) -> None:
        with pytest.raises(InvalidSignature):
            receiver().verify(signed(self.BODY, secret="another-secret-altogether"))

    def test_other_form_is_refused(self) -> None:
        request = signed(self.BODY)
        given = request.headers["x-relay-signature"]
        for other in (given.upper(), f"{given},v1=0", given.replace(",", ", "), given[:-1], "v1=,t="):
            with pytest.raises(InvalidSignature):
                receiver().verify(replace(request, headers={"x-relay-signature": other}))

    def test_without_a_secret_nothing_is_trusted(self) -> None:
        with pytest.raises(InvalidSignature, match="inbound_secret"):
            receiver(inbound_secret="", bounce_domain="").verify(signed(self.BODY))


class TestParse:
    @pytest.mark.parametrize(
        ("name", "kind", "code", "suppress", "retryable", "bounce"),
        [
            ("bounced", EventKind.FAILED, "5.1.1", "bounce", False, "hard"),
            ("bounced_mailbox_full", EventKind.FAILED, "4.2.2", "", True, "soft"),
            ("bounced_policy", EventKind.FAILED, "5.7.26", "", False, "hard"),
            ("bounced_forwarded", EventKind.FAILED, "5.1.1", "", False, "hard"),
            ("bounced_in_prose", EventKind.FAILED, "5.1.1", "", False, None),
            ("delayed", EventKind.DEFERRED, "4.4.1", "", False, None),
            ("complained", EventKind.COMPLAINED, "", "complaint", False, None),
            ("complained_old_feed", EventKind.COMPLAINED, "", "complaint", False, None),
            ("not_spam", EventKind.UNKNOWN, "", "", False, None),
        ],
    )
    def test_report_on_our_message(
        self, name: str, kind: EventKind, code: str, suppress: str, retryable: bool, bounce: str | None
    ) -> None:
        event = parse(name)
        assert (event.kind, event.error_code, event.suppress, event.retryable) == (kind, code, suppress, retryable)
        assert event.reference == str(REFERENCE)
        assert event.address == ""  # whom we wrote to is known better here than by who reports
        assert event.data.get("bounce") == bounce

    def test_bounce_has_its_words_and_time(self) -> None:
        event = parse("bounced")
        assert event.error_detail == "smtp; 550 5.1.1 no such user"
        assert event.occurred_at == datetime(2026, 3, 2, 9, 15, 5, tzinfo=UTC)
        assert event.provider_message_id == f"{REFERENCE}@mail.example.org"
        assert "no such user" in event.raw["mail"]

    def test_success_is_told_by_recipient(self) -> None:
        events = receiver().parse(webhook(recorded("smtp", "delivered.eml")))
        assert [event.kind for event in events] == [EventKind.DELIVERED, EventKind.SENT]
        assert {event.reference for event in events} == {str(REFERENCE)}

    def test_report_that_names_no_message_of_ours_suppresses_nobody(self) -> None:
        event = parse("bounced_stranger")
        assert (event.kind, event.reference, event.suppress, event.address) == (EventKind.FAILED, "", "", "")
        assert event.data["recipient"] == "victim@example.com"

    def test_return_path_with_a_false_proof_names_nothing(self) -> None:
        body = recorded("smtp", "complained.eml")
        path = verp.return_path(SECRET, REFERENCE, "bounces.example.org").encode()
        other = verp.return_path("another-secret-altogether", REFERENCE, "bounces.example.org").encode()
        (event,) = receiver().parse(webhook(body.replace(path, other)))
        assert event.reference == ""

    def test_answer_of_a_person_is_inbound(self) -> None:
        event = parse("replied")
        assert (event.kind, event.address, event.profile_name) == (
            EventKind.INBOUND,
            "rui@example.com",
            "Rui Conceição",
        )
        assert (event.message_type, event.text) == ("text", "Sim, quero o tamanho M. Já pago.")
        assert event.context_id == f"{REFERENCE}@mail.example.org"
        assert event.provider_message_id == "r1@mail.example.com"
        assert event.data["subject"] == "Re: Promoção"
        assert event.data["attachments"] == [{"name": "foto.png", "type": "image/png"}]

    @pytest.mark.parametrize("name", ["out_of_office", "read_receipt"])
    def test_what_a_machine_answers_is_kept_and_is_no_answer(self, name: str) -> None:
        event = parse(name)
        assert (event.kind, event.message_type, event.suppress) == (EventKind.UNKNOWN, "", "")
        assert event.address == "rui@example.com"

    def test_same_mail_over_another_way_is_the_same_report(self) -> None:
        body = recorded("smtp", "bounced.eml")
        (first,) = receiver().parse(webhook(body))
        (again,) = receiver().parse(webhook(b"Received: from mx.example.net\r\n" + body.replace(b"\n", b"\r\n")))
        assert first.key == again.key

    @pytest.mark.parametrize("body", [b"", b"\n\n", b"hello", b"{}", b"X: 1\n\nhello"])
    def test_what_is_no_mail_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            receiver().parse(webhook(body))

    def test_mail_nested_too_deep_is_malformed(self) -> None:
        nested = b"From: a@example.com\n" + b"Content-Type: message/rfc822\n\n" * 2_000
        with pytest.raises(Malformed):
            receiver().parse(webhook(nested))


def hostile() -> st.SearchStrategy[bytes]:
    """Recorded mails with lines swapped, cut, doubled and spoiled."""
    bodies = [
        recorded("smtp", f"{name}.eml")
        for name in ("bounced", "bounced_mailbox_full", "delivered", "complained", "replied")
    ]
    spoils = [
        b"\xff\xfe", b"=?utf-8?q?=00=ED=A0=80?=", b"=?x-none?b?//8=?=", b"\x00", b"(((((", b"<<>>", b";;==",
        b'boundary="', b"*0*=utf-16''%ff", b"Content-Type: multipart/report", b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: base64", b"Content-Type: text/plain; charset=utf-7",
        b"Content-Disposition: attachment; filename*=x''%ff", b"Date: Fri, 99 Foo 99999 99:99:99 +9999",
    ]  # fmt: skip

    def spoil(body: bytes, seed: int) -> bytes:
        chance = random.Random(seed)
        lines = body.split(b"\n")
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(lines))
            match chance.randrange(5):
                case 0:
                    lines.insert(at, chance.choice(spoils))
                case 1:
                    lines[at] = lines[at][: chance.randint(0, 20)] + chance.choice(spoils) + lines[at][20:]
                case 2:
                    lines = lines[at:] + lines[:at]
                case 3:
                    lines += lines[at : at + 10]
                case 4:
                    lines = lines[: max(1, at)]
        return b"\n".join(lines)

    return st.builds(spoil, st.sampled_from(bodies), st.integers(0, 2**32))


class TestHostileMail:
    @given(body=hostile())
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_it_is_read_or_called_malformed(self, body: bytes) -> None:
        contract = TestContract()
        contract.read(body)
        contract.read(b"From: MAILER-DAEMON@example.net\n" + body)

    @pytest.mark.parametrize(
        "body",
        [
            b"From: a@example.com\nSubject: " + b"=?utf-8?q?" * 100_000 + b"\n\nx",
            b"From: " + b"<a@example.com>," * 60_000 + b"\n\nx",
            b"From: " + b"(" * 500_000 + b"\n\nx",
            b"From: a@example.com\nReferences: " + b"<" * 900_000 + b"\n\nx",
            b"From: a@example.com\n\n" + b"\n" * 3_000_000,
            b"From: a@example.com\n\n" + b"\n>" * 1_000_000,
            b"From: mailer-daemon@example.com\n\n" + b"5.1." * 700_000,
            b"From: a@example.com\n" + b"X: y\n" * 600_000,
            b"From: a@example.com\nContent-Type: multipart/mixed; boundary=" + b"a" * 500_000 + b"\n\n--a\n",
            b"From: a@example.com\n"
            + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(19))
            + b"\nx" * 1_000_000,
            b"From: a@example.com\nContent-Type: multipart/report; boundary=b\n\n--b\n"
            b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 100_000,
        ],
        ids=["encoded words", "addresses", "comments", "brackets", "lines", "quotes", "codes", "headers", "boundary",
             "depth", "groups"],
    )  # fmt: skip
    def test_work_is_bounded_whatever_comes(self, body: bytes) -> None:
        TestContract().read(body)  # hours without the bounds, or the end of the stack


class TestReturnPath:
    def test_names_its_message(self) -> None:
        reference = uuid4()
        path = verp.return_path(SECRET, reference, "b.example.org")
        assert verp.reference_in(SECRET, f"to <{path.upper()}>") == str(reference)

    def test_not_without_the_secret(self) -> None:
        path = verp.return_path("another-secret-altogether", uuid4(), "b.example.org")
        assert verp.reference_in(SECRET, path) == ""
