"""Conversions."""

from typing import Annotated

from fastapi import APIRouter, Body

from app.routes.deps import CreatedIdDep, SessionsDep, TemporalDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import CREATING
from app.routes.signals import stop_sequences
from app.schemas.conversions import CREATE_EXAMPLE, READ_EXAMPLE, ConversionCreate, ConversionRead
from app.schemas.examples import answer
from app.services import conversions

router = APIRouter(prefix="/v1/conversions", tags=["Conversions"], route_class=Endpoint)


@router.post("", status_code=201, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def record_conversion(
    wanted: Annotated[ConversionCreate, Body(examples=[CREATE_EXAMPLE])],
    tenant: TenantDep,
    id: CreatedIdDep,
    db: SessionsDep,
    temporal: TemporalDep,
) -> ConversionRead:
    """Record a purchase. It is credited to the last campaign message of the 7 days before, and ends the contact's
    follow-ups where the campaign says so. The same order again gets the same answer; with another amount it is a
    conflict."""
    async with db.begin(tenant.id) as session:
        row, stopped = await conversions.record(session, tenant, wanted, id=id)
    await stop_sequences(temporal, stopped)
    return ConversionRead.of(row)
