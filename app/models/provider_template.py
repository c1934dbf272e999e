"""What providers approved of the templates that a tenant keeps with them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint

from app.models.base import TenantRow, optional_json, reference, text_field, time_field


class ProviderTemplate(TenantRow, table=True):
    """One language of a template at the provider of a channel setting, in the provider's words.

    `account` owns the template, and several settings may share it. `refreshed_at` is when the provider's list was read,
    `reported_at` when a webhook last said something newer; `components_json` null: never shown.
    """

    __tablename__ = "provider_templates"
    __table_args__ = (
        UniqueConstraint("settings_id", "name", "language", name="uq_provider_templates_settings_name_language"),
        Index("ix_provider_templates_tenant_name", "tenant_id", "name", "language"),
    )

    settings_id: UUID = reference("channel_settings.id", nullable=False)
    account: str = text_field()
    provider_id: str = text_field()
    name: str = text_field()
    language: str = text_field()
    category: str = text_field()
    status: str = text_field()
    reason: str = text_field()
    quality: str = text_field()
    components_json: list[dict[str, Any]] | None = optional_json()
    refreshed_at: datetime | None = time_field()
    reported_at: datetime | None = time_field()

    @property
    def heard_at(self) -> datetime | None:
        """When the provider last said anything of it."""
        return max((at for at in (self.refreshed_at, self.reported_at) if at is not None), default=None)
