"""Single messages and conversations."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from app.domain.status import Channel, Direction, MessageStatus, MessageType, Purpose
from app.models import ConversationStatus, Message
from app.schemas.base import Body, Reply
from app.schemas.templates import Lang

Words = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
FallbackAfter = Annotated[
    float | None,
    Field(
        gt=0,
        le=10_080,
        description="The next channel is tried, too, for a message not delivered so many minutes after it left.",
    ),
]
NOT_SHOWN = frozenset({"core_schema", "html", "headers"})


class MessageSend(Body):
    """Give exactly one of contact_id, phone and email; an unknown address makes a new contact."""

    contact_id: UUID | None = None
    phone: Annotated[str, Field(max_length=50)] | None = None
    email: Annotated[str, Field(max_length=320)] | None = None
    channel: Channel
    type: MessageType = Field(MessageType.TEXT, description="Media and audio need `content`; location too.")
    text: Words | None = None
    subject: Annotated[str, Field(max_length=500)] | None = Field(None, description="E-mail only, with `text`.")
    template_name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    lang: Lang | None = Field(None, description="Absent takes the contact's.")
    variables: dict[str, Any] = Field(default_factory=dict)
    content: dict[str, Any] | None = Field(
        None,
        description="WhatsApp media and audio `{kind, link|id, caption?, filename?}`, WhatsApp location "
        "`{latitude, longitude, name?, address?}`, SMS media `{body?, media_urls[]}`. Beside `text` on WhatsApp, what "
        "can be pressed: one of `buttons [{id, title}]`, `list {button, sections [{title?, rows [{id, title, "
        "description?}]}]}` and `cta_url {title, url}`, with `header?` and `footer?`.",
    )
    short_links: bool = Field(
        False, description="SMS text: its links become short ones, whose clicks are counted. A template says it itself."
    )
    meta: dict[str, Any] = Field(default_factory=dict, description="Kept with the message and answered with it.")
    purpose: Purpose = Purpose.TRANSACTIONAL
    fallback_order: list[Channel] = Field(default_factory=list, max_length=2, description="Tried next when this fails.")
    fallback_after_minutes: FallbackAfter = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        needs = {MessageType.TEXT: "text", MessageType.TEMPLATE: "template_name"}.get(self.type, "content")
        for name in ("text", "template_name", "content"):
            if name == "content" and needs == "text":
                continue  # what can be pressed
            if (getattr(self, name) is not None) != (name == needs):
                raise ValueError(
                    f"a message of type {self.type} needs {needs}, and only that of text, template_name, content"
                )
        return self


class MessageQueued(Reply):
    message_id: UUID
    status: MessageStatus
    workflow_id: str


class MessageRead(Reply):
    id: UUID
    contact_id: UUID
    campaign_id: UUID | None
    step: int
    channel: Channel
    direction: Direction
    type: MessageType
    purpose: Purpose
    template_name: str
    lang: str
    address: str
    text: str = Field(description="The words, where there are any.")
    payload: dict[str, Any]
    status: MessageStatus
    provider: str
    provider_message_id: str
    error_code: str
    error_detail: str
    fallback_of: UUID | None
    superseded_at: datetime | None = Field(description="It was not delivered in time: the next channel had its turn.")
    meta: dict[str, Any]
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    replied_at: datetime | None
    failed_at: datetime | None

    @classmethod
    def of(cls, message: Message) -> Self:
        payload = {name: value for name, value in message.payload_json.items() if name not in NOT_SHOWN}
        words = payload.get("text") or payload.get("body") or ""
        return cls.model_validate(
            {
                **message.model_dump(exclude={"payload_json", "meta_json"}),
                "payload": payload,
                "text": words if isinstance(words, str) else "",
                "meta": message.meta_json or {},
            }
        )


class MessageDecision(Reply):
    at: datetime
    channel: Channel
    verdict: str
    reason: str
    hold_until: datetime | None
    inputs: dict[str, Any]


class MessageDetail(MessageRead):
    decisions: list[MessageDecision] = Field(description="The gate's verdicts, in the order of time.")
    fallbacks: list[MessageRead] = Field(description="The messages that went out instead, on other channels.")
    workflow_id: str
    workflow_url: str


class ConversationRead(Reply):
    contact_id: UUID
    status: ConversationStatus
    unread_count: int
    last_message_at: datetime | None
    items: list[MessageRead] = Field(description="The newest is last.")
    total: int


_ID = "0199a1b0-0000-7000-8000-00000000000"
SEND_EXAMPLES: list[Any] = [
    {
        "phone": "+351912345678",
        "channel": "sms",
        "type": "template",
        "template_name": "welcome",
        "lang": "pt",
        "variables": {"code": "482913"},
        "fallback_order": ["email"],
        "meta": {"order": "A-17"},
    },
    {"contact_id": f"{_ID}3", "channel": "whatsapp", "type": "text", "text": "Your table is ready."},
]
QUEUED_EXAMPLE = {"message_id": f"{_ID}5", "status": "queued", "workflow_id": f"msg/{_ID}9/{_ID}5"}
READ_EXAMPLE = {
    "id": f"{_ID}5",
    "contact_id": f"{_ID}3",
    "campaign_id": None,
    "step": 0,
    "channel": "whatsapp",
    "direction": "out",
    "type": "text",
    "purpose": "transactional",
    "template_name": "",
    "lang": "",
    "address": "+351912345678",
    "text": "Your table is ready.",
    "payload": {"text": "Your table is ready."},
    "status": "delivered",
    "provider": "whatsapp_cloud",
    "provider_message_id": "wamid.HBgM",
    "error_code": "",
    "error_detail": "",
    "fallback_of": None,
    "superseded_at": None,
    "meta": {},
    "created_at": "2026-05-01T12:00:00Z",
    "sent_at": "2026-05-01T12:00:00Z",
    "delivered_at": "2026-05-01T12:00:02Z",
    "read_at": None,
    "clicked_at": None,
    "replied_at": None,
    "failed_at": None,
}
DETAIL_EXAMPLE = {
    **READ_EXAMPLE,
    "decisions": [
        {
            "at": "2026-05-01T12:00:00Z",
            "channel": "whatsapp",
            "verdict": "send",
            "reason": "allowed",
            "hold_until": None,
            "inputs": {"purpose": "transactional"},
        }
    ],
    "fallbacks": [],
    "workflow_id": QUEUED_EXAMPLE["workflow_id"],
    "workflow_url": f"http://127.0.0.1:8233/namespaces/relay/workflows/msg%2F{_ID}9%2F{_ID}5",
}
CONVERSATION_EXAMPLE = {
    "contact_id": f"{_ID}3",
    "status": "active",
    "unread_count": 0,
    "last_message_at": "2026-05-01T12:00:00Z",
    "items": [READ_EXAMPLE],
    "total": 1,
}
