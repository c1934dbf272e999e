"""What happened: provider webhooks as they came, our own events, conversions and the audit log."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, Integer, Numeric, UniqueConstraint, text
from sqlmodel import Field

from app.domain.status import Channel
from app.models.base import LedgerRow, TenantRow, json_field, reference, text_field, time_field, words


class EventSource(StrEnum):
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    SMS = "sms"
    SHOP = "shop"
    CRM = "crm"


class WebhookEvent(LedgerRow, table=True):
    """One report of a provider. Its id is made from the provider's own ids, so a redelivery changes nothing.
    `processed_at` is set once the report is projected and signalled."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        Index("ix_webhook_events_pending", "next_attempt_at", postgresql_where=text("processed_at IS NULL")),
        Index("ix_webhook_events_tenant_created", "tenant_id", "created_at"),
    )

    settings_id: UUID = reference("", nullable=False)
    channel: Channel = Field(sa_type=words(Channel, "webhook_events_channel"))
    provider: str = text_field()
    kind: str = text_field()
    event_json: dict[str, Any] = json_field()
    payload_json: dict[str, Any] = json_field()
    occurred_at: datetime | None = time_field()
    processed_at: datetime | None = time_field()
    next_attempt_at: datetime = Field(
        nullable=False, sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": text("now()")}
    )
    attempts: int = Field(default=0, nullable=False, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    error: str = text_field()


class Event(LedgerRow, table=True):
    """A fact about a contact, in our own words."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_tenant_created", "tenant_id", "created_at"),
        Index("ix_events_contact_created", "contact_id", "created_at"),
    )

    source: EventSource = Field(sa_type=words(EventSource, "events_source"))
    kind: str = text_field()
    contact_id: UUID | None = reference("")
    campaign_id: UUID | None = reference("")
    message_id: UUID | None = reference("")
    occurred_at: datetime | None = time_field()
    payload_json: dict[str, Any] = json_field()


class Conversion(TenantRow, table=True):
    __tablename__ = "conversions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "order_id", name="uq_conversions_tenant_order"),
        Index("ix_conversions_contact", "contact_id"),
        Index("ix_conversions_tenant_revenue", "tenant_id", "revenue_at_utc"),
    )

    contact_id: UUID = reference("", nullable=False)
    campaign_id: UUID | None = reference("")
    message_id: UUID | None = reference("")
    amount: Decimal = Field(nullable=False, sa_type=Numeric(18, 4))
    currency: str = text_field()
    order_id: str = text_field()
    revenue_at_utc: datetime | None = time_field()


class AuditLog(TenantRow, table=True):
    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_tenant_created", "tenant_id", "created_at"),)

    actor: str = text_field()
    action: str = text_field()
    target: str = text_field()
    ip: str = text_field()
    before_json: dict[str, Any] = json_field()
    after_json: dict[str, Any] = json_field()
