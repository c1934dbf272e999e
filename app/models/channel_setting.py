"""A tenant's sender on a channel, how its workers share its limit, and what was used of a day's quota."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Date, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field

from app.domain.status import Channel
from app.models.base import TenantRow, count_field, flag_field, json_field, reference, text_field, time_field, words


class ChannelSetting(TenantRow, table=True):
    """`settings_json` holds limits in clear and the credentials sealed (see app.secrets). `account` is the number or
    account that the provider's webhooks name."""

    __tablename__ = "channel_settings"
    __table_args__ = (
        UniqueConstraint("tenant_id", "channel", "name", name="uq_channel_settings_tenant_channel_name"),
        Index("ix_channel_settings_account", "provider", "account"),
    )

    channel: Channel = Field(sa_type=words(Channel, "channel_settings_channel"))
    provider: str = text_field()
    name: str = text_field()
    account: str = text_field()
    settings_json: dict[str, Any] = json_field()
    is_default: bool = flag_field(False)
    is_active: bool = flag_field(True)


class RateBucket(TenantRow, table=True):
    """`id` is the channel setting's. `shares_json` has how many of the sender's permits each worker holds (see
    app.domain.permits); after a 429 `blocked_until` slows the whole sender."""

    __tablename__ = "rate_buckets"

    shares_json: dict[str, Any] = json_field()
    blocked_until: datetime | None = time_field()


class DailyUsage(TenantRow, table=True):
    """How many messages of a day's quota were claimed. `subject_id` is a tenant or a channel setting; `day` is the
    tenant's own."""

    __tablename__ = "daily_usage"
    __table_args__ = (UniqueConstraint("subject_id", "day", name="uq_daily_usage_subject_day"),)

    subject_id: UUID = reference("", nullable=False)
    day: date = Field(nullable=False, sa_type=Date)
    used: int = count_field()


class SenderTrouble(TenantRow, table=True):
    """`id` is the channel setting's. Its provider refuses the sender itself since `created_at`; at `probe_at` one
    message finds out whether it was mended."""

    __tablename__ = "sender_troubles"

    code: str = text_field()
    detail: str = text_field()
    probe_at: datetime | None = time_field()


class IdempotencyKey(TenantRow, table=True):
    """The answer to a POST that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "key", name="uq_idempotency_keys_tenant_key"),)

    key: str = text_field()
    request_hash: str = text_field()
    status_code: int | None = Field(default=None, nullable=True)
    content_type: str = text_field()
    body: bytes | None = Field(default=None, nullable=True, sa_type=LargeBinary)
