"""The message workflow: one single send, its retries and its fallback."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

MESSAGE_WORKFLOW = "message"
MESSAGE_CHANGED = "message_changed"


@dataclass(frozen=True, kw_only=True)
class MessageInput:
    tenant_id: UUID
    message_id: UUID


@dataclass(frozen=True, kw_only=True)
class MessageResult:
    outcome: str


@dataclass(frozen=True, kw_only=True)
class SendMessage:
    tenant_id: UUID
    message_id: UUID
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class SendMessageResult:
    """`outcome`: sent, unknown, held, skipped, failed or retry; `hold_until` with held and retry. A sender that must be
    mended is told once, in `words`: whoever gives its key back in `told` is not told again."""

    outcome: str
    channel: str = ""
    reason: str = ""
    hold_until: datetime | None = None
    told: str = ""
    words: str = ""
