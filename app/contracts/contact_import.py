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
    """Where the import stands: `status` as in the `imports` table, counts of rows, `error` when it failed."""

    status: str
    rows: int = 0
    created: int = 0
    updated: int = 0
    merged: int = 0
    rejected: int = 0
    offset: int = 0
    size: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportFailed:
    tenant_id: UUID
    import_id: UUID
    error: str
