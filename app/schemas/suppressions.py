"""Suppressions."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from app.domain.status import Channel, SuppressionReason
from app.schemas.base import Body, Reply


class SuppressionCreate(Body):
    channel: Channel
    address: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)] = Field(
        description="A phone number or an e-mail address; nobody needs to be a contact of it."
    )
    reason: SuppressionReason = SuppressionReason.MANUAL
    source: Annotated[str, StringConstraints(max_length=300)] = Field("api", description="Where it comes from.")


class SuppressionRead(Reply):
    id: UUID
    channel: Channel
    address: str
    reason: SuppressionReason
    source: str
    lifted_at: datetime | None = Field(description="When it ended; lists have only those in force.")
    created_at: datetime
    updated_at: datetime


CREATE_EXAMPLE = {"channel": "email", "address": "ana@example.com", "reason": "manual", "source": "letter of 3 May"}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000006",
    **CREATE_EXAMPLE,
    "lifted_at": None,
    "created_at": "2026-05-03T12:00:00Z",
    "updated_at": "2026-05-03T12:00:00Z",
}
CSV_EXAMPLE = "channel,address,reason,source\nemail,ana@example.com,unsubscribe,old system\nsms,+351912345678,stop,\n"
JSON_EXAMPLE: list[Any] = [{"channel": "email", "address": "ana@example.com", "reason": "bounce"}]
