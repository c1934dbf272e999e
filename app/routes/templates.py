"""Templates."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse

from app.repositories import templates as rows
from app.routes.deps import CreatedIdDep, PagingDep, ResourcesDep, SessionsDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, CREATING, WITH_BODY, documented
from app.schemas.approvals import REFRESHED_EXAMPLE, TemplatesRefreshed
from app.schemas.base import Page
from app.schemas.core_schema import CORE_SCHEMA
from app.schemas.examples import answer, listed
from app.schemas.templates import (
    CREATE_EXAMPLE,
    PREVIEW_EXAMPLE,
    PREVIEW_READ_EXAMPLE,
    READ_EXAMPLE,
    TemplateCreate,
    TemplatePreview,
    TemplatePreviewRead,
    TemplateRead,
)
from app.services import approval_reports, templates

SCHEMA_EXAMPLE = {key: CORE_SCHEMA[key] for key in ("$schema", "$id", "title", "required")}


class SchemaResponse(JSONResponse):
    media_type = "application/schema+json"


router = APIRouter(prefix="/v1/templates", tags=["Templates"], route_class=Endpoint)


@router.post("", status_code=201, responses={**CREATING, **answer(201, READ_EXAMPLE)})
async def create_template(
    wanted: Annotated[TemplateCreate, Body(examples=[CREATE_EXAMPLE])],
    tenant: TenantDep,
    id: CreatedIdDep,
    db: SessionsDep,
) -> TemplateRead:
    """Add a template. The same name, language and channel again makes its next version; campaigns already launched keep
    the version they were launched with."""
    async with db.begin(tenant.id) as session:
        made = await templates.create(session, tenant.id, wanted, id=id)
        return (await approval_reports.show(session, tenant.id, [made]))[0]


@router.get("/schema", response_class=SchemaResponse, responses={**COMMON, **answer(200, SCHEMA_EXAMPLE)})
async def get_core_schema(tenant: TenantDep) -> SchemaResponse:
    """The JSON Schema (2020-12) of `core_schema`, for editors and tests. It describes the shape; Liquid and MJML are
    checked when a template is created."""
    return SchemaResponse(CORE_SCHEMA)


@router.post("/refresh", responses={**COMMON, **documented(502), **answer(200, REFRESHED_EXAMPLE)})
async def refresh_templates(tenant: TenantDep, relay: ResourcesDep) -> TemplatesRefreshed:
    """Read the list of every provider that approves templates anew. Between two of these, the provider's webhooks keep
    it up to date."""
    return approval_reports.refreshed(await relay.approvals.refresh(tenant.id))


@router.get("", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_templates(
    tenant: TenantDep,
    paging: PagingDep,
    db: SessionsDep,
    name: Annotated[str | None, Query(max_length=120, description="Only templates of exactly this name.")] = None,
) -> Page[TemplateRead]:
    """Templates by name, each in its newest version, and how far their WhatsApp templates are approved."""
    async with db.begin(tenant.id) as session:
        found, total = await rows.page(session, tenant.id, name=name, offset=paging.offset, size=paging.size)
        items = await approval_reports.show(session, tenant.id, found)
    return Page(items=items, total=total, page=paging.page, size=paging.size)


@router.get("/{template_id}", responses={**COMMON, **documented(404), **answer(200, READ_EXAMPLE)})
async def get_template(template_id: UUID, tenant: TenantDep, db: SessionsDep) -> TemplateRead:
    """One template, in its newest version."""
    async with db.begin(tenant.id) as session:
        found = await templates.get(session, tenant.id, template_id)
        return (await approval_reports.show(session, tenant.id, [found]))[0]


@router.post("/{template_id}/preview", responses={**WITH_BODY, **documented(404), **answer(200, PREVIEW_READ_EXAMPLE)})
async def preview_template(
    template_id: UUID,
    wanted: Annotated[TemplatePreview, Body(examples=[PREVIEW_EXAMPLE])],
    tenant: TenantDep,
    relay: ResourcesDep,
) -> TemplatePreviewRead:
    """What every channel would send: the WhatsApp components, the e-mail with its HTML, the SMS with its segments. A
    channel that can't be rendered says why."""
    async with relay.sessions.begin(tenant.id) as session:
        return await templates.preview(session, tenant, template_id, wanted, public_url=relay.settings.public_url)
