"""From a tenant's channel settings to adapters that can send."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.channels.base import Adapter, AdapterContext, Feature
from app.channels.registry import adapter_class
from app.domain.status import Channel
from app.errors import ProviderMisconfigured
from app.models import ChannelSetting, Tenant
from app.secrets import UnreadableSecret, Vault
from app.settings import REAL_DAY_SECONDS, Settings

# The last repeat has to arrive while the provider still knows the key, by its own clock.
KEY_MARGIN = timedelta(hours=1)
# A new or changed setting is noticed within this time by every process.
FRESH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sender:
    """One channel setting, ready to use. `per_second` None: the provider sets no limit. `batch`: so many messages may
    share a request.

    `recipient_interval`: the least time between two messages to one recipient. `per_day` and `tenant_per_day`: the
    quotas of the sender and of all senders of the tenant together, for a day in `timezone`.
    """

    tenant_id: UUID
    settings_id: UUID
    channel: Channel
    provider: str
    adapter: Adapter
    per_second: float | None
    recipient_interval: timedelta | None = None
    batch: int = 1
    per_day: int | None = None
    tenant_per_day: int | None = None
    timezone: str = "UTC"

    @property
    def takes_media(self) -> bool:
        return Feature.MEDIA in self.adapter.features

    @property
    def repeat_for(self) -> timedelta | None:
        """For how long the same request with the same key is no second message; None where the provider has no keys."""
        lifetime = self.adapter.idempotency_key_lifetime
        return lifetime - KEY_MARGIN if lifetime is not None else None


class Senders:
    """Builds each adapter once and again when its setting changes."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient, vault: Vault) -> None:
        self.settings, self.http, self.vault = settings, http, vault
        self._built: dict[UUID, tuple[datetime, Sender]] = {}
        self._defaults: dict[UUID, tuple[float, dict[Channel, Sender]]] = {}

    async def defaults(self, session: AsyncSession, tenant_id: UUID) -> Mapping[Channel, Sender]:
        """The tenant's sender for each channel that has one: its default setting, else the oldest."""
        known = self.known(tenant_id)
        if known is not None:
            return known
        tenant = await session.get_one(Tenant, tenant_id, populate_existing=True)
        per_day = tenant.settings_json.get("limits", {}).get("messages_per_day")
        rows = await session.scalars(
            select(ChannelSetting)
            .where(col(ChannelSetting.tenant_id) == tenant_id, col(ChannelSetting.is_active).is_(True))
            .order_by(col(ChannelSetting.is_default).desc(), col(ChannelSetting.created_at))
        )
        senders: dict[Channel, Sender] = {}
        for row in rows:
            if row.channel not in senders:
                sender = self.sender(row)
                senders[row.channel] = replace(sender, tenant_per_day=per_day, timezone=tenant.timezone)
        self._defaults[tenant_id] = (monotonic(), senders)
        return senders

    def known(self, tenant_id: UUID) -> Mapping[Channel, Sender] | None:
        """The same without the database, if somebody asked a moment ago."""
        known = self._defaults.get(tenant_id)
        return known[1] if known and monotonic() - known[0] < FRESH_SECONDS else None

    async def all_of(self, session: AsyncSession, tenant_id: UUID, channel: Channel) -> list[Sender]:
        """Every active sender of the tenant on the channel."""
        rows = await session.scalars(
            select(ChannelSetting)
            .where(
                col(ChannelSetting.tenant_id) == tenant_id,
                col(ChannelSetting.channel) == channel,
                col(ChannelSetting.is_active).is_(True),
            )
            .order_by(col(ChannelSetting.is_default).desc(), col(ChannelSetting.created_at))
        )
        return [self.sender(row) for row in rows]

    async def by_id(self, session: AsyncSession, settings_id: UUID) -> Sender | None:
        """The sender of this setting, active or not; None when it isn't the tenant's."""
        row = await session.get(ChannelSetting, settings_id)
        return self.sender(row) if row else None

    def sender(self, setting: ChannelSetting) -> Sender:
        """Raises ProviderMisconfigured when credentials can't be opened or a shortened day would reach real people."""
        known = self._built.get(setting.id)
        if known and known[0] == setting.updated_at:
            return known[1]
        kind = adapter_class(setting.channel, setting.provider)
        if self.settings.day_seconds < REAL_DAY_SECONDS and setting.provider not in self.settings.moved_providers:
            raise ProviderMisconfigured(
                f"RELAY_DAY_SECONDS is shortened, so {setting.provider} may not be reached at its real address: "
                f"set RELAY_{setting.provider.upper()}_BASE_URL, or leave the day at {REAL_DAY_SECONDS} seconds."
            )
        values: dict[str, Any] = setting.settings_json
        adapter = kind(
            self._credentials(setting),
            AdapterContext(
                base_url=self.settings.base_url(setting.provider),
                public_url=self.settings.public_url,
                settings_id=setting.id,
                http=self.http,
                api_version=self.settings.whatsapp_cloud_version if setting.provider == "whatsapp_cloud" else "",
            ),
        )
        limits = values.get("limits", {})
        limit = limits.get("messages_per_second", kind.default_messages_per_second)
        interval = limits.get("seconds_per_recipient")
        sender = Sender(
            tenant_id=setting.tenant_id,
            settings_id=setting.id,
            channel=setting.channel,
            provider=setting.provider,
            adapter=adapter,
            per_second=float(limit) if limit is not None else None,
            recipient_interval=kind.recipient_interval if interval is None else timedelta(seconds=interval) or None,
            per_day=limits.get("messages_per_day"),
            batch=min(limits.get("messages_per_request", 1), kind.most_per_request),
        )
        self._built[setting.id] = (setting.updated_at, sender)
        return sender

    def _credentials(self, setting: ChannelSetting) -> dict[str, str]:
        try:
            return self.vault.open(setting.settings_json["credentials"], tenant_id=setting.tenant_id, row_id=setting.id)
        except UnreadableSecret as error:
            raise ProviderMisconfigured(
                f"The credentials of the channel setting {setting.name!r} can't be opened: {error}."
            ) from None
