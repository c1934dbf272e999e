"""A message as Mail Send takes it.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send
"""

from typing import Any

from app.channels.base import OutboundMessage
from app.domain.status import MessageType
from app.errors import MessageRejected, UnsupportedFeature

SUPPORTED = frozenset({MessageType.TEXT, MessageType.TEMPLATE})
# Ours: a second unsubscribe link in the footer would opt people out where we cannot see it
TRACKING = {"subscription_tracking": {"enable": False}}
PARTS = {"text": "text/plain", "html": "text/html"}  # plain text has to come first
NOT_IN_A_NAME = str.maketrans(";,", "  ")


def check(message: OutboundMessage) -> None:
    """Raises what keeps it from being an e-mail."""
    if message.type not in SUPPORTED:
        raise UnsupportedFeature(f"E-mail cannot carry {message.type}.")
    for name in ("subject", "text"):
        if not message.content.get(name):
            raise MessageRejected(f"content.{name} is missing.")


def content(message: OutboundMessage) -> list[dict[str, str]]:
    return [{"type": kind, "value": message.content[part]} for part, kind in PARTS.items() if message.content.get(part)]


def personalization(message: OutboundMessage) -> dict[str, Any]:
    """Everything that is of this message alone."""
    recipient = {"email": message.to}
    if name := " ".join(message.to_name.translate(NOT_IN_A_NAME).split()):
        recipient["name"] = name
    personal: dict[str, Any] = {
        "to": [recipient],
        "subject": message.content["subject"],
        "custom_args": {
            "message_id": str(message.reference),
            "tenant_id": str(message.tenant_id),
            "settings_id": str(message.settings_id),
        },
    }
    if headers := message.content.get("headers"):
        personal["headers"] = dict(headers)
    return personal
