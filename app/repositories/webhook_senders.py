"""Which channel settings a webhook may be for, across tenants."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.status import Channel
from app.models import ChannelSetting

MOST_SETTINGS = 1_000


async def by_id(session: AsyncSession, channel: Channel, settings_id: UUID) -> ChannelSetting | None:
    return await _first(session, col(ChannelSetting.channel) == channel, col(ChannelSetting.id) == settings_id)


async def by_account(session: AsyncSession, channel: Channel, account: str) -> Sequence[ChannelSetting]:
    """The settings whose provider account, or whose own id, is `account`; each tenant's default one first."""
    named = [col(ChannelSetting.account) == account]
    try:
        named.append(col(ChannelSetting.id) == UUID(account))
    except ValueError:
        pass  # most providers name their own account, which is no id of ours
    return await _all(session, col(ChannelSetting.channel) == channel, or_(*named))


async def of_provider(session: AsyncSession, channel: Channel, provider: str) -> Sequence[ChannelSetting]:
    return await _all(session, col(ChannelSetting.channel) == channel, col(ChannelSetting.provider) == provider)


async def _first(session: AsyncSession, *conditions: ColumnElement[bool]) -> ChannelSetting | None:
    return (await session.execute(select(ChannelSetting).where(*conditions))).scalar_one_or_none()


async def _all(session: AsyncSession, *conditions: ColumnElement[bool]) -> Sequence[ChannelSetting]:
    query = (
        select(ChannelSetting)
        .where(*conditions)
        .order_by(col(ChannelSetting.is_default).desc(), col(ChannelSetting.created_at))
        .limit(MOST_SETTINGS)
    )
    return (await session.execute(query)).scalars().all()
