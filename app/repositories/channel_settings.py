"""Channel settings of a tenant."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.status import Channel
from app.models import ChannelSetting


async def get(
    session: AsyncSession, tenant_id: UUID, settings_id: UUID, *, lock: bool = False
) -> ChannelSetting | None:
    query = select(ChannelSetting).where(
        col(ChannelSetting.tenant_id) == tenant_id, col(ChannelSetting.id) == settings_id
    )
    return (await session.execute(query.with_for_update() if lock else query)).scalar_one_or_none()


async def named(session: AsyncSession, tenant_id: UUID, channel: Channel, name: str) -> ChannelSetting | None:
    query = select(ChannelSetting).where(
        col(ChannelSetting.tenant_id) == tenant_id,
        col(ChannelSetting.channel) == channel,
        col(ChannelSetting.name) == name,
    )
    return (await session.execute(query)).scalar_one_or_none()


async def page(session: AsyncSession, tenant_id: UUID, *, offset: int, size: int) -> tuple[list[ChannelSetting], int]:
    mine = col(ChannelSetting.tenant_id) == tenant_id
    query = (
        select(ChannelSetting)
        .where(mine)
        .order_by(col(ChannelSetting.channel), col(ChannelSetting.id))
        .offset(offset)
        .limit(size)
    )
    rows = list((await session.execute(query)).scalars())
    total = (await session.execute(select(func.count()).select_from(ChannelSetting).where(mine))).scalar_one()
    return rows, total


async def lock_channel(session: AsyncSession, tenant_id: UUID, channel: Channel) -> None:
    """Until the end of the transaction nobody else changes this tenant's settings of this channel."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"channel_settings/{tenant_id}/{channel}"},
    )


async def sending(session: AsyncSession, tenant_id: UUID, channel: Channel) -> UUID | None:
    """The setting that sends on the channel: the default one, else the oldest."""
    query = (
        select(col(ChannelSetting.id))
        .where(
            col(ChannelSetting.tenant_id) == tenant_id,
            col(ChannelSetting.channel) == channel,
            col(ChannelSetting.is_active),
        )
        .order_by(col(ChannelSetting.is_default).desc(), col(ChannelSetting.created_at))
    )
    return (await session.execute(query.limit(1))).scalar_one_or_none()


async def has_default(session: AsyncSession, tenant_id: UUID, channel: Channel) -> bool:
    query = select(col(ChannelSetting.id)).where(
        col(ChannelSetting.tenant_id) == tenant_id,
        col(ChannelSetting.channel) == channel,
        col(ChannelSetting.is_default),
    )
    return (await session.execute(query.limit(1))).first() is not None


async def step_back(session: AsyncSession, tenant_id: UUID, channel: Channel, *, except_id: UUID) -> None:
    """No other setting of the channel is the default any more."""
    await session.execute(
        update(ChannelSetting)
        .where(
            col(ChannelSetting.tenant_id) == tenant_id,
            col(ChannelSetting.channel) == channel,
            col(ChannelSetting.id) != except_id,
            col(ChannelSetting.is_default),
        )
        .values(is_default=False)
    )


async def active_channels(session: AsyncSession, tenant_id: UUID, channels: Iterable[Channel]) -> set[Channel]:
    """Those of `channels` that have an active setting."""
    query = (
        select(col(ChannelSetting.channel))
        .where(
            col(ChannelSetting.tenant_id) == tenant_id,
            col(ChannelSetting.is_active),
            col(ChannelSetting.channel).in_(list(channels)),
        )
        .distinct()
    )
    return set((await session.execute(query)).scalars())
