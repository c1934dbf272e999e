"""Contacts and what they allowed."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from app.domain.status import Channel, SuppressionReason
from app.schemas.base import Body, Reply, UtcTime

ShortText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Lang = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20, pattern=r"^[A-Za-z0-9_-]*$")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Tags = Annotated[list[Tag], Field(max_length=200)]
Attributes = Annotated[dict[str, Any], Field(max_length=200)]
Source = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ConsentWrite(Body):
    """Give `opt_in` or `status`."""

    channel: Channel
    opt_in: bool | None = None
    status: Annotated[str, Field(pattern="^(opted_in|opted_out)$")] | None = Field(
        None, description="opted_in or opted_out."
    )
    source: Source = Field("api", description="Where the contact said so: a form, a shop, a call.")
    at: UtcTime | None = Field(None, description="When; absent is now.")
    meta: dict[str, Any] = Field(default_factory=dict, description="Proof: address of the form, wording, IP address.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.opt_in is None) == (self.status is None):
            raise ValueError("give either opt_in (true or false) or status (opted_in or opted_out)")
        return self

    @property
    def is_yes(self) -> bool:
        return self.opt_in if self.opt_in is not None else self.status == "opted_in"


class _Fields(Body):
    phone: ShortText | None = Field(None, description="With + and country code, or as dialled in the default region.")
    email: ShortText | None = None
    first_name: ShortText | None = None
    last_name: ShortText | None = None
    lang: Lang | None = None
    timezone: ShortText | None = Field(None, description="IANA name such as Europe/Lisbon.")
    tags: Tags | None = None
    attributes: Attributes | None = None


class ContactCreate(_Fields):
    """At least one of phone and email."""

    consents: list[ConsentWrite] = Field(default_factory=list, max_length=3)


class ContactUpdate(_Fields):
    """A JSON merge patch: what isn't given stays, `null` empties, `attributes` are merged by name."""


class ConsentRead(Reply):
    channel: Channel
    opted_in: bool = Field(description="Said yes, and not no since.")
    opt_in_at: datetime | None
    opt_out_at: datetime | None
    source: str
    suppressed: SuppressionReason | None = Field(None, description="Why the address is not used at all, if so.")


class ContactRead(Reply):
    id: UUID
    phone: str | None
    email: str | None
    first_name: str
    last_name: str
    lang: str
    timezone: str
    country: str
    tags: list[str]
    attributes: dict[str, Any]
    consents: list[ConsentRead]
    last_inbound_at: datetime | None
    last_outbound_at: datetime | None
    created_at: datetime
    updated_at: datetime


CREATE_EXAMPLE = {
    "phone": "+351912345678",
    "email": "ana@example.com",
    "first_name": "Ana",
    "last_name": "Silva",
    "lang": "pt",
    "timezone": "Europe/Lisbon",
    "tags": ["vip"],
    "attributes": {"plan": "gold"},
    "consents": [{"channel": "whatsapp", "opt_in": True, "source": "checkout"}],
}
READ_EXAMPLE = {
    "id": "0199a1b0-0000-7000-8000-000000000003",
    "phone": "+351912345678",
    "email": "ana@example.com",
    "first_name": "Ana",
    "last_name": "Silva",
    "lang": "pt",
    "timezone": "Europe/Lisbon",
    "country": "PT",
    "tags": ["vip"],
    "attributes": {"plan": "gold"},
    "consents": [
        {
            "channel": "whatsapp",
            "opted_in": True,
            "opt_in_at": "2026-05-01T12:00:00Z",
            "opt_out_at": None,
            "source": "checkout",
            "suppressed": None,
        }
    ],
    "last_inbound_at": None,
    "last_outbound_at": None,
    "created_at": "2026-05-01T12:00:00Z",
    "updated_at": "2026-05-01T12:00:00Z",
}
UPDATE_EXAMPLE = {"first_name": "Anna", "attributes": {"plan": "silver"}}
CONSENT_EXAMPLE = {"channel": "sms", "opt_in": True, "source": "checkout", "meta": {"form": "https://shop.example.com"}}
