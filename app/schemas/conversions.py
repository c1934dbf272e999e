"""Conversions: purchases and what they are credited to."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, PlainSerializer, StringConstraints

from app.models import Conversion
from app.schemas.base import Body, Reply, UtcTime

Currency = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z]{3}$")]
CENTS = Decimal("0.01")


def _written(amount: Decimal) -> str:
    """With at least two decimals and no further zeros: `49.90`, `0.0125`."""
    plain = amount.normalize()
    return format(plain.quantize(CENTS) if plain == plain.quantize(CENTS) else plain, "f")


Amount = Annotated[Decimal, PlainSerializer(_written, return_type=str)]


class ConversionCreate(Body):
    """Give exactly one of contact_id, phone and email."""

    contact_id: UUID | None = None
    phone: Annotated[str, Field(max_length=50)] | None = None
    email: Annotated[str, Field(max_length=320)] | None = None
    amount: Decimal = Field(gt=0, max_digits=18, decimal_places=4, description="A number, or text such as `49.90`.")
    currency: Currency = Field(description="ISO 4217.")
    order_id: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    occurred_at: UtcTime | None = Field(None, description="Absent is now.")


class ConversionRead(Reply):
    id: UUID
    contact_id: UUID
    campaign_id: UUID | None = Field(description="The campaign whose message came last in the 7 days before, if any.")
    message_id: UUID | None
    amount: Amount
    currency: str
    order_id: str
    occurred_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, row: Conversion) -> Self:
        return cls.model_validate({**row.model_dump(), "occurred_at": row.revenue_at_utc})


CREATE_EXAMPLE = {
    "phone": "+351912345678",
    "amount": "49.90",
    "currency": "EUR",
    "order_id": "A-17",
    "occurred_at": "2026-05-02T09:30:00Z",
}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000006",
    "contact_id": "0199a1b0-0000-7000-8000-000000000003",
    "campaign_id": "0199a1b0-0000-7000-8000-000000000004",
    "message_id": "0199a1b0-0000-7000-8000-000000000005",
    "amount": "49.90",
    "currency": "EUR",
    "order_id": "A-17",
    "occurred_at": "2026-05-02T09:30:00Z",
    "created_at": "2026-05-02T09:30:01Z",
}
