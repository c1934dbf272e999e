"""Everything about people as CSV, streamed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from app.domain.csv_text import BOM
from app.domain.segment import Segment, parse_segment
from app.errors import InvalidInput
from app.routes.deps import SessionsDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON
from app.services import exports

# before `/v1/contacts/{contact_id}`
router = APIRouter(prefix="/v1", tags=["Exports"], route_class=Endpoint)

Bom = Annotated[bool, Query(description="Begin with a byte order mark, by which spreadsheets know UTF-8.")]
OfSegment = Annotated[str, Query(max_length=20_000, description="A segment as JSON; absent is everyone.")]


def _csv(example: str) -> dict[int | str, dict[str, Any]]:
    return {**COMMON, 200: {"description": "A CSV file.", "content": {"text/csv": {"example": example}}}}


@router.get(
    "/contacts/export",
    response_class=Response,
    responses=_csv("phone,email,first_name,…\r\n+351912345678,ana@example.com,Ana,…\r\n"),
)
async def export_contacts(tenant: TenantDep, db: SessionsDep, segment: OfSegment = "", bom: Bom = False) -> Response:
    """Contacts with consents and attributes, in the columns of an import: the file can be imported again. Columns that
    begin with `relay_` are for reading only."""
    return _file("contacts", exports.contacts(db, tenant.id, _segment(segment)), bom)


@router.get(
    "/consents/export",
    response_class=Response,
    responses=_csv(",".join(exports.CONSENT_COLUMNS) + "\r\n"),
)
async def export_consents(tenant: TenantDep, db: SessionsDep, segment: OfSegment = "", bom: Bom = False) -> Response:
    """What each contact allows now, a line per contact and channel that was ever asked or answered."""
    return _file("consents", exports.consents(db, tenant.id, _segment(segment)), bom)


@router.get(
    "/consents/history/export",
    response_class=Response,
    responses=_csv(",".join(exports.HISTORY_COLUMNS) + "\r\n"),
)
async def export_consent_history(tenant: TenantDep, db: SessionsDep, bom: Bom = False) -> Response:
    """Every yes and every no that was ever recorded: who, when, how, and in which words."""
    return _file("consent-history", exports.consent_history(db, tenant.id), bom)


@router.get(
    "/suppressions/export",
    response_class=Response,
    responses=_csv(",".join(exports.SUPPRESSION_COLUMNS) + "\r\n"),
)
async def export_suppressions(tenant: TenantDep, db: SessionsDep, bom: Bom = False) -> Response:
    """The addresses that are not written to, and why. The file can be imported again."""
    return _file("suppressions", exports.suppressions(db, tenant.id), bom)


def _segment(given: str) -> Segment:
    try:
        return parse_segment(orjson.loads(given) if given else {})
    except orjson.JSONDecodeError:
        raise InvalidInput.at("?segment", "The segment must be a JSON object.") from None


def _file(name: str, text: AsyncIterator[str], bom: bool) -> Response:
    day = datetime.now(UTC).date().isoformat()
    return StreamingResponse(
        _begun(text) if bom else text,
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}-{day}.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _begun(text: AsyncIterator[str]) -> AsyncIterator[str]:
    yield BOM
    async for piece in text:
        yield piece
