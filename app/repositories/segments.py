"""Segments as SQL over `contacts`. Every value is a bound parameter; a condition is true or false, never null, so that
`not` means what it says."""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Numeric,
    Select,
    String,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from app.domain.segment import ATTRIBUTE, All, AnyOf, Condition, Everyone, Not, Segment
from app.domain.status import Channel
from app.models import CampaignRecipient, Consent, Contact, Conversation, Conversion, LeadScore

NUMERIC = r"^\s*[-+]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})\s*$"

Clause = ColumnElement[bool]


def where(segment: Segment, now: datetime) -> Clause:
    """The contacts in `segment`, as a condition on `contacts`; deleted ones and other tenants are the caller's to leave
    out."""
    match segment:
        case Everyone():
            return true()
        case All(items):
            return and_(true(), *(where(item, now) for item in items))
        case AnyOf(items):
            return or_(false(), *(where(item, now) for item in items))
        case Not(item):
            return not_(where(item, now))
        case Condition():
            return _condition(segment, now)


def _condition(condition: Condition, now: datetime) -> Clause:
    field, op, value = condition.field, condition.op, condition.value
    if field.startswith(ATTRIBUTE):
        return _attribute(field.removeprefix(ATTRIBUTE), op, value)
    if field.startswith("consent."):
        opted_in = _consent([field.removeprefix("consent.")])
        return opted_in if value else not_(opted_in)
    return COMPILERS[field](op, value, now)


def _tags(op: str, value: Any, now: datetime) -> Clause:
    tags = col(Contact.tags_json)
    match op:
        case "contains":
            return tags.contains([value])
        case "not_contains":
            return not_(tags.contains([value]))
        case "contains_all":
            return tags.contains(list(value))
        case "contains_any":
            return or_(*(tags.contains([tag]) for tag in value))
        case _:
            return _flag(tags != literal([], JSONB), value)


def _word(column: Any, change: Callable[[str], str] = str) -> Callable[[str, Any, datetime], Clause]:
    """Text that may be null; empty means absent. `change` spells the value as the column does."""

    def compile_word(op: str, value: Any, now: datetime) -> Clause:
        match op:
            case "eq":
                return _present(column, column == change(value))
            case "ne":
                return not_(_present(column, column == change(value)))
            case "in":
                return _present(column, column.in_([change(item) for item in value]))
            case "not_in":
                return not_(_present(column, column.in_([change(item) for item in value])))
            case _:
                return _flag(_present(column, column != ""), value)

    return compile_word


def _moment(column: Any) -> Callable[[str, Any, datetime], Clause]:
    def compile_moment(op: str, value: Any, now: datetime) -> Clause:
        match op:
            case "before":
                return _present(column, column < value)
            case "after":
                return _present(column, column > value)
            case "within_days":
                return _present(column, column >= now - timedelta(days=value))
            case "not_within_days":
                return not_(_present(column, column >= now - timedelta(days=value)))
            case _:
                return _flag(column.is_not(None), value)

    return compile_moment


def _lead_score(op: str, value: Any, now: datetime) -> Clause:
    """Who has no score counts as 0."""
    score = (
        select(col(LeadScore.score))
        .where(col(LeadScore.contact_id) == col(Contact.id), col(LeadScore.tenant_id) == col(Contact.tenant_id))
        .correlate(Contact)
        .scalar_subquery()
    )
    return _compare(func.coalesce(score, 0.0), op, float(value))


def _consents(op: str, value: Any, now: datetime) -> Clause:
    opted_in = _consent([value] if isinstance(value, str) else value)
    return not_(opted_in) if op == "ne" else opted_in


def _consent(channels: Sequence[str]) -> Clause:
    """Said yes on one of the channels, and no no since."""
    opt_in, opt_out = col(Consent.opt_in_at_utc), col(Consent.opt_out_at_utc)
    return _exists(
        select(1).where(
            col(Consent.contact_id) == col(Contact.id),
            col(Consent.tenant_id) == col(Contact.tenant_id),
            col(Consent.channel).in_([Channel(channel) for channel in channels]),
            opt_in.is_not(None),
            or_(opt_out.is_(None), opt_in > opt_out),
        )
    )


