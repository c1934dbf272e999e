"""What the mail server takes, from whom, and what it answers otherwise."""

import asyncio
import hmac
import os
import re
import time
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from app.simulator.accounts import SMTP, Account
from app.simulator.people import normal_address
from app.simulator.sandbox import SHORT_LINK, Sandbox
from app.simulator.smtp.events import schedule_events
from app.simulator.smtp.protocol import SubmissionProtocol

GREYLISTED = "451 4.7.1 Greylisted, please try again later"
SLOWER = "450 4.7.28 Too many messages from you, slow down"
REPLIES = {
    421: "421 4.3.2 Service shutting down",
    450: "450 4.2.1 Mailbox busy",
    451: "451 4.3.0 Temporary failure",
    452: "452 4.2.2 Mailbox full",
    454: "454 4.7.0 Temporary authentication failure",
    535: "535 5.7.8 Authentication credentials invalid",
    550: "550 5.1.1 No such user here",
    552: "552 5.2.2 Mailbox full",
    553: "553 5.1.3 Bad mailbox name",
    554: "554 5.7.1 Rejected by policy",
}
REPLY = re.compile(r"[2-5]\d\d [245]\.\d{1,3}\.\d{1,3} .+")
STATUS = re.compile(r"\d\d\d (\d\.\d{1,3}\.\d{1,3})")
LIST_UNSUBSCRIBE = re.compile(r"<(https?://[^>]+)>")
NEEDED = ("From", "Date", "Message-ID")


