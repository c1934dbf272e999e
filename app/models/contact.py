"""People: contacts, what they allowed, and the addresses that must not be used."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from app.domain.status import Channel, SuppressionReason
from app.models.base import LedgerRow, TenantRow, json_field, optional_text, reference, text_field, time_field, words


class Contact(LedgerRow, table=True):
    """`phone` is E.164 with +, `email` lower-case. A deleted contact keeps its row, emptied, so that the
    ledger stays whole."""

    __tablename__ = "contacts"
    __table_args__ = (
        Index("ix_contacts_tenant_phone", "tenant_id", "phone", unique=True),
        Index("ix_contacts_tenant_email", "tenant_id", "email"),
        Index("ix_contacts_tenant_id", "tenant_id", "id"),
        Index(
            "ix_contacts_whatsapp_number",
            "tenant_id",
            "whatsapp_number",
            postgresql_where=text("whatsapp_number IS NOT NULL"),
        ),
    )

    phone: str | None = optional_text()
    email: str | None = optional_text()
    first_name: str = text_field()
    last_name: str = text_field()
    lang: str = text_field()
    timezone: str = text_field()
    country: str = text_field()  # ISO 3166-1 alpha-2, from the phone number
    tags_json: list[str] = json_field("[]")
    attributes_json: dict[str, Any] = json_field()
    last_inbound_at: datetime | None = time_field()
    whatsapp_inbound_at: datetime | None = time_field()  # opens WhatsApp's 24 h window
    # what WhatsApp calls this person where it isn't `phone`: in some countries an account has another number of digits
    whatsapp_number: str | None = optional_text()
    whatsapp_limited_until: datetime | None = time_field()  # WhatsApp takes no marketing for this person before
    deleted_at: datetime | None = time_field()
    last_import_id: UUID | None = reference("")  # tells a repeated person of a file from one that was there before


class Consent(LedgerRow, table=True):
    """The latest yes and the latest no of a contact on a channel; every change is also an `events` row (all the yeses
    that an import brings for a contact at once are one). Without a constraint to the contact, which is written with
    it and never deleted: an import would look up each contact it has just written."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_contact_channel", "contact_id", "channel", unique=True),)

    contact_id: UUID = reference("", nullable=False)
    channel: Channel = Field(sa_type=words(Channel, "consents_channel"))
    opt_in_at_utc: datetime | None = time_field()
    opt_out_at_utc: datetime | None = time_field()
    source: str = text_field()
    meta_json: dict[str, Any] = json_field()


class Suppression(LedgerRow, table=True):
    """An address that must not be sent to, until `lifted_at` is set."""

    __tablename__ = "suppressions"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "address", name="uq_suppressions_tenant_channel_address"),
    )

    channel: Channel = Field(sa_type=words(Channel, "suppressions_channel"))
    address: str = text_field()
    reason: SuppressionReason = Field(sa_type=words(SuppressionReason, "suppressions_reason"))
    source: str = text_field()
    lifted_at: datetime | None = time_field()


class LeadScore(TenantRow, table=True):
    __tablename__ = "lead_scores"
    __table_args__ = (Index("ix_lead_scores_contact", "contact_id", unique=True),)

    contact_id: UUID = reference("contacts.id", nullable=False)
    score: float = Field(default=0, nullable=False, sa_column_kwargs={"server_default": text("0")})
    reasons_json: list[dict[str, Any]] = json_field("[]")
