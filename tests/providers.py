"""Webhooks as the providers send and sign them, written from their documentation and not from the adapters."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import jwt
import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

APP_SECRET, AUTH_TOKEN, VERIFY_TOKEN = "meta-app-secret-demo", "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "let-me-in"
MAILGUN_KEY = "mailgun-http-webhook-signing-key"
RESEND_SECRET = "whsec_" + base64.b64encode(b"resend-webhook-secret-01").decode()
SIGNING_KEY = "messagebird-signing-key-of-32-bytes-and-more"
SENDGRID_KEY = ec.derive_private_key(123_456_789, ec.SECP256R1())
SENDGRID_PUBLIC_KEY = base64.b64encode(
    SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def whatsapp_credentials(**changes: str) -> dict[str, str]:
    return {
        "phone_number_id": str(uuid4().int)[:15],
        "waba_id": "200300400500600",
        "access_token": "token",
        "app_secret": APP_SECRET,
        "verify_token": VERIFY_TOKEN,
        **changes,
    }


def twilio_credentials(**changes: str) -> dict[str, str]:
    return {"account_sid": f"AC{uuid4().hex}", "auth_token": AUTH_TOKEN, "from_number": "+15005550006", **changes}


def messagebird_credentials(**changes: str) -> dict[str, str]:
    return {"access_key": "live_key", "originator": "+3197010240000", "signing_key": SIGNING_KEY, **changes}


def sendgrid_credentials(**changes: str) -> dict[str, str]:
    return {
        "api_key": "SG.key",
        "from_email": "shop@example.com",
        "webhook_public_key": SENDGRID_PUBLIC_KEY,
        **changes,
    }


def mailgun_credentials(**changes: str) -> dict[str, str]:
    return {
        "api_key": "key",
        "domain": "mg.example.com",
        "region": "eu",
        "from_email": "shop@mg.example.com",
        "webhook_signing_key": MAILGUN_KEY,
        **changes,
    }


def resend_credentials(**changes: str) -> dict[str, str]:
    return {"api_key": "re_key", "from_email": "shop@example.com", "webhook_secret": RESEND_SECRET, **changes}


@dataclass(frozen=True)
class Post:
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def whatsapp_status(reference: UUID | str, status: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"wamid.{reference}",
        "status": status,
        "timestamp": str(int(time.time())),
        "recipient_id": "351910000001",
        "biz_opaque_callback_data": str(reference),
        **changes,
    }


def whatsapp_failure(reference: UUID | str, code: int = 131026) -> dict[str, Any]:
    return whatsapp_status(reference, "failed", errors=[{"code": code, "title": "Message undeliverable"}])


def whatsapp_text(phone: str, text: str, **changes: Any) -> dict[str, Any]:
    return {
        "from": phone.removeprefix("+"),
        "id": f"wamid.IN{uuid4().hex}",
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": text},
        **changes,
    }


def whatsapp_value(
    phone_number_id: str, *, statuses: list[dict[str, Any]] | None = None, messages: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15005550222", "phone_number_id": phone_number_id},
    }
    if statuses:
        value["statuses"] = statuses
    if messages:
        value["messages"] = messages
        value["contacts"] = [{"profile": {"name": "Ana"}, "wa_id": item["from"]} for item in messages if "from" in item]
    return value


def whatsapp_post(settings_id: UUID | str, *values: dict[str, Any], secret: str = APP_SECRET) -> Post:
    changes = [{"field": "messages", "value": value} for value in values]
    body = orjson.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "200300400500600", "changes": changes}]}
    )
    return whatsapp_raw(settings_id, body, secret=secret)


def whatsapp_raw(settings_id: UUID | str, body: bytes, *, secret: str = APP_SECRET) -> Post:
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    path = f"/v1/webhooks/whatsapp/{settings_id}".rstrip("/")
    return Post(path, body, {"content-type": "application/json", "x-hub-signature-256": signature})


def twilio_post(
    public_url: str, settings_id: UUID | str, fields: dict[str, str], *, ref: UUID | str = "", token: str = AUTH_TOKEN
) -> Post:
    path = f"/v1/webhooks/sms/{settings_id}".rstrip("/") + (f"?ref={ref}" if ref else "")
    signed = public_url + path + "".join(name + fields[name] for name in sorted(fields))
    digest = hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": base64.b64encode(digest).decode(),
    }
    return Post(path, urlencode(fields).encode(), headers)


def twilio_status(account: str, sid: str, status: str, **changes: str) -> dict[str, str]:
    return {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": "+15005550006",
        "MessageSid": sid,
        "MessageStatus": status,
        "SmsSid": sid,
        "SmsStatus": status,
        "To": "+351910000001",
        **changes,
    }


def twilio_inbound(account: str, phone: str, text: str, **changes: str) -> dict[str, str]:
    sid = f"SM{uuid4().hex}"
    return {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "Body": text,
        "From": phone,
        "MessageSid": sid,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": "+15005550006",
        **changes,
    }


def messagebird_token(url: str, body: bytes = b"", *, key: str = SIGNING_KEY, age_seconds: int = 0) -> str:
    now = int(time.time()) - age_seconds
    claims = {
        "iss": "MessageBird",
        "nbf": now,
        "exp": now + 60,
        "jti": str(uuid4()),
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    return jwt.encode(claims, key, algorithm="HS256")


def messagebird_report(
    public_url: str,
    settings_id: UUID | str,
    status: str,
    changes: Mapping[str, str] = MappingProxyType({}),
    *,
    age_seconds: int = 0,
) -> Post:
    """A delivery report, by GET."""
    fields = {
        "id": "b6c8d0e2f4a61728394a5b6c7d8e9f00",
        "recipient": "351910000001",
        "status": status,
        "statusDatetime": datetime.now(UTC).isoformat(timespec="seconds"),
        **changes,
    }
    path = f"/v1/webhooks/sms/{settings_id}".rstrip("/") + f"?{urlencode(fields)}"
    token = messagebird_token(public_url + path, age_seconds=age_seconds)
    return Post(path, b"", {"messagebird-signature-jwt": token}, "GET")


def messagebird_inbound(public_url: str, settings_id: UUID | str, phone: str, text: str, **changes: str) -> Post:
    fields = {
        "id": uuid4().hex,
        "originator": phone.removeprefix("+"),
        "recipient": "3197010240000",
        "body": text,
        "createdDatetime": datetime.now(UTC).isoformat(timespec="seconds"),
        **changes,
    }
    path, body = f"/v1/webhooks/sms/{settings_id}".rstrip("/"), urlencode(fields).encode()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "messagebird-signature-jwt": messagebird_token(public_url + path, body),
    }
    return Post(path, body, headers)


def sendgrid_event(
    event: str, email: str, *, message_id: UUID | str, settings_id: UUID, **changes: Any
) -> dict[str, Any]:
    return {
        "email": email,
        "timestamp": int(time.time()),
        "event": event,
        "sg_event_id": uuid4().hex,
        "sg_message_id": "Zq1xTn8pQ0.recvd-7c9-1-69A5-1.0",
        "message_id": str(message_id),
        "settings_id": str(settings_id),
        **changes,
    }


def sendgrid_post(settings_id: UUID | str, *events: dict[str, Any]) -> Post:
    return sendgrid_raw(settings_id, orjson.dumps(list(events)) + b"\r\n")


def sendgrid_raw(settings_id: UUID | str, body: bytes) -> Post:
    timestamp = str(int(time.time()))
    signature = SENDGRID_KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "content-type": "application/json",
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": timestamp,
    }
    return Post(f"/v1/webhooks/email/{settings_id}".rstrip("/"), body, headers)


def resend_event(type: str, email: str, *, message_id: UUID | str, settings_id: UUID, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    data = {
        "email_id": str(uuid4()),
        "created_at": now,
        "from": "shop@example.com",
        "to": [email],
        "subject": "March",
        "tags": {"message_id": str(message_id), "settings_id": str(settings_id)},
        **changes,
    }
    return {"type": type, "created_at": now, "data": data}


def resend_post(settings_id: UUID | str, event: dict[str, Any], *, id: str = "", age_seconds: int = 0) -> Post:
    body, id, timestamp = orjson.dumps(event), id or f"msg_{uuid4().hex}", str(int(time.time()) - age_seconds)
    key = base64.b64decode(RESEND_SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "svix-id": id,
        "svix-timestamp": timestamp,
        "svix-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    return Post(f"/v1/webhooks/email/{settings_id}".rstrip("/"), body, headers)


def mailgun_event(
    event: str, email: str, *, message_id: UUID | str, settings_id: UUID, **changes: Any
) -> dict[str, Any]:
    return {
        "id": uuid4().hex[:22],
        "event": event,
        "timestamp": time.time(),
        "recipient": email,
        "message": {"headers": {"to": email, "message-id": "20260302091504.1.4F0C@mg.example.com"}},
        "user-variables": {"message_id": str(message_id), "settings_id": str(settings_id)},
        **changes,
    }


def mailgun_signature(age_seconds: int = 0, key: str = MAILGUN_KEY) -> dict[str, str]:
    timestamp, token = str(int(time.time()) - age_seconds), uuid4().hex + "0" * 18
    digest = hmac.new(key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


def mailgun_post(settings_id: UUID | str, event: dict[str, Any], **signature: Any) -> Post:
    body = orjson.dumps({"signature": mailgun_signature(**signature), "event-data": event})
    return Post(f"/v1/webhooks/email/{settings_id}".rstrip("/"), body, {"content-type": "application/json"})


def mailgun_reply(settings_id: UUID | str, email: str, text: str) -> Post:
    fields = {"sender": email, "from": email, "stripped-text": text, "message-headers": "[]", **mailgun_signature()}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Post(f"/v1/webhooks/email/{settings_id}", urlencode(fields).encode(), headers)
