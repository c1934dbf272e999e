"""What every table has: a time-ordered key, its tenant, and when it was made and changed."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, text
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlmodel import Field, SQLModel

from app.ids import new_id

NOW = text("now()")


def words(enum: type[StrEnum], name: str) -> SqlEnum:
    """A text column that holds only the words of `enum`, checked by the database."""
    return SqlEnum(
        enum,
        native_enum=False,
        create_constraint=True,
        length=24,
        name=name,
        values_callable=lambda members: [member.value for member in members],
    )


class Row(SQLModel):
    """`updated_at` is kept by a trigger, so bulk statements need not name it."""

    id: UUID = Field(
        default_factory=new_id,
        primary_key=True,
        sa_type=PgUuid(as_uuid=True),
        sa_column_kwargs={"server_default": text("uuidv7()")},
    )
    created_at: datetime = Field(
        default=None,
        nullable=False,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": NOW},
    )
    updated_at: datetime = Field(
        default=None,
        nullable=False,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": NOW},
    )


class TenantRow(Row):
    tenant_id: UUID = Field(nullable=False, foreign_key="tenants.id", sa_type=PgUuid(as_uuid=True))


class LedgerRow(Row):
    """A table of many rows: no constraint to `tenants`, whose one row every bulk insert would lock. Row-level security
    keeps the tenant right."""

    tenant_id: UUID = Field(nullable=False, sa_type=PgUuid(as_uuid=True))


def json_field(default: str = "{}") -> Any:
    """A JSON column that is never null."""
    return Field(
        default_factory=list if default == "[]" else dict,
        nullable=False,
        sa_type=JSONB,
        sa_column_kwargs={"server_default": text(f"'{default}'::jsonb")},
    )


def optional_json() -> Any:
    return Field(default=None, nullable=True, sa_type=JSONB(none_as_null=True))


def time_field() -> Any:
    return Field(default=None, nullable=True, sa_type=DateTime(timezone=True))


def text_field(default: str = "", **options: Any) -> Any:
    """Text that is never null; empty means absent."""
    return Field(
        default=default,
        nullable=False,
        sa_type=Text,
        sa_column_kwargs={"server_default": text(f"'{default}'")},
        **options,
    )


def optional_text() -> Any:
    return Field(default=None, nullable=True, sa_type=Text)


def count_field() -> Any:
    return Field(default=0, nullable=False, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


def flag_field(default: bool) -> Any:
    return Field(
        default=default, nullable=False, sa_column_kwargs={"server_default": text("true" if default else "false")}
    )


def reference(target: str, *, nullable: bool = True, **options: Any) -> Any:
    """A key of another table; `target` empty means: kept by code, not by a constraint: ledgers outlive
    what they name."""
    settings: dict[str, Any] = {"nullable": nullable, "sa_type": PgUuid(as_uuid=True), **options}
    if nullable:
        settings["default"] = None
    if target:
        settings["foreign_key"] = target
    return Field(**settings)