def _converted(op: str, value: Any, now: datetime) -> Clause:
    conversions = select(1).where(
        col(Conversion.contact_id) == col(Contact.id), col(Conversion.tenant_id) == col(Contact.tenant_id)
    )
    return _flag(_exists(conversions), value)


def _campaign(op: str, value: Any, now: datetime) -> Clause:
    members = select(1).where(
        col(CampaignRecipient.campaign_id) == value,
        col(CampaignRecipient.contact_id) == col(Contact.id),
        col(CampaignRecipient.tenant_id) == col(Contact.tenant_id),
    )
    return _flag(_exists(members), op == "member_of")


def _attribute(name: str, op: str, value: Any) -> Clause:
    """Imports keep attributes as text and JSON keeps types, so `5` and `"5"` are equal and both compare as numbers."""
    attribute = col(Contact.attributes_json).op("->", return_type=JSONB())(literal(name, String))
    text = col(Contact.attributes_json).op("->>", return_type=String())(literal(name, String))
    match op:
        case "eq":
            return _equals(text, value)
        case "ne":
            return not_(_equals(text, value))
        case "in":
            return or_(*(_equals(text, item) for item in value))
        case "not_in":
            return not_(or_(*(_equals(text, item) for item in value)))
        case "exists":
            return _flag(_known(text != ""), value)
        case "contains":
            inside = and_(
                func.jsonb_typeof(attribute) == "string", func.strpos(func.lower(text), func.lower(value)) > 0
            )
            return _known(or_(attribute.op("@>", return_type=true().type)(literal(value, JSONB)), inside))
        case _ if isinstance(value, str):
            return _known(_compare(text.collate("C"), op, value))
        case _:
            return _known(_compare(_as_number(text), op, Decimal(str(value))))


def _equals(text: ColumnElement[str], value: Any) -> Clause:
    if isinstance(value, bool):
        return _known(func.lower(text) == str(value).lower())
    if isinstance(value, str):
        return _known(text == value)
    return _known(_as_number(text) == Decimal(str(value)))


def _as_number(text: ColumnElement[str]) -> ColumnElement[Decimal]:
    """Null where the text is no number: CASE keeps the cast from seeing it."""
    return case((text.regexp_match(NUMERIC), cast(text, Numeric)), else_=None)


def _compare(left: ColumnElement[Any], op: str, right: Any) -> Clause:
    clause: Clause = COMPARISONS[op](left, right)
    return clause


def _exists(query: Select[Any]) -> Clause:
    return exists(query.correlate(Contact))


def _known(clause: Clause) -> Clause:
    """False where it would be null."""
    return func.coalesce(clause, false())


def _present(column: Any, clause: Clause) -> Clause:
    """False where the column is null, in a form that an index on it still serves."""
    return and_(column.is_not(None), clause)


def _flag(clause: Clause, wanted: bool) -> Clause:
    return clause if wanted else not_(clause)


COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_LAST_OUTBOUND_AT = (
    select(col(Conversation.last_outbound_at))
    .where(col(Conversation.id) == col(Contact.id), col(Conversation.tenant_id) == col(Contact.tenant_id))
    .correlate(Contact)
    .scalar_subquery()
)
COMPILERS: dict[str, Callable[[str, Any, datetime], Clause]] = {
    "tags": _tags,
    "lang": _word(col(Contact.lang)),
    "country": _word(col(Contact.country), str.upper),
    "timezone": _word(col(Contact.timezone)),
    "first_name": _word(col(Contact.first_name)),
    "last_name": _word(col(Contact.last_name)),
    "email": _word(col(Contact.email), str.lower),
    "phone": _word(col(Contact.phone)),
    "lead_score": _lead_score,
    "last_inbound_at": _moment(col(Contact.last_inbound_at)),
    "last_outbound_at": _moment(_LAST_OUTBOUND_AT),
    "consent": _consents,
    "converted": _converted,
    "campaign": _campaign,
}
