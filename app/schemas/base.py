"""What request and reply shapes share: both spellings of every field, UTC times, pages and problem documents."""

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

T = TypeVar("T")
LARGEST_PAGE = 100_000
LARGEST_SIZE = 500


def _spellings(name: str) -> str | AliasChoices:
    camel = to_camel(name)
    return name if camel == name else AliasChoices(name, camel)


class Body(BaseModel):
    """A request body: `snake_case` or `camelCase`, and nothing it doesn't know."""

    model_config = ConfigDict(extra="forbid", alias_generator=AliasGenerator(validation_alias=_spellings))


class Reply(BaseModel):
    model_config = ConfigDict(from_attributes=True)


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


UtcTime = Annotated[datetime, AfterValidator(_in_utc)]  # a time without offset is read as UTC


class Page(Reply, Generic[T]):
    """One page of a list; `total` counts the whole list."""

    items: list[T]
    total: int
    page: int
    size: int


class FieldProblem(BaseModel):
    pointer: str = Field(
        description="JSON pointer into the body (`/segment/all/0/field`), or `?name` for a query field."
    )
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] = []
