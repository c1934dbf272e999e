"""Channel settings: a tenant's sender on a channel."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints, field_validator
from pydantic.alias_generators import to_snake

from app.channels.registry import ADAPTERS
from app.domain.status import Channel
from app.schemas.base import Body, Reply

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Credential = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)]
Credentials = Annotated[dict[str, Credential], Field(max_length=30)]


class Limits(Body):
    messages_per_second: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="At most this many messages in any second; absent takes the provider's usual limit.",
    )
    messages_per_day: int | None = Field(
        None, ge=0, le=1_000_000_000, description="At most this many messages a day of the tenant's time zone."
    )
    seconds_per_recipient: float | None = Field(
        None,
        ge=0,
        le=86_400,
        description="The least time between two messages to one recipient; absent takes the provider's, 0 is none.",
    )
    messages_per_request: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="So many messages of a campaign's launch share one request, where the provider takes batches; "
        "absent is 1. After a crash a whole batch may be unknown, not one message.",
    )


class _Given(Body):
    @field_validator("credentials", mode="before", check_fields=False)
    @classmethod
    def _in_snake_case(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {to_snake(name): item for name, item in value.items()}
        port = given.get("port")
        return given | {"port": str(port)} if isinstance(port, int) and not isinstance(port, bool) else given


class ChannelSettingCreate(_Given):
    channel: Channel
    provider: str = Field(
        max_length=50, description=f"One of those of the channel: {', '.join(provider for _, provider in ADAPTERS)}."
    )
    name: Name = "default"
    credentials: Credentials = Field(description="Stored encrypted; see `docs/credentials.md` for each provider's.")
    limits: Limits = Field(default_factory=Limits)
    is_default: bool = Field(False, description="Use it for this channel. The first one of a channel always is.")


class ChannelSettingUpdate(_Given):
    """Credentials given replace those of the same name; the others stay."""

    name: Name | None = None
    credentials: Credentials | None = None
    limits: Limits | None = None
    is_default: bool | None = Field(None, description="True makes it the one used; the former one steps back.")
    is_active: bool | None = None


class ChannelSettingRead(Reply):
    id: UUID
    channel: Channel
    provider: str
    name: str
    account: str = Field(description="The number or account that the provider's webhooks name.")
    credentials: dict[str, str] = Field(description="Secrets are masked.")
    limits: Limits
    is_default: bool
    is_active: bool
    webhook_url: str = Field(description="Set this address at the provider.")
    inbound_url: str | None = Field(
        None,
        description="Set this one for what people write, where the provider wants another address; keep it secret.",
    )
    created_at: datetime
    updated_at: datetime


CREATE_EXAMPLE = {
    "channel": "sms",
    "provider": "twilio",
    "name": "main number",
    "credentials": {
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": "0123456789abcdef0123456789abcdef",
        "from_number": "+351910000000",
    },
    "limits": {"messages_per_second": 10, "messages_per_day": 5000},
    "is_default": True,
}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000001",
    "channel": "sms",
    "provider": "twilio",
    "name": "main number",
    "account": "AC0123456789abcdef0123456789abcdef",
    "credentials": {
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": "…cdef",
        "from_number": "+351910000000",
    },
    "limits": {
        "messages_per_second": 10.0,
        "messages_per_day": 5000,
        "seconds_per_recipient": None,
        "messages_per_request": None,
    },
    "is_default": True,
    "is_active": True,
    "webhook_url": "https://relay.example.com/v1/webhooks/sms/0199a1b0-0000-7000-8000-000000000001",
    "inbound_url": None,
    "created_at": "2026-05-01T12:00:00Z",
    "updated_at": "2026-05-01T12:00:00Z",
}
