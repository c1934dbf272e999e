"""Contacts from files: take one in, follow it, read the verdicts."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.db import Sessions
from app.domain.contact_file.types import FileKind
from app.domain.csv_text import cell
from app.models import ImportStatus, RowVerdict, Tenant
from app.repositories import imports as rows
from app.routes import idempotency
from app.routes.deps import (
    IDEMPOTENCY_HEADER,
    CreatedIdDep,
    PagingDep,
    SessionsDep,
    SettingsDep,
    TemporalDep,
    TenantDep,
    reached_engine,
)
from app.routes.endpoint import check_query
from app.routes.problems import COMMON, CREATING, documented
from app.routes.uploads import received
from app.schemas.base import Page
from app.schemas.examples import answer, listed
from app.schemas.imports import (
    ACCEPTED_EXAMPLE,
    CSV_EXAMPLE,
    DETAIL_EXAMPLE,
    JSON_EXAMPLE,
    READ_EXAMPLE,
    VERDICTS_EXAMPLE,
    ImportAccepted,
    ImportDetail,
    ImportRead,
)
from app.services import imports
from app.settings import Settings
from app.temporal import Workflows

# not Endpoint, which reads bodies into memory; `/v1/contacts/{contact_id}` must come after these
router = APIRouter(prefix="/v1/contacts", tags=["Imports"])

REJECTED_SHOWN = 20
VERDICTS_AT_ONCE = 4_000  # a batch of an import, whose verdicts are kept together
_FILE = {"type": "string", "format": "binary"}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
            "application/json": {
                "schema": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
                "example": JSON_EXAMPLE,
            },
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _FILE}, "required": ["file"]},
            },
        },
    }
}


@router.post(
    "/import",
    status_code=202,
    response_model=ImportAccepted,
    responses={**CREATING, **answer(202, ACCEPTED_EXAMPLE)},
    openapi_extra=BODY,
)
async def import_contacts(
    request: Request,
    tenant: TenantDep,
    id: CreatedIdDep,
    db: SessionsDep,
    temporal: TemporalDep,
    settings: SettingsDep,
    default_region: Annotated[
        str, Query(description="Two letters such as PT: the country of numbers without one. Default: the tenant's.")
    ] = "",
    dedupe: Annotated[str, Query(description="phone (default) or email: what makes two rows one person.")] = "",
) -> Response:
    """Import contacts from CSV (with `,` `;` or tab, UTF-8 or Latin-1) or a JSON array of objects.

    Columns: phone, email, first_name, last_name, lang, timezone, tags (separated by `|` or `;`), consent_whatsapp,
    consent_email, consent_sms (yes, no, 1, 0, true, false or the ISO date of the opt-in; empty is unknown), and
    consent_source; every other column becomes an attribute. Rows for one person are merged; empty cells erase nothing;
    no file brings back a consent that was withdrawn later. A bad row is rejected by itself and never stops the file.
    """
    check_query(request)
    return await take_file(request, tenant, id, db, temporal, settings, FileKind.CONTACTS)


async def take_file(
    request: Request, tenant: Tenant, id: UUID, db: Sessions, temporal: Workflows, settings: Settings, kind: FileKind
) -> Response:
    """Store the file of the request and hand its import to the engine."""
    read_options = imports.read_suppression_options if kind is FileKind.SUPPRESSIONS else imports.read_options
    async with received(request, settings.max_import_bytes, "RELAY_MAX_IMPORT_BYTES") as body:
        options = read_options({**body.fields, **request.query_params}, tenant)
        upload = await asyncio.to_thread(imports.look_through, body.file, body.format, kind)

        async def store() -> Response:
            async with db.begin(tenant.id) as session:
                await imports.store(session, tenant.id, id, upload, options)
            await reached_engine(imports.start(db, temporal, tenant.id, id))
            accepted = ImportAccepted(import_id=id, status=ImportStatus.PENDING)
            return JSONResponse(accepted.model_dump(mode="json"), status_code=202)

        key = request.headers.get(IDEMPOTENCY_HEADER)
        if key is None:
            return await store()
        return await idempotency.once(db, idempotency.Wanted.of(tenant.id, key, request, upload.digest.encode()), store)


@router.get("/imports", responses={**COMMON, **answer(200, listed(READ_EXAMPLE))})
async def list_imports(tenant: TenantDep, paging: PagingDep, db: SessionsDep) -> Page[ImportRead]:
    """Imports, newest first."""
    async with db.begin(tenant.id) as session:
        found, total = await rows.page(session, tenant.id, offset=paging.offset, size=paging.size)
    return Page(items=[ImportRead.of(row) for row in found], total=total, page=paging.page, size=paging.size)


@router.get("/imports/{import_id}", responses={**COMMON, **documented(404), **answer(200, DETAIL_EXAMPLE)})
async def get_import(import_id: UUID, tenant: TenantDep, db: SessionsDep) -> ImportDetail:
    """How far an import is, what became of its rows, and the first rejected ones."""
    async with db.begin(tenant.id) as session:
        row = await imports.get(session, tenant.id, import_id)
        rejected = await rows.verdicts(
            session, tenant.id, import_id, after=0, limit=REJECTED_SHOWN, only=RowVerdict.REJECTED
        )
    return ImportDetail.with_rejected(row, rejected)


@router.get(
    "/imports/{import_id}/verdicts",
    response_class=Response,
    responses={**COMMON, **documented(404), 200: {"content": {"text/csv": {"example": VERDICTS_EXAMPLE}}}},
)
async def read_verdicts(
    import_id: UUID, tenant: TenantDep, db: SessionsDep, verdict: RowVerdict | None = None
) -> Response:
    """The verdict on every row so far, as CSV in the order of the file: row, verdict, contact_id, field, reason."""
    async with db.begin(tenant.id) as session:
        await imports.get(session, tenant.id, import_id)
    return StreamingResponse(
        _verdict_lines(db, tenant.id, import_id, verdict),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="import-{import_id}.csv"'},
    )


async def _verdict_lines(db: Sessions, tenant_id: UUID, import_id: UUID, only: RowVerdict | None) -> AsyncIterator[str]:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("row", "verdict", "contact_id", "field", "reason"))
    after = 0
    while True:
        async with db.begin(tenant_id) as session:
            page = await rows.verdicts(session, tenant_id, import_id, after=after, limit=VERDICTS_AT_ONCE, only=only)
        for one in page:
            lines.writerow((one.number, one.verdict, one.contact_id or "", cell(one.field), cell(one.reason)))
        yield text.getvalue()
        if len(page) < VERDICTS_AT_ONCE:
            return
        after = page[-1].number
        text.seek(0)
        text.truncate()
