"""The senders of a tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body

from app.repositories import channel_settings as rows
from app.routes.deps import CreatedIdDep, OwnerDep, PagingDep, ResourcesDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, CREATING, WITH_BODY, documented
from app.schemas.base import Page
from app.schemas.channel_settings import (
    CREATE_EXAMPLE,
    READ_EXAMPLE,
    ChannelSettingCreate,
    ChannelSettingRead,
    ChannelSettingUpdate,
)
from app.schemas.examples import answer, listed
from app.services import channel_settings

router = APIRouter(prefix="/v1/onboarding/channel-settings", tags=["Channel settings"], route_class=Endpoint)


@router.post("", status_code=201, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def add_channel_setting(
    wanted: Annotated[ChannelSettingCreate, Body(examples=[CREATE_EXAMPLE])],
    owner: OwnerDep,
    id: CreatedIdDep,
    relay: ResourcesDep,
) -> ChannelSettingRead:
    """Add the credentials of a sender. They are stored encrypted and never shown again; set `webhook_url` at the
    provider. Needs the role owner."""
    async with relay.sessions.begin(owner.tenant.id) as session:
        setting = await channel_settings.create(session, owner.tenant.id, wanted, id=id, vault=relay.vault)
    return channel_settings.show(setting, vault=relay.vault, public_url=relay.settings.public_url)


@router.get("", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_channel_settings(tenant: TenantDep, paging: PagingDep, relay: ResourcesDep) -> Page[ChannelSettingRead]:
    """Every sender, its secrets masked."""
    async with relay.sessions.begin(tenant.id) as session:
        found, total = await rows.page(session, tenant.id, offset=paging.offset, size=paging.size)
    items = [channel_settings.show(row, vault=relay.vault, public_url=relay.settings.public_url) for row in found]
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@router.patch("/{settings_id}", responses={**WITH_BODY, **documented(404, 409), **answer(200, READ_EXAMPLE)})
async def change_channel_setting(
    settings_id: UUID,
    wanted: Annotated[
        ChannelSettingUpdate, Body(examples=[{"credentials": {"auth_token": "fedcba9876543210fedcba9876543210"}}])
    ],
    owner: OwnerDep,
    relay: ResourcesDep,
) -> ChannelSettingRead:
    """Rotate credentials, rename, limit, switch off or make the default. What isn't given stays. Messages use the
    change within five seconds. Needs the role owner."""
    async with relay.sessions.begin(owner.tenant.id) as session:
        setting = await channel_settings.update(session, owner.tenant.id, settings_id, wanted, vault=relay.vault)
    return channel_settings.show(setting, vault=relay.vault, public_url=relay.settings.public_url)
