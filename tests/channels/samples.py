"""Messages, requests and recorded payloads for adapter tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx

from app.channels.base import AdapterContext, OutboundMessage, WebhookRequest
from app.domain.status import Channel, MessageType

PAYLOADS = Path(__file__).parent / "payloads"
REFERENCE = UUID("01920000-0000-7000-8000-000000000001")
TENANT_ID = UUID("01920000-0000-7000-8000-000000000002")
SETTINGS_ID = UUID("01920000-0000-7000-8000-000000000003")
PUBLIC_URL = "https://relay.example.org"


def outbound(channel: Channel, content: Mapping[str, Any], **changes: Any) -> OutboundMessage:
    values: dict[str, Any] = {"type": MessageType.TEXT, "to": "+351910000001"} | changes
    return OutboundMessage(
        reference=REFERENCE, tenant_id=TENANT_ID, settings_id=SETTINGS_ID, channel=channel, content=content, **values
    )


def context(http: httpx.AsyncClient, base_url: str) -> AdapterContext:
    return AdapterContext(base_url=base_url, public_url=PUBLIC_URL, settings_id=SETTINGS_ID, http=http)


def webhook(body: bytes, url: str = PUBLIC_URL, method: str = "POST", **headers: str) -> WebhookRequest:
    """A request as the route hands it over; `x_hub_signature_256` is the header X-Hub-Signature-256."""
    return WebhookRequest(
        method=method,
        url=url,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        query=dict(parse_qsl(urlsplit(url).query)),
        body=body,
    )


def recorded(provider: str, name: str) -> bytes:
    return (PAYLOADS / provider / name).read_bytes()
