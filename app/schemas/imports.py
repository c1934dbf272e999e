"""Contact imports."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from app.domain.contact_file.types import FileKind
from app.models import Import, ImportStatus
from app.repositories.imports import Verdict
from app.schemas.base import Reply


class ImportAccepted(Reply):
    import_id: UUID
    status: ImportStatus


class ImportCounts(Reply):
    """`rows` is the sum of the other four. Of suppressions: `updated` had been lifted, `merged` were in force."""

    rows: int
    created: int
    updated: int = Field(description="Contacts that were there before.")
    merged: int = Field(description="Rows for a person that an earlier row of the file was for.")
    rejected: int


class ImportRowRead(Reply):
    row: int = Field(description="Counted from 1, without the header and blank lines.")
    field: str = Field(description="The field at fault, empty when it is the whole row.")
    reason: str


class ImportRead(Reply):
    import_id: UUID
    kind: FileKind
    status: ImportStatus
    format: str
    size_bytes: int
    read_bytes: int
    counts: ImportCounts
    error: str = Field(description="Why it failed; empty otherwise. What was imported before stays.")
    verdicts_url: str = Field(description="CSV with the verdict on every row.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Import) -> Self:
        return cls(**_fields(row))


class ImportDetail(ImportRead):
    first_rejected: list[ImportRowRead] = Field(description="At most 20; all of them are in the verdict file.")

    @classmethod
    def with_rejected(cls, row: Import, rejected: list[Verdict]) -> Self:
        first = [ImportRowRead(row=one.number, field=one.field, reason=one.reason) for one in rejected]
        return cls(**_fields(row), first_rejected=first)


def _fields(row: Import) -> dict[str, object]:
    return {
        "import_id": row.id,
        "kind": row.options_json.get("kind", FileKind.CONTACTS),
        "status": row.status,
        "format": row.format,
        "size_bytes": row.size_bytes,
        "read_bytes": row.offset,
        "counts": ImportCounts.model_validate(row),
        "error": row.error,
        "verdicts_url": f"/v1/contacts/imports/{row.id}/verdicts",
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


ACCEPTED_EXAMPLE = {"import_id": "01a1fe00-0000-7000-8000-000000000001", "status": "pending"}
READ_EXAMPLE = {
    **ACCEPTED_EXAMPLE,
    "kind": "contacts",
    "status": "done",
    "format": "csv",
    "size_bytes": 132_114,
    "read_bytes": 132_114,
    "counts": {"rows": 1000, "created": 970, "updated": 0, "merged": 10, "rejected": 20},
    "error": "",
    "verdicts_url": "/v1/contacts/imports/01a1fe00-0000-7000-8000-000000000001/verdicts",
    "created_at": "2026-11-20T09:00:00Z",
    "finished_at": "2026-11-20T09:00:01Z",
}
DETAIL_EXAMPLE = {
    **READ_EXAMPLE,
    "first_rejected": [{"row": 14, "field": "phone", "reason": "'12' is not a valid phone number."}],
}
CSV_EXAMPLE = (
    "phone,email,first_name,lang,tags,consent_whatsapp,consent_email,consent_sms,city\n"
    "+351912345678,ana@example.com,Ana,pt,vip|newsletter,yes,2026-01-15,no,Lisboa\n"
)
JSON_EXAMPLE = [
    {"phone": "+351912345678", "first_name": "Ana", "tags": ["vip"], "consent_whatsapp": True, "city": "Lisboa"}
]
VERDICTS_EXAMPLE = "row,verdict,contact_id,field,reason\n1,created,01a1fe00-0000-7000-8000-000000000002,,\n"
