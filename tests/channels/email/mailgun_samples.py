"""What the tests of Mailgun share: its credentials, recorded payloads, and signatures."""

import hashlib
import hmac
import io
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from app.channels.base import WebhookEvent, WebhookRequest
from app.channels.email.mailgun import MailgunEmail
from app.domain.status import Channel, MessageType
from tests.channels.contract import offline
from tests.channels.samples import REFERENCE, context, outbound, recorded, webhook
from tests.channels.scripted import Reply, Request

KEY = "signing-key-example-7f2c"
CREDENTIALS = {
    "api_key": "key-1",
    "domain": "mg.example.org",
    "region": "us",
    "from_email": "news@mg.example.org",
    "from_name": "Example Org",
    "webhook_signing_key": KEY,
}
MESSAGE_ID = "20260302091504.1.4F0C2A9D1B7E@mg.example.org"
ACCEPTED = Reply(200, {"id": f"<{MESSAGE_ID}>", "message": "Queued. Thank you."})
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://u.example.org/o/tok>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
MAIL = outbound(
    Channel.EMAIL,
    {"subject": "March update", "text": "Hello", "html": "<p>Hello</p>", "headers": UNSUBSCRIBE},
    to="ana@example.com",
    type=MessageType.TEMPLATE,
)
OWN_ID = f"{REFERENCE}@mg.example.org"
FORM = "application/x-www-form-urlencoded"
TYPES = {"json": "application/json", "txt": FORM, "multipart": "multipart/form-data; boundary=relay-7c1f2e"}
PARTS = ("timestamp", "token", "signature")


def fields_of(request: Request) -> list[tuple[str, str]]:
    """The names and values of a posted form, as an independent library reads them."""
    kind, options = parse_options_header(request.headers["content-type"])
    parser = FormDataParser(max_form_memory_size=None, max_form_parts=None)
    _, form, files = parser.parse(io.BytesIO(request.body), kind, len(request.body), options)
    assert not files
    return list(form.items(multi=True))


def refusal(status: int, message: str) -> Reply:
    return Reply(status, {"message": message})


def payload(name: str) -> WebhookRequest:
    return webhook(recorded("mailgun", name), content_type=TYPES[name.rpartition(".")[2]])


def parse(name: str) -> WebhookEvent:
    (event,) = receiver().parse(payload(name))
    return event


def receiver(**changed: str) -> MailgunEmail:
    return MailgunEmail({**CREDENTIALS, **changed}, context(offline(), "http://127.0.0.1:9"))


def signature(timestamp: str, token: str, key: str = KEY) -> dict[str, str]:
    digest = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


def fresh(age: int = 0, key: str = KEY) -> dict[str, str]:
    return signature(str(int(time.time()) - age), "4e1c7a90b2d84f6fa1c35d0e9b7a2c6813f5de0947ab62c1f8", key)


def with_signature(request: WebhookRequest, values: dict[str, Any]) -> WebhookRequest:
    """Another signature in the place of the recorded one."""
    kind = request.headers["content-type"]
    if kind == TYPES["json"]:
        return replace(request, body=json.dumps({**json.loads(request.body), "signature": values}).encode())
    if kind == FORM:
        others = [(name, value) for name, value in parse_qsl(request.body.decode(), True) if name not in PARTS]
        return replace(request, body=urlencode([*others, *values.items()]).encode())
    head, *rest = request.body.split(b'name="timestamp"')
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    file = rest[0][rest[0].index(b'name="attachment-1"') :]
    parts = [b'name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode()) for name, value in values.items()]
    disposition = boundary + b"\r\nContent-Disposition: form-data; "
    return replace(request, body=head + disposition.join([*parts, file]))
