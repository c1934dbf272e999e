"""Templates at the providers that have to approve them."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from app.models import ProviderTemplate
from app.schemas.base import Reply

STATUS = "The provider's word: APPROVED, PENDING, REJECTED, PAUSED …; only APPROVED is sent."


class Approval(Reply):
    """One language of a template of ours at the provider of the sender in use."""

    lang: str = Field(description="The language of ours whose `whatsapp` names it.")
    name: str
    language: str
    status: str | None = Field(description=f"{STATUS} `null`: the provider was not heard of it.")
    category: str
    reason: str = Field(description="Why it was rejected, paused or disabled.")
    refreshed_at: datetime | None = Field(description="When the provider last said anything of it.")


class ProviderTemplateRead(Reply):
    channel_setting_id: UUID
    name: str
    language: str
    category: str
    status: str = Field(description=STATUS)
    reason: str
    quality: str
    refreshed_at: datetime | None

    @classmethod
    def of(cls, row: ProviderTemplate) -> Self:
        return cls(
            channel_setting_id=row.settings_id,
            name=row.name,
            language=row.language,
            category=row.category,
            status=row.status,
            reason=row.reason,
            quality=row.quality,
            refreshed_at=row.heard_at,
        )


class RefreshProblem(Reply):
    code: str
    detail: str = Field(description="With the provider's own words.")


class RefreshedSetting(Reply):
    channel_setting_id: UUID
    provider: str
    total: int
    error: RefreshProblem | None = Field(description="Why its list could not be read; then the last one stays.")


class TemplatesRefreshed(Reply):
    settings: list[RefreshedSetting]
    counts: dict[str, int] = Field(description="Templates by status, each language for itself.")
    items: list[ProviderTemplateRead]
    total: int


_SETTING = "0199a1b0-0000-7000-8000-000000000001"
_ITEM: dict[str, Any] = {
    "channel_setting_id": _SETTING,
    "name": "welcome",
    "language": "en_US",
    "category": "MARKETING",
    "status": "APPROVED",
    "reason": "",
    "quality": "GREEN",
    "refreshed_at": "2026-05-01T12:00:00Z",
}
REFRESHED_EXAMPLE = {
    "settings": [{"channel_setting_id": _SETTING, "provider": "whatsapp_cloud", "total": 1, "error": None}],
    "counts": {"APPROVED": 1},
    "items": [_ITEM],
    "total": 1,
}
APPROVAL_EXAMPLE = {
    "lang": "en",
    "name": "welcome",
    "language": "en_US",
    "status": "APPROVED",
    "category": "MARKETING",
    "reason": "",
    "refreshed_at": "2026-05-01T12:00:00Z",
}
