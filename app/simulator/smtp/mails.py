"""The mails that come back, as mail servers and people write them. Lines end in LF, as a program reads them."""

import os
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

HOST = "mx.sandbox.example"


def delivery_report(facts: dict[str, Any], address: str, action: str, status: str, diagnostic: str, at: float) -> str:
    """RFC 3464, in a container of RFC 6522."""
    group = [
        f"Final-Recipient: rfc822; {address}",
        *([f"Original-Recipient: {facts['original']}"] if facts["original"] else []),
        f"Action: {action}",
        f"Status: {status}",
        f"Diagnostic-Code: {diagnostic}",
        f"Last-Attempt-Date: {_date(at)}",
    ]
    whole = [f"Reporting-MTA: dns; {HOST}"]
    if facts["envelope_id"]:
        whole.append(f"Original-Envelope-Id: {facts['envelope_id']}")
    whole.append(f"Arrival-Date: {_date(facts['at'])}")
    parts = [
        ("text/plain; charset=us-ascii", f"This is about your message to {address}: {action}."),
        ("message/delivery-status", "\n".join([*whole, "", *group, ""])),
        ("text/rfc822-headers", facts["headers"]),
    ]
    headers = [
        "Return-Path: <>",
        f"X-Original-To: {facts['return_path']}",
        f"From: Mail Delivery System <MAILER-DAEMON@{HOST}>",
        f"To: {facts['return_path']}",
        f"Subject: Delivery report: {action}",
        "Auto-Submitted: auto-replied",
    ]
    return _mail(headers, "multipart/report; report-type=delivery-status", parts, at)


def complaint(facts: dict[str, Any], at: float) -> str:
    """RFC 5965. Many leave the address out of what they return."""
    report = [
        "Feedback-Type: abuse",
        "User-Agent: SandboxFBL/1.0",
        "Version: 1",
        f"Original-Mail-From: <{facts['return_path']}>",
        f"Arrival-Date: {_date(facts['at'])}",
        "Source-IP: 192.0.2.14",
        "",
    ]
    lines = facts["headers"].split("\n")
    redacted = "\n".join("To: redacted" if line.lower().startswith("to:") else line for line in lines)
    parts = [
        ("text/plain; charset=us-ascii", "This is a complaint about a message received from you."),
        ("message/feedback-report", "\n".join(report)),
        ("text/rfc822-headers", redacted),
    ]
    headers = [f"From: <feedback@{HOST}>", "To: feedback-loop@mail.example.org", "Subject: FW: complaint"]
    return _mail(headers, "multipart/report; report-type=feedback-report", parts, at)


def answer(address: str, to: str, text: str, facts: dict[str, Any] | None, at: float) -> str:
    """A person's mail, in answer to ours."""
    headers = [f"Return-Path: <{address}>", f"From: <{address}>", f"To: {to}"]
    quoted = ""
    if facts is not None:
        subject = facts["subject"].replace("\n", "\n ")
        headers += [f"Subject: Re: {subject}", f"In-Reply-To: {facts['message_id']}"]
        headers.append(f"References: {facts['message_id']}")
        quoted = f"\n\nOn {_date(facts['at'])}, {to} wrote:\n> {' '.join(facts['subject'].split())}\n"
    headers += [_date_line(at), _id_line(), "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8"]
    return "\n".join([*headers, "Content-Transfer-Encoding: 8bit", "", text + quoted])


def _mail(headers: list[str], kind: str, parts: list[tuple[str, str]], at: float) -> str:
    boundary = os.urandom(12).hex()
    lines = [*headers, _date_line(at), _id_line(), "MIME-Version: 1.0", f'Content-Type: {kind}; boundary="{boundary}"']
    for type, body in parts:
        lines += ["", f"--{boundary}", f"Content-Type: {type}", "", body]
    return "\n".join([*lines, "", f"--{boundary}--", ""])


def _date_line(at: float) -> str:
    return f"Date: {_date(at)}"


def _id_line() -> str:
    return f"Message-ID: <{os.urandom(12).hex()}@{HOST}>"


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))
