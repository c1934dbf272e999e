"""The tenant of the API key."""

from typing import Annotated

from fastapi import APIRouter, Body

from app.routes.deps import SessionsDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, WITH_BODY
from app.schemas.examples import answer
from app.schemas.tenant import READ_EXAMPLE, UPDATE_EXAMPLE, TenantRead, TenantUpdate
from app.services import tenants

router = APIRouter(prefix="/v1/tenant", tags=["Tenant"], route_class=Endpoint)


@router.get("", responses={**COMMON, **answer(200, READ_EXAMPLE)})
async def get_tenant(tenant: TenantDep, db: SessionsDep) -> TenantRead:
    """The tenant, and its rules for all messages."""
    async with db.begin(tenant.id) as session:
        return TenantRead.of(await tenants.get(session, tenant.id))


@router.patch("", responses={**WITH_BODY, **answer(200, READ_EXAMPLE)})
async def change_tenant(
    wanted: Annotated[TenantUpdate, Body(examples=[UPDATE_EXAMPLE])], tenant: TenantDep, db: SessionsDep
) -> TenantRead:
    """Change what is given. Stricter rules hold at once, also for what waits already; what looser ones would let go
    is asked when its time comes, or the campaign is resumed. Running campaigns may keep the name, time zone and
    language they began with."""
    async with db.begin(tenant.id) as session:
        changed = await tenants.update(session, tenant.id, wanted.model_dump(mode="json", exclude_unset=True))
        return TenantRead.of(changed)
