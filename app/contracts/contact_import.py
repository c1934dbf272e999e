"""The import workflow: a file of contacts into the database, resumable at every row."""

from dataclasses import dataclass
from uuid import UUID

IMPORT_WORKFLOW = "import"


@dataclass(frozen=True, kw_only=True)
class ImportInput:
    tenant_id: UUID
    import_id: UUID


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    status: str
    rows: int = 0
    created: int = 0
    updated: int = 0
    merged: int = 0
    rejected: int = 0


@dataclass(frozen=True, kw_only=True)
class ImportFailed:
    tenant_id: UUID
    import_id: UUID
    error: str
