"""A tenant's sender on a channel, and the token bucket its workers share."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from app.domain.status import Channel
from app.models.base import TenantRow, flag_field, json_field, text_field, time_field, words


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
    """`id` is the channel setting's. Tokens are leased in batches; after a 429 `blocked_until` slows the
    whole sender."""

    __tablename__ = "rate_buckets"

    tokens: float = Field(default=0, nullable=False, sa_type=Float, sa_column_kwargs={"server_default": text("0")})
    refilled_at: datetime | None = time_field()
    blocked_until: datetime | None = time_field()


class IdempotencyKey(TenantRow, table=True):
    """The answer to a POST that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("tenant_id", "key", name="uq_idempotency_keys_tenant_key"),)

    key: str = text_field()
    request_hash: str = text_field()
    status_code: int | None = Field(default=None, nullable=True)
    content_type: str = text_field()
    body: bytes | None = Field(default=None, nullable=True, sa_type=LargeBinary)
