"""A contact import: its file in pieces, its progress, and the verdicts on its rows."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Index, LargeBinary
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlmodel import Field

from app.models.base import LedgerRow, TenantRow, count_field, json_field, reference, text_field, time_field, words


class ImportStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class RowVerdict(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    MERGED = "merged"  # the same person again in this file
    REJECTED = "rejected"


class Import(TenantRow, table=True):
    """`offset` is the byte behind the last row that is in the database: a resumed import goes on from there."""

    __tablename__ = "imports"
    __table_args__ = (Index("ix_imports_tenant_created", "tenant_id", "created_at"),)

    status: ImportStatus = Field(
        default=ImportStatus.PENDING,
        sa_type=words(ImportStatus, "imports_status"),
        sa_column_kwargs={"server_default": "pending"},
    )
    format: str = text_field()  # csv or json
    options_json: dict[str, Any] = json_field()
    size_bytes: int = count_field()
    offset: int = count_field()
    rows: int = count_field()
    created: int = count_field()
    updated: int = count_field()
    merged: int = count_field()
    rejected: int = count_field()
    error: str = text_field()
    finished_at: datetime | None = time_field()
    workflow_started_at: datetime | None = time_field()  # null until the engine has it


class ImportChunk(LedgerRow, table=True):
    """A piece of the uploaded file, in PostgreSQL because workers and API may be on different machines."""

    __tablename__ = "import_chunks"
    __table_args__ = (Index("ix_import_chunks_import_start", "import_id", "start", unique=True),)

    import_id: UUID = reference("imports.id", nullable=False)
    start: int = Field(nullable=False, sa_type=BigInteger)
    data: bytes = Field(nullable=False, sa_type=LargeBinary)


class ImportVerdicts(LedgerRow, table=True):
    """What became of rows `first_number` to `last_number`, which one batch brought: the first letter of each verdict,
    each contact, and of the rows with something to say about [number, field, reason]."""

    __tablename__ = "import_verdicts"
    __table_args__ = (Index("ix_import_verdicts_import_last", "import_id", "last_number", unique=True),)

    import_id: UUID = reference("", nullable=False)
    first_number: int = Field(nullable=False, sa_type=BigInteger)
    last_number: int = Field(nullable=False, sa_type=BigInteger)
    verdicts: str = text_field()
    contact_ids: list[UUID | None] = Field(nullable=False, sa_type=ARRAY(PgUuid(as_uuid=True)))  # null: rejected
    notes_json: list[tuple[int, str, str]] = json_field("[]")
