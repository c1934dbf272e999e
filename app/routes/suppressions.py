"""The suppression list: addresses that nobody writes to, whatever a campaign says."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import Response

from app.domain.contact_file.types import FileKind
from app.domain.status import Channel
from app.models import Suppression
from app.repositories import suppressions as rows
from app.routes.deps import CreatedIdDep, PagingDep, SessionsDep, SettingsDep, TemporalDep, TenantDep
from app.routes.endpoint import Endpoint, check_query
from app.routes.imports import BODY, take_file
from app.routes.problems import COMMON, CREATING, documented
from app.schemas.base import Page
from app.schemas.examples import answer, listed
from app.schemas.imports import ACCEPTED_EXAMPLE, ImportAccepted
from app.schemas.suppressions import (
    CREATE_EXAMPLE,
    CSV_EXAMPLE,
    JSON_EXAMPLE,
    READ_EXAMPLE,
    SuppressionCreate,
    SuppressionRead,
)
from app.services import suppressions

# the import takes files, and so is no Endpoint, which reads bodies into memory
router = APIRouter(tags=["Suppressions"])
one = APIRouter(prefix="/v1/suppressions", route_class=Endpoint)

_CONTENT = BODY["requestBody"]["content"]
FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_CONTENT,
            "text/csv": {**_CONTENT["text/csv"], "example": CSV_EXAMPLE},
            "application/json": {**_CONTENT["application/json"], "example": JSON_EXAMPLE},
        },
    }
}


@router.post(
    "/v1/suppressions/import",
    status_code=202,
    response_model=ImportAccepted,
    responses={**CREATING, **answer(202, ACCEPTED_EXAMPLE)},
    openapi_extra=FILE,
)
async def import_suppressions(
    request: Request,
    tenant: TenantDep,
    id: CreatedIdDep,
    db: SessionsDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    default_channel: Annotated[str, Query(description="whatsapp, email or sms: of rows that name none.")] = "",
    default_reason: Annotated[
        str,
        Query(description="stop, unsubscribe, bounce, complaint, invalid or manual: of rows whose reason is no word."),
    ] = "",
    default_region: Annotated[
        str, Query(description="Two letters such as PT: the country of numbers without one.")
    ] = "",
) -> Response:
    """Import a suppression list from CSV or a JSON array: `channel`, `address` (or `email`, `phone`), `reason`,
    `source`. The lists that providers export are understood as they are, with `default_channel` and `default_reason`.

    From the moment a row is in, nothing more leaves to its address, queued follow-ups included. The import is followed
    like one of contacts, at `/v1/contacts/imports/{import_id}`.
    """
    check_query(request)
    return await take_file(request, tenant, id, db, temporal, settings, FileKind.SUPPRESSIONS)


@one.get("", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_suppressions(
    tenant: TenantDep,
    paging: PagingDep,
    db: SessionsDep,
    channel: Channel | None = None,
    search: Annotated[str, Query(max_length=320, description="The beginning of an address.")] = "",
) -> Page[SuppressionRead]:
    """The addresses in force, newest first."""
    async with db.begin(tenant.id) as session:
        found, total = await rows.page(
            session, tenant.id, channel=channel, search=search, offset=paging.offset, size=paging.size
        )
    items = [SuppressionRead.model_validate(row) for row in found]
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@one.post("", status_code=201, response_model=SuppressionRead, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def create_suppression(
    wanted: Annotated[SuppressionCreate, Body(examples=[CREATE_EXAMPLE])], tenant: TenantDep, db: SessionsDep
) -> Suppression:
    """Never write to this address again, whether or not it is a contact's. In force before this answers."""
    async with db.begin(tenant.id) as session:
        return await suppressions.create(session, tenant, wanted)


@one.delete("/{suppression_id}", status_code=204, responses={**COMMON, **documented(404, 409)})
async def lift_suppression(
    suppression_id: UUID,
    tenant: TenantDep,
    db: SessionsDep,
    force: Annotated[bool, Query(description="Needed for a bounce, a complaint or a STOP.")] = False,
) -> None:
    """Let the address be used again. Consents stay as they are: marketing needs an opt-in after the last opt-out."""
    async with db.begin(tenant.id) as session:
        await suppressions.lift(session, tenant.id, suppression_id, force=force)


router.include_router(one)
