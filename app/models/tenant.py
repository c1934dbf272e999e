"""Who uses Relay: tenants, their people and their API keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Computed, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID as PgUuid
from sqlmodel import Field

from app.models.base import Row, TenantRow, flag_field, json_field, text_field, time_field, words


class Role(StrEnum):
    OWNER = "owner"
    MANAGER = "manager"
    VIEWER = "viewer"


class Tenant(Row, table=True):
    __tablename__ = "tenants"

    # the same column name as everywhere, so that one policy text serves every table
    tenant_id: UUID | None = Field(
        default=None, sa_column=Column(PgUuid(as_uuid=True), Computed("id", persisted=True), nullable=False)
    )
    name: str = text_field()
    slug: str = text_field(unique=True)
    timezone: str = text_field("UTC")
    default_region: str = text_field()
    default_lang: str = text_field("en")
    is_active: bool = flag_field(True)
    settings_json: dict[str, Any] = json_field()


class User(TenantRow, table=True):
    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("tenant_id", "email", name="uq_users_tenant_email"),)

    email: str = text_field()
    name: str = text_field()
    role: Role = Field(sa_type=words(Role, "users_role"))
    is_active: bool = flag_field(True)


class ApiKey(TenantRow, table=True):
    """`key_hash` is SHA-256 of the key; the key itself is shown once and never kept."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_key_hash", "key_hash", unique=True),)

    name: str = text_field()
    prefix: str = text_field()
    key_hash: str = text_field()
    role: Role = Field(default=Role.OWNER, sa_type=words(Role, "api_keys_role"))
    expires_at: datetime | None = time_field()
    last_used_at: datetime | None = time_field()
    revoked_at: datetime | None = time_field()
