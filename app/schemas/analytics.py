"""Analytics: what was sent in a span of time and what came of it."""

from datetime import datetime
from decimal import Decimal

from pydantic import Field

from app.domain.status import Channel
from app.schemas.base import Reply
from app.schemas.conversions import Amount


class Rates(Reply):
    """Fractions of what was sent; null when nothing was."""

    delivered: float | None = None
    read: float | None = None
    clicked: float | None = None
    replied: float | None = None
    failed: float | None = None


class Totals(Reply):
    sent: int = Field(0, description="Messages written in the span that a provider accepted.")
    delivered: int = 0
    read: int = 0
    clicked: int = 0
    replied: int = 0
    failed: int = 0
    skipped: int = Field(0, description="Attempts that the gate refused.")
    opted_out: int = Field(0, description="Opt-outs in the span.")
    conversions: int = Field(0, description="Purchases in the span; per channel those credited to a message of it.")
    revenue: dict[str, Amount] = Field(default_factory=dict[str, Decimal], description="Per currency.")
    rates: Rates = Field(default_factory=Rates)


class OverviewRead(Reply):
    from_: datetime = Field(serialization_alias="from", description="Included.")
    to: datetime = Field(description="Not included.")
    total: Totals
    channels: dict[Channel, Totals]


_TOTALS = {
    "sent": 100,
    "delivered": 90,
    "read": 50,
    "clicked": 10,
    "replied": 5,
    "failed": 2,
    "skipped": 7,
    "opted_out": 1,
    "conversions": 3,
    "revenue": {"EUR": "149.70"},
    "rates": {"delivered": 0.9, "read": 0.5, "clicked": 0.1, "replied": 0.05, "failed": 0.02},
}
OVERVIEW_EXAMPLE = {
    "from": "2026-05-01T00:00:00Z",
    "to": "2026-06-01T00:00:00Z",
    "total": _TOTALS,
    "channels": {"whatsapp": _TOTALS},
}
