"""Senders: checked, sealed, one default per channel."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import Feature, HasInboundAddress
from app.channels.registry import adapter_class
from app.domain.pointers import child
from app.domain.status import Channel
from app.errors import AlreadyExists, FieldError, InvalidInput, NotFound
from app.models import ChannelSetting
from app.repositories import channel_settings, sender_troubles
from app.schemas.channel_settings import ChannelSettingCreate, ChannelSettingRead, ChannelSettingUpdate, Limits
from app.secrets import Vault, mask
from app.services.senders import FRESH_SECONDS

SETTINGS_PATH = "/v1/onboarding/channel-settings"


async def create(
    session: AsyncSession, tenant_id: UUID, wanted: ChannelSettingCreate, *, id: UUID, vault: Vault
) -> ChannelSetting:
    """Add a sender. The first of a channel becomes its default.

    Raises InvalidInput that names each credential at fault, and AlreadyExists for a name taken on that channel.
    """
    account = _checked_account(wanted.channel, wanted.provider, wanted.credentials)
    _check_limits(wanted.channel, wanted.provider, wanted.limits)
    await channel_settings.lock_channel(session, tenant_id, wanted.channel)
    if repeated := await channel_settings.get(session, tenant_id, id):
        return repeated
    if await channel_settings.named(session, tenant_id, wanted.channel, wanted.name):
        raise AlreadyExists(
            f"There is already a channel setting {wanted.name!r} for {wanted.channel}: "
            f"choose another name, or change that one with PATCH {SETTINGS_PATH}/{{id}}.",
            errors=[FieldError(pointer="/name", detail="This name is taken on this channel.")],
        )
    first = not await channel_settings.has_default(session, tenant_id, wanted.channel)
    setting = ChannelSetting(
        id=id,
        tenant_id=tenant_id,
        channel=wanted.channel,
        provider=wanted.provider,
        name=wanted.name,
        account=account,
        settings_json={
            "limits": wanted.limits.model_dump(exclude_none=True),
            "credentials": vault.seal(wanted.credentials, tenant_id=tenant_id, row_id=id),
        },
        is_default=wanted.is_default or first,
    )
    session.add(setting)
    await session.flush()
    if setting.is_default:
        await channel_settings.step_back(session, tenant_id, setting.channel, except_id=id)
    await session.refresh(setting)
    return setting


async def update(
    session: AsyncSession, tenant_id: UUID, settings_id: UUID, wanted: ChannelSettingUpdate, *, vault: Vault
) -> ChannelSetting:
    """Change what is given; credentials are merged by name. Raises NotFound, InvalidInput and AlreadyExists."""
    found = await channel_settings.get(session, tenant_id, settings_id)
    if found is None:
        raise NotFound(f"There is no channel setting {settings_id}.")
    await channel_settings.lock_channel(session, tenant_id, found.channel)
    setting = await channel_settings.get(session, tenant_id, settings_id, lock=True)
    assert setting is not None  # settings are never deleted
    values = dict(setting.settings_json)
    if wanted.credentials is not None:
        known = vault.open(values["credentials"], tenant_id=tenant_id, row_id=setting.id)
        merged = {name: value for name, value in {**known, **wanted.credentials}.items() if value}
        setting.account = _checked_account(setting.channel, setting.provider, merged)
        values["credentials"] = vault.seal(merged, tenant_id=tenant_id, row_id=setting.id)
    if wanted.limits is not None:
        _check_limits(setting.channel, setting.provider, wanted.limits)
        values["limits"] = wanted.limits.model_dump(exclude_none=True)
    setting.settings_json = values
    # every process has the change by then; a refused sender that was mended goes on at once
    await sender_troubles.try_in(session, setting.id, timedelta(seconds=FRESH_SECONDS))
    if wanted.name is not None and wanted.name != setting.name:
        if await channel_settings.named(session, tenant_id, setting.channel, wanted.name):
            raise AlreadyExists(f"There is already a channel setting {wanted.name!r} for {setting.channel}.")
        setting.name = wanted.name
    if wanted.is_active is not None:
        setting.is_active = wanted.is_active
    if wanted.is_default is not None:
        if not wanted.is_default and setting.is_default:
            raise InvalidInput.at("/is_default", "Make another setting of this channel the default instead.")
        setting.is_default = wanted.is_default
    await session.flush()
    if wanted.is_default:
        await channel_settings.step_back(session, tenant_id, setting.channel, except_id=setting.id)
    await session.refresh(setting)
    return setting


async def require_senders(session: AsyncSession, tenant_id: UUID, channels: Iterable[tuple[Channel, str]]) -> None:
    """Raises InvalidInput naming each channel (with the pointer that asked for it) that has no active sender."""
    asked = list(channels)
    there = await channel_settings.active_channels(session, tenant_id, {channel for channel, _ in asked})
    errors = [
        FieldError(
            pointer=pointer,
            detail=f"There are no credentials for {channel}: add them with POST {SETTINGS_PATH}, then try again.",
        )
        for channel, pointer in asked
        if channel not in there
    ]
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)


async def require_reports(session: AsyncSession, tenant_id: UUID, order: Sequence[Channel]) -> None:
    """For a fallback in time: raises InvalidInput when the sender of any channel but the last of `order` never reports
    deliveries, because whatever it sends would count as not delivered, or the wait would never end."""
    for channel in order[:-1]:
        settings_id = await channel_settings.sending(session, tenant_id, channel)
        setting = await channel_settings.get(session, tenant_id, settings_id) if settings_id else None
        if setting and Feature.DELIVERY_REPORTS not in adapter_class(channel, setting.provider).features:
            detail = (
                f"The sender of {channel} is of {setting.provider}, which does not report deliveries: put {channel} "
                "last in the order, take another provider, or leave fallback_after_minutes out."
            )
            raise InvalidInput.at("/fallback_after_minutes", detail)


def show(setting: ChannelSetting, *, vault: Vault, public_url: str) -> ChannelSettingRead:
    """The setting as answers show it, its secrets masked."""
    adapter = adapter_class(setting.channel, setting.provider)
    secret = adapter.secret_credentials
    opened = vault.open(setting.settings_json["credentials"], tenant_id=setting.tenant_id, row_id=setting.id)
    webhook_url = f"{public_url}/v1/webhooks/{setting.channel}/{setting.id}"
    inbound = adapter.inbound_url(opened, setting.id, webhook_url) if isinstance(adapter, HasInboundAddress) else None
    return ChannelSettingRead(
        id=setting.id,
        channel=setting.channel,
        provider=setting.provider,
        name=setting.name,
        account=setting.account,
        credentials={name: mask(value) if name in secret else value for name, value in opened.items()},
        limits=Limits(**setting.settings_json.get("limits", {})),
        is_default=setting.is_default,
        is_active=setting.is_active,
        webhook_url=webhook_url,
        inbound_url=inbound,
        created_at=setting.created_at,
        updated_at=setting.updated_at,
    )


def _check_limits(channel: Channel, provider: str, limits: Limits) -> None:
    most = adapter_class(channel, provider).most_per_request
    if (limits.messages_per_request or 1) > most:
        detail = f"{provider} takes {most} messages a request at most." if most > 1 else f"{provider} takes no batches."
        raise InvalidInput.at("/limits/messages_per_request", detail)


def _checked_account(channel: Channel, provider: str, credentials: dict[str, str]) -> str:
    adapter = adapter_class(channel, provider)
    allowed = adapter.required_credentials | adapter.optional_credentials
    errors = [
        FieldError(
            pointer=child("/credentials", name),
            detail=f"{provider} has no credential {name!r}; it takes {', '.join(sorted(allowed))}.",
        )
        for name in credentials
        if name not in allowed
    ]
    for sentence in adapter.check_credentials(credentials):
        name = sentence.split(" ", 1)[0].removeprefix("credentials.")
        errors.append(FieldError(pointer=child("/credentials", name), detail=sentence))
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    return adapter.account_hint(credentials)
