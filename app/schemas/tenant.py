"""The tenant's own data and the rules for all its messages."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from app.domain.frequency import LONGEST_DAYS, MOST_CAPS, MOST_MESSAGES
from app.domain.status import Channel
from app.domain.tenant_rules import LONGEST_BOUNCE_DAYS, LONGEST_REPLY, MOST_BOUNCES, TenantRules
from app.models import Tenant
from app.schemas.base import Body, Reply

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class QuietHoursPatch(Body):
    start: str | None = Field(None, examples=["21:00"])
    end: str | None = Field(None, description="Equal to start: none.", examples=["08:00"])
    days: list[str] | None = Field(None, description="Quiet as a whole: mon, tue, wed, thu, fri, sat, sun.")


class FrequencyCapWrite(Body):
    channel: Channel | None = Field(None, description="`null`: over all channels together.")
    messages: int = Field(description=f"1 to {MOST_MESSAGES}.")
    period_days: int | None = Field(None, description=f"1 to {LONGEST_DAYS}; either this or period_hours.")
    period_hours: int | None = None


class SoftBouncesPatch(Body):
    count: int | None = Field(None, description=f"1 to {MOST_BOUNCES}; `null`: 5.")
    days: int | None = Field(None, description=f"1 to {LONGEST_BOUNCE_DAYS}; `null`: 14.")


class KeywordRepliesPatch(Body):
    stop: str | None = Field(None, description=f"At most {LONGEST_REPLY} characters; `null`: no confirmation.")
    start: str | None = Field(None, description="`null`: no confirmation.")
    help: str | None = Field(None, description="`null`: the name of the tenant, and how to stop.")


class TenantUpdate(Body):
    """A JSON merge patch (RFC 7396): what is left out stays, `null` goes back to the default, lists are replaced."""

    name: Text | None = Field(None, description="What `tenant.name` shows.")
    timezone: Text | None = Field(None, description="IANA name; for contacts of whom no other is known, and for days.")
    default_region: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10)] | None = None
    default_lang: Text | None = None
    quiet_hours: QuietHoursPatch | None = Field(
        None, description="`null`: 21:00 to 08:00, or the country's usual ones."
    )
    quiet_hours_by_country: dict[str, QuietHoursPatch | None] | None = Field(
        None, description="By the country of the contact's phone number."
    )
    frequency_caps: list[FrequencyCapWrite] | None = Field(
        None, max_length=MOST_CAPS, description="Of marketing messages to one contact."
    )
    soft_bounces: SoftBouncesPatch | None = None
    keyword_replies: KeywordRepliesPatch | None = None


class TenantRead(Reply):
    id: UUID
    name: str
    slug: str
    timezone: str
    default_region: str
    default_lang: str
    quiet_hours: dict[str, Any] | None = Field(description="`null`: the default; `{}`: none.")
    quiet_hours_by_country: dict[str, dict[str, Any]]
    frequency_caps: list[dict[str, Any]]
    soft_bounces: dict[str, int]
    keyword_replies: dict[str, str]
    messages_per_day: int | None = Field(description="The operator's quota, if there is one.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantRead":
        settings = tenant.settings_json
        bounces = TenantRules.parse(settings).soft_bounces
        return cls(
            **tenant.model_dump(include={"id", "name", "slug", "timezone", "default_region", "default_lang"}),
            quiet_hours=settings.get("quiet_hours"),
            quiet_hours_by_country=settings.get("quiet_hours_by_country", {}),
            frequency_caps=settings.get("frequency_caps", []),
            soft_bounces={"count": bounces.count, "days": bounces.period.days},
            keyword_replies=settings.get("keyword_replies", {}),
            messages_per_day=settings.get("limits", {}).get("messages_per_day"),
            created_at=tenant.created_at,
            updated_at=tenant.updated_at,
        )


UPDATE_EXAMPLE = {
    "quiet_hours": {"start": "20:00", "end": "09:00"},
    "quiet_hours_by_country": {"FR": {"start": "20:00", "end": "08:00", "days": ["sun"]}},
    "frequency_caps": [
        {"messages": 3, "period_days": 7},
        {"channel": "sms", "messages": 1, "period_hours": 24},
    ],
    "keyword_replies": {"stop": "You get no more messages from us. Reply START to come back."},
}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000002",
    "name": "My shop",
    "slug": "my-shop",
    "timezone": "Europe/Lisbon",
    "default_region": "PT",
    "default_lang": "pt",
    **UPDATE_EXAMPLE,
    "soft_bounces": {"count": 5, "days": 14},
    "messages_per_day": None,
    "created_at": "2026-05-01T12:00:00Z",
    "updated_at": "2026-05-01T12:00:00Z",
}
