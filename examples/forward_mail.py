#!/usr/bin/env python3
"""Hand one mail from standard input over to Relay: delivery reports, complaints and answers to mail sent over SMTP.

    forward_mail.py https://relay.example.com/v1/webhooks/email/<id> /etc/relay/inbound_secret

For Postfix (`master.cf`, `.forward`, `aliases`) and any mail server that pipes mail into a program. Needs Python 3.9,
and nothing else. The second argument is a file with the setting's `inbound_secret`, for its user's eyes only.
Ends as sysexits.h has it: 0 taken, 75 to be tried again, 65 not a mail that Relay can read.
"""

import hashlib
import hmac
import os
import sys
import time
import urllib.error
import urllib.request

TAKEN, UNREADABLE, TRY_AGAIN = 0, 65, 75
MOST_BYTES = 1_000_000  # reports and answers stand at the beginning
SECONDS = 30


def main(url: str, secret_file: str) -> int:
    with open(secret_file, "rb") as file:
        secret = file.read().strip()
    mail = with_envelope(sys.stdin.buffer.read(MOST_BYTES), os.environ)
    request = urllib.request.Request(
        url,
        data=mail,
        headers={"Content-Type": "message/rfc822", "X-Relay-Signature": signature(secret, int(time.time()), mail)},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return TAKEN
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"Relay answered {error.code}: {error.read(500).decode(errors='replace')}\n")
        return UNREADABLE if error.code in (400, 413) else TRY_AGAIN
    except OSError as error:
        sys.stderr.write(f"Relay was not reached: {error}\n")
        return TRY_AGAIN


def signature(secret: bytes, timestamp: int, mail: bytes) -> str:
    digest = hmac.new(secret, b"%d." % timestamp + mail, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def with_envelope(mail: bytes, environment: "os._Environ[str] | dict[str, str]") -> bytes:
    """With the address that it came to, which names the message, where Postfix tells it beside the mail."""
    if mail.startswith(b"From "):  # the line that mailboxes separate mails with
        mail = mail.partition(b"\n")[2]
    recipient = environment.get("ORIGINAL_RECIPIENT") or environment.get("RECIPIENT") or ""
    if recipient and recipient.isprintable():
        mail = b"X-Original-To: " + recipient.encode() + b"\n" + mail
    return mail


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2]))
    except OSError as problem:
        sys.stderr.write(f"forward_mail: {problem}\n")
        sys.exit(TRY_AGAIN)