class MailServer:
    """aiosmtpd's hooks. Who is not authenticated may only say hello."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.met: dict[tuple[str, str], float] = {}  # (sender, recipient) -> when the first attempt was put off

    def authenticate(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        account = self.sandbox.accounts.get(SMTP, data.login.decode(errors="replace"))
        expected = account.credentials["password"].encode() if account is not None else os.urandom(16)
        if account is None or not hmac.compare_digest(data.password, expected):
            self.sandbox.ledger.reject(SMTP, "5.7.8", throttled=False)
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=account)

    async def handle_EHLO(
        self, server: SubmissionProtocol, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-DSN", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_MAIL(
        self, server: SubmissionProtocol, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        account = _account(session)
        if account is None:
            return self._refuse(server, "530 5.7.0 Authentication required")
        rate = account.messages_per_second or self.sandbox.behaviour.messages_per_second
        if not self.sandbox.limits.allow(f"{SMTP} {account.id}", rate, time.time()):
            return self._refuse(server, SLOWER)
        if address.lower().rpartition("@")[2] not in _domains(account):
            return self._refuse(server, f"553 5.7.1 {address}: not owned by {account.id}")
        envelope.mail_from = address
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SubmissionProtocol, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        account = _account(session)
        assert account is not None  # MAIL came first
        fault = self.sandbox.faults.take(SMTP, "before")
        if fault is not None:
            if fault.kind == "throttle":
                return self._refuse(server, SLOWER)
            return self._refuse(server, REPLIES.get(fault.status, REPLIES[451]), injected=True)
        who = normal_address(address)
        plan = self.sandbox.plan("email", who)
        if plan.text and REPLY.fullmatch(plan.text):
            return self._refuse(server, plan.text)
        if plan.fate == "fail" and plan.code is not None:
            return self._refuse(server, REPLIES.get(plan.code, REPLIES[550]))
        if self._is_new(account, who):
            return self._refuse(server, GREYLISTED)
        envelope.rcpt_tos.append(who)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SubmissionProtocol, session: Session, envelope: Envelope) -> str:
        account = _account(session)
        assert account is not None  # MAIL came first
        content = envelope.original_content or b""
        mail = message_from_bytes(content)
        if problem := _problem(mail, content, account):
            return self._refuse(server, problem)
        queue_id = os.urandom(6).hex().upper()
        self._accept(server, account, envelope, mail, queue_id)
        fault = self.sandbox.faults.take(SMTP, "after")
        if fault is not None:
            await self._lose(fault.seconds if fault.kind == "hang" else 0)
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
        if self.sandbox.behaviour.latency_ms:
            await asyncio.sleep(self.sandbox.behaviour.latency_ms / 1_000)
        return f"250 2.0.0 Ok: queued as {queue_id}"

    def _accept(
        self, server: SubmissionProtocol, account: Account, envelope: Envelope, mail: Message, queue_id: str
    ) -> None:
        now = time.time()
        wanted = server.wanted
        told, records = [], []
        for address in envelope.rcpt_tos:
            facts = {
                "id": queue_id,
                "at": now,
                "return_path": envelope.mail_from,
                "envelope_id": wanted.get("MAIL", {}).get("ENVID", ""),
                "notify": wanted.get("RCPT", {}).get("NOTIFY", "FAILURE").upper(),
                "original": wanted.get("RCPT", {}).get("ORCPT", ""),
                "headers": _head(mail),
                "message_id": str(mail.get("Message-ID", "")),
                "subject": str(mail.get("Subject", "")),
                "one_click": _one_click(mail),
                "link": _short_link(mail),
            }
            plan = self.sandbox.plan("email", address)
            reference = str(mail.get("X-Relay-Message-Id", "")) or facts["envelope_id"]
            records.append(self.sandbox.accept(account, "email", address, str(reference), queue_id, facts))
            told.append((address, str(reference), facts, plan))
        self.sandbox.journal.write(*records)
        for address, reference, facts, plan in told:
            schedule_events(self.sandbox, account, address, reference, facts, plan)

    def _is_new(self, account: Account, address: str) -> bool:
        """Greylisting: who writes to somebody for the first time has to come again."""
        wait = self.sandbox.behaviour.smtp_greylist_seconds
        if not wait:
            return False
        now = time.time()
        return now - self.met.setdefault((account.id, address), now) < wait

    def _refuse(self, server: SubmissionProtocol, reply: str, injected: bool = False) -> str:
        found = STATUS.match(reply)
        throttled = reply == SLOWER
        if throttled or not injected:
            self.sandbox.ledger.reject(SMTP, found[1] if found else reply[:3], throttled)
        if reply.startswith("421") and server.transport is not None:
            asyncio.get_running_loop().call_soon(server.transport.close)  # once it is said
        return reply

    async def _lose(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.sandbox.stopping.wait()
        except TimeoutError:
            pass


def _account(session: Session) -> Account | None:
    return session.auth_data if session.authenticated and isinstance(session.auth_data, Account) else None


def _domains(account: Account) -> set[str]:
    own = account.credentials["from_email"].rpartition("@")[2]
    return {own.lower(), account.credentials.get("bounce_domain", own).lower(), *account.verified_senders}


def _problem(mail: Message, content: bytes, account: Account) -> str:
    """What is wrong with the message itself."""
    if b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""):
        return "521 5.5.2 Bare carriage return or line feed"
    for name in NEEDED:
        if len(mail.get_all(name, [])) != 1:
            return f"550 5.6.0 The message must have one header {name}"
    sender = str(mail["From"]).rpartition("@")[2].strip("> ").lower()
    if sender not in _domains(account):
        return f"550 5.7.1 The header From is not owned by {account.id}"
    return ""


def _head(mail: Message) -> str:
    """The headers as a report returns them."""
    lines = [f"{name}: {value}" for name, value in mail.items() if name.lower() in ("from", "to", "subject", "date")]
    kept = [f"{name}: {mail[name]}" for name in ("Message-ID", "X-Relay-Message-Id") if mail.get(name)]
    return "\n".join("\n ".join(line.split("\n")) for line in [*lines, *kept])


def _short_link(mail: Message) -> str:
    """The first one that a person could press; of other links nobody would hear."""
    for part in mail.walk():
        if part.get_content_type() == "text/html":
            html = part.get_payload(decode=True)
            found = SHORT_LINK.search(html.decode("utf-8", "replace")) if isinstance(html, bytes) else None
            return found[0] if found else ""
    return ""


def _one_click(mail: Message) -> str:
    """The URL of RFC 8058: only where the second header allows a POST without a question."""
    found = LIST_UNSUBSCRIBE.search("".join(str(mail.get("List-Unsubscribe", "")).split()))
    offered = str(mail.get("List-Unsubscribe-Post", "")).replace(" ", "").lower()
    return found[1] if found and offered == "list-unsubscribe=one-click" else ""
