"""Conversations and messages. `messages` is also the outbox: a row is claimed before anything leaves."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, SmallInteger, text
from sqlmodel import Field

from app.domain.status import Channel, Direction, MessageStatus, MessageType, Purpose
from app.models.base import (
    LedgerRow,
    count_field,
    json_field,
    optional_json,
    reference,
    text_field,
    time_field,
    words,
)


class ConversationStatus(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"
    CLOSED = "closed"


class Conversation(LedgerRow, table=True):
    """One per contact, all channels in it; its id is the contact's, so it is found and made without a look-up.
    `last_outbound_at`: when a provider last accepted a message to the contact.

    `pair_free_at`: the next message over a sender with a limit per recipient may not be claimed before."""

    __tablename__ = "conversations"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)  # room for the update that follows each send

    contact_id: UUID = reference("", nullable=False)
    status: ConversationStatus = Field(
        default=ConversationStatus.ACTIVE,
        sa_type=words(ConversationStatus, "conversations_status"),
        sa_column_kwargs={"server_default": "active"},
    )
    unread_count: int = count_field()
    last_message_at: datetime | None = time_field()
    last_outbound_at: datetime | None = time_field()
    pair_free_at: datetime | None = time_field()


class Message(LedgerRow, table=True):
    """`unresolved_since` is set while a row is `sending`, or `unknown` with somebody still to find out, and then until
    whoever has to act on that was told. It alone carries the index that finds rows a crash left behind, so that
    delivery receipts stay cheap updates.

    `frozen_json` is what a provider with idempotency keys was handed, whole, until its answer is written down; until
    `repeat_until` the very same may be handed to it again, whatever became of the first request.

    What is not delivered at `fallback_at` is superseded: the next channel is tried, whatever comes of it later."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_conversation_created", "conversation_id", "created_at"),
        Index("ix_messages_campaign_contact", "campaign_id", "contact_id"),
        Index("ix_messages_provider_id", "provider_message_id", postgresql_where=text("provider_message_id <> ''")),
        Index("ix_messages_unresolved", "unresolved_since", postgresql_where=text("unresolved_since IS NOT NULL")),
        Index("ix_messages_fallback", "fallback_at", postgresql_where=text("fallback_at IS NOT NULL")),
        Index(
            "ix_messages_unstarted",
            "created_at",
            postgresql_where=text("campaign_id IS NULL AND direction = 'out' AND workflow_started_at IS NULL"),
        ),
        Index("ix_messages_tenant_created", "tenant_id", "created_at"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    conversation_id: UUID = reference("", nullable=False)
    contact_id: UUID = reference("", nullable=False)
    campaign_id: UUID | None = reference("")
    step: int = Field(default=0, nullable=False, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("0")})
    channel: Channel = Field(sa_type=words(Channel, "messages_channel"))
    direction: Direction = Field(sa_type=words(Direction, "messages_direction"))
    type: MessageType = Field(sa_type=words(MessageType, "messages_type"))
    purpose: Purpose = Field(
        default=Purpose.MARKETING,
        sa_type=words(Purpose, "messages_purpose"),
        sa_column_kwargs={"server_default": "marketing"},
    )
    template_id: UUID | None = reference("")
    template_name: str = text_field()
    lang: str = text_field()
    address: str = text_field()
    payload_json: dict[str, Any] = json_field()
    frozen_json: dict[str, Any] | None = optional_json()
    repeat_until: datetime | None = time_field()
    status: MessageStatus = Field(sa_type=words(MessageStatus, "messages_status"))
    settings_id: UUID | None = reference("")
    provider: str = text_field()
    provider_message_id: str = text_field()
    error_code: str = text_field()
    error_detail: str = text_field()
    fallback_of: UUID | None = reference("")
    claim_token: UUID | None = reference("")
    attempts: int = Field(default=0, nullable=False, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    next_attempt_at: datetime | None = time_field()
    unresolved_since: datetime | None = time_field()
    fallback_at: datetime | None = time_field()
    superseded_at: datetime | None = time_field()
    sent_at: datetime | None = time_field()
    delivered_at: datetime | None = time_field()
    read_at: datetime | None = time_field()
    failed_at: datetime | None = time_field()
    clicked_at: datetime | None = time_field()
    soft_bounced_at: datetime | None = time_field()  # given up by the provider, for a reason that may pass
    replied_at: datetime | None = time_field()
    workflow_started_at: datetime | None = time_field()  # for single sends: null until the engine has it
    meta_json: dict[str, Any] | None = json_field()


class ShortLink(LedgerRow, table=True):
    """`url` is the address whole, or `/u/…` for our own way to unsubscribe. `clicked_at`: the last click."""

    __tablename__ = "short_links"
    __table_args__ = (Index("ix_short_links_code", "code", unique=True),)

    code: str = text_field()
    url: str = text_field()
    message_id: UUID = reference("", nullable=False)
    clicks: int = count_field()
    clicked_at: datetime | None = time_field()
