"""Segments, tried out before a campaign uses them."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Body as BodyField
from pydantic import Field

from app.routes.deps import SessionsDep, TenantDep
from app.routes.endpoint import Endpoint
from app.routes.problems import WITH_BODY
from app.schemas.base import Body, Reply
from app.schemas.contacts import READ_EXAMPLE, ContactRead
from app.schemas.examples import answer
from app.services import contacts

router = APIRouter(prefix="/v1/segments", tags=["Segments"], route_class=Endpoint)

SEGMENT_EXAMPLE = {
    "all": [
        {"field": "tags", "op": "contains", "value": "vip"},
        {"any": [{"field": "lang", "op": "eq", "value": "pt"}, {"field": "country", "op": "eq", "value": "PT"}]},
    ]
}


class SegmentPreview(Body):
    segment: dict[str, Any] = Field(description="`{}` is everyone.")


class SegmentPreviewRead(Reply):
    count: int
    sample: list[ContactRead]


@router.post("/preview", responses={**WITH_BODY, **answer(200, {"count": 1, "sample": [READ_EXAMPLE]})})
async def preview_segment(
    wanted: Annotated[SegmentPreview, BodyField(examples=[{"segment": SEGMENT_EXAMPLE}])],
    tenant: TenantDep,
    db: SessionsDep,
) -> SegmentPreviewRead:
    """How many contacts a segment selects now, and ten of them. An unknown field or operator is named with what is
    allowed there."""
    async with db.begin(tenant.id) as session:
        count, found = await contacts.preview_segment(session, tenant.id, wanted.segment)
        return SegmentPreviewRead(count=count, sample=await contacts.show(session, tenant.id, found))
