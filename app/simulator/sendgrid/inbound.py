"""What SendGrid's Inbound Parse posts: mail that people write, as a form, to an address of its own."""

import os
from email.utils import formatdate
from typing import Any

import orjson

from app.simulator.accounts import Account
from app.simulator.dispatcher import SENDGRID_INBOUND, Call, Event

BOUNDARY = "xYzZY"


def inbound(account: Account, address: str, text: str, facts: dict[str, Any] | None, at: float) -> Event:
    """A person answers the last e-mail, or writes one of their own."""
    own_id = f"<{os.urandom(12).hex()}@mx.example.com>"
    to, subject = account.credentials["from_email"], "Re: your mail" if facts else "Hello"
    headers = {"From": f"Ana <{address}>", "To": to, "Subject": subject, "Date": formatdate(at), "Message-ID": own_id}
    quoted = ""
    if facts:
        ours = f"<{facts['id'].partition('.')[0]}@geopod-ismtpd-1>"
        headers |= {"In-Reply-To": ours, "References": ours}
        quoted = f"\r\n\r\nOn {formatdate(at)}, Example Shop <{to}> wrote:\r\n> Hello\r\n"
    words = text + quoted
    payload = {
        "headers": "".join(f"{name}: {value}\n" for name, value in headers.items()),
        "dkim": "{@example.com : pass}",
        "to": to,
        "from": headers["From"],
        "sender_ip": "192.0.2.81",
        "spam_report": "Spam detection software has identified no spam.",
        "spam_score": "0.1",
        "envelope": orjson.dumps({"to": [to], "from": address}).decode(),
        "attachments": "0",
        "subject": subject,
        "text": words,
        "html": f"<div>{text}</div>",
        "charsets": orjson.dumps(dict.fromkeys(("to", "from", "subject", "text", "html"), "UTF-8")).decode(),
        "SPF": "pass",
    }
    return Event(
        SENDGRID_INBOUND, account.id, payload, "inbound", effect="replied", channel="email", address=address,
        token=own_id,
    )  # fmt: skip


def encode(account: Account, batch: list[Event]) -> Call | None:
    """One POST of one mail. It is not signed: the address is the secret."""
    if not account.inbound_url:
        return None
    (event,) = batch
    boundary = BOUNDARY
    while any(boundary in value for value in event.payload.values()):
        boundary += "x"
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in event.payload.items()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "User-Agent": "SendGrid 1.0"}
    return Call(account.inbound_url, headers, f"{''.join(parts)}--{boundary}--\r\n".encode())
