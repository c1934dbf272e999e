"""Templates, campaigns, their steps, their frozen audience and every verdict of the gate."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Float, Index, Integer, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from app.domain.status import CampaignStatus, Channel, Purpose, RecipientState, StopReason
from app.models.base import LedgerRow, TenantRow, flag_field, json_field, reference, text_field, time_field, words


class TemplateChannel(StrEnum):
    """A template renders to every channel; `any` says so, one channel's name marks what it was written for."""

    ANY = "any"
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    SMS = "sms"


class Template(TenantRow, table=True):
    __tablename__ = "templates"
    __table_args__ = (
        Index("ix_templates_tenant_name_lang_channel", "tenant_id", "name", "lang", "channel", unique=True),
    )

    name: str = text_field()
    channel: TemplateChannel = Field(
        default=TemplateChannel.ANY,
        sa_type=words(TemplateChannel, "templates_channel"),
        sa_column_kwargs={"server_default": "any"},
    )
    lang: str = text_field("en")
    category: str = text_field("marketing")
    core_schema_json: dict[str, Any] = json_field()
    is_active: bool = flag_field(True)
    version: int = Field(default=1, nullable=False, sa_type=Integer, sa_column_kwargs={"server_default": text("1")})


class Campaign(TenantRow, table=True):
    """`quiet_hours_json` null takes the tenant's; `{}` means none."""

    __tablename__ = "campaigns"
    __table_args__ = (
        Index("ix_campaigns_tenant_scheduled", "tenant_id", "scheduled_at_utc"),
        Index("ix_campaigns_tenant_created", "tenant_id", "created_at"),
    )

    name: str = text_field()
    primary_channel: Channel = Field(sa_type=words(Channel, "campaigns_channel"))
    fallback_order_json: list[str] = json_field("[]")
    template_id: UUID = reference("templates.id", nullable=False)
    segment_json: dict[str, Any] = json_field()
    variables_json: dict[str, Any] = json_field()
    exit_on_json: list[str] = json_field("[]")
    quiet_hours_json: dict[str, Any] | None = Field(default=None, nullable=True, sa_type=JSONB)
    purpose: Purpose = Field(
        default=Purpose.MARKETING,
        sa_type=words(Purpose, "campaigns_purpose"),
        sa_column_kwargs={"server_default": "marketing"},
    )
    status: CampaignStatus = Field(
        default=CampaignStatus.DRAFT,
        sa_type=words(CampaignStatus, "campaigns_status"),
        sa_column_kwargs={"server_default": "draft"},
    )
    status_detail: str = text_field()
    fallback_after_seconds: float | None = Field(default=None, nullable=True, sa_type=Float)
    scheduled_at_utc: datetime | None = time_field()
    launched_at: datetime | None = time_field()  # the instant every follow-up is reckoned from
    finished_at: datetime | None = time_field()
    paused_at: datetime | None = time_field()
    workflow_started_at: datetime | None = time_field()  # null until the engine knows of the last change of `status`


class CampaignStep(TenantRow, table=True):
    """Step 0 is the launch, 1… the follow-ups. The template is copied at launch, so later edits don't
    change a running campaign."""

    __tablename__ = "campaign_steps"
    __table_args__ = (UniqueConstraint("campaign_id", "position", name="uq_campaign_steps_campaign_position"),)

    campaign_id: UUID = reference("campaigns.id", nullable=False)
    position: int = Field(nullable=False, sa_type=SmallInteger)
    after_days: float = Field(default=0, nullable=False, sa_type=Float, sa_column_kwargs={"server_default": text("0")})
    channel: Channel | None = Field(default=None, nullable=True, sa_type=words(Channel, "campaign_steps_channel"))
    template_id: UUID = reference("templates.id", nullable=False)
    template_name: str = text_field()
    template_lang: str = text_field()
    template_version: int = Field(default=1, nullable=False)
    core_schema_json: dict[str, Any] = json_field()


class CampaignRecipient(LedgerRow, table=True):
    """`step` is the last step decided for this contact; `stopped_at` and `stop_reason` end the sequence for good."""

    __tablename__ = "campaign_recipients"
    __table_args__ = (
        Index("ix_campaign_recipients_campaign_contact", "campaign_id", "contact_id", unique=True),
        Index("ix_campaign_recipients_contact", "contact_id"),
        Index(
            "ix_campaign_recipients_held",
            "campaign_id",
            "hold_until",
            postgresql_where=text("hold_until IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": "50"}},  # each row is updated at once, when it is sent to and when armed
    )

    campaign_id: UUID = reference("", nullable=False)
    contact_id: UUID = reference("", nullable=False)
    state: RecipientState = Field(
        default=RecipientState.PENDING,
        sa_type=words(RecipientState, "campaign_recipients_state"),
        sa_column_kwargs={"server_default": "pending"},
    )
    step: int = Field(default=0, nullable=False, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("0")})
    reason: str = text_field()
    hold_until: datetime | None = time_field()
    stop_reason: StopReason | None = Field(
        default=None,
        nullable=True,
        sa_type=words(StopReason, "campaign_recipients_stop_reason"),
    )
    stopped_at: datetime | None = time_field()
    replied_at: datetime | None = time_field()
    converted_at: datetime | None = time_field()
    armed_at: datetime | None = time_field()
    ended_at: datetime | None = time_field()


class Decision(LedgerRow, table=True):
    """A verdict of the gate, with what it was based on."""

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_contact_created", "contact_id", "created_at"),)

    campaign_id: UUID | None = reference("")
    contact_id: UUID = reference("", nullable=False)
    message_id: UUID | None = reference("")
    step: int = Field(default=0, nullable=False, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("0")})
    channel: Channel = Field(sa_type=words(Channel, "decisions_channel"))
    verdict: str = text_field()
    reason: str = text_field()
    hold_until: datetime | None = time_field()
    inputs_json: dict[str, Any] = json_field()
