"""Templates of a tenant."""

from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.status import Channel
from app.models import Template, TemplateChannel


async def get(session: AsyncSession, tenant_id: UUID, template_id: UUID) -> Template | None:
    query = select(Template).where(col(Template.tenant_id) == tenant_id, col(Template.id) == template_id)
    return (await session.execute(query)).scalar_one_or_none()


async def page(
    session: AsyncSession, tenant_id: UUID, *, name: str | None, offset: int, size: int
) -> tuple[list[Template], int]:
    where = [col(Template.tenant_id) == tenant_id]
    if name is not None:
        where.append(col(Template.name) == name)
    query = select(Template).where(*where).order_by(col(Template.name), col(Template.lang), col(Template.id))
    rows = list((await session.execute(query.offset(offset).limit(size))).scalars())
    total = (await session.execute(select(func.count()).select_from(Template).where(*where))).scalar_one()
    return rows, total


async def upsert(session: AsyncSession, values: dict[str, Any]) -> UUID:
    """Insert, or make the next version of the one with this name, language and channel; the same content again stays
    the version it is. Returns the id."""
    statement = insert(Template).values(values)
    new = statement.excluded
    same = (col(Template.core_schema_json) == new.core_schema_json) & (col(Template.category) == new.category)
    statement = statement.on_conflict_do_update(
        index_elements=["tenant_id", "name", "lang", "channel"],
        set_={
            "version": case((same, col(Template.version)), else_=col(Template.version) + 1),
            "core_schema_json": new.core_schema_json,
            "category": new.category,
            "is_active": new.is_active,
        },
    )
    id: UUID = (await session.execute(statement.returning(col(Template.id)))).scalar_one()
    return id


async def find(
    session: AsyncSession, tenant_id: UUID, name: str, channel: Channel, lang: str | None
) -> Template | None:
    """The active template of this name that suits best: written for the channel before one for any, and in `lang`
    before any other language."""
    wanted = TemplateChannel(channel.value)
    key = func.replace(func.lower(col(Template.lang)), "-", "_")
    asked = (lang or "").lower().replace("-", "_")
    fits = case((key == asked, 0), (key == asked.split("_")[0], 1), else_=2)
    query = (
        select(Template)
        .where(
            col(Template.tenant_id) == tenant_id,
            col(Template.name) == name,
            col(Template.is_active),
            col(Template.channel).in_([TemplateChannel.ANY, wanted]),
        )
        .order_by(fits, case((col(Template.channel) == wanted, 0), else_=1), col(Template.id))
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def by_ids(session: AsyncSession, tenant_id: UUID, ids: set[UUID]) -> dict[UUID, Template]:
    query = select(Template).where(col(Template.tenant_id) == tenant_id, col(Template.id).in_(ids))
    return {template.id: template for template in (await session.execute(query)).scalars()}
