"""Analytics."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.routes.deps import SessionsDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON
from app.schemas.analytics import OVERVIEW_EXAMPLE, OverviewRead
from app.schemas.base import UtcTime
from app.schemas.examples import answer
from app.services import analytics

router = APIRouter(prefix="/v1/analytics", tags=["Analytics"], route_class=Endpoint)


@router.get("/overview", responses={**COMMON, **answer(200, OVERVIEW_EXAMPLE)})
async def get_overview(
    tenant: TenantDep,
    db: SessionsDep,
    start: Annotated[UtcTime | None, Query(alias="from", description="A date or time, included.")] = None,
    stop: Annotated[UtcTime | None, Query(alias="to", description="A date or time, not included.")] = None,
) -> OverviewRead:
    """What was sent and what came of it, in all and per channel; without bounds the last 30 days, at most 400."""
    async with db.begin(tenant.id) as session:
        return await analytics.overview(session, tenant.id, start, stop)
