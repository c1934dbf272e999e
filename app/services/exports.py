"""What a tenant knows, as CSV: contacts, consents, how each consent came about, and suppressions.

Everything is read page by page in transactions of their own, so an export of any size holds one page in memory.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from app.db import Sessions
from app.domain.consent import is_opted_in
from app.domain.contact_file.columns import EXPORT_ONLY, KNOWN
from app.domain.csv_text import lines
from app.domain.segment import Segment
from app.repositories import exports
from app.repositories.exports import BEGINNING

# An import takes the file back: these come first, then the attributes; what only an export has begins with `relay_`.
MOST_ATTRIBUTES = 150
DETAILS = ("id", "country", "suppressed", "created_at", "last_inbound_at", "more_attributes")
CONSENT_COLUMNS = (
    "contact_id", "phone", "email", "channel", "opted_in", "opt_in_at", "opt_out_at", "source", "details", "updated_at",
)  # fmt: skip
HISTORY_COLUMNS = (
    "recorded_at", "occurred_at", "contact_id", "phone", "email", "channel", "change", "source", "address", "text",
    "message_id", "details",
)  # fmt: skip
SUPPRESSION_COLUMNS = ("channel", "address", "reason", "source", "suppressed_at")
CHANNELS = ("whatsapp", "email", "sms")


async def contacts(sessions: Sessions, tenant_id: UUID, segment: Segment) -> AsyncIterator[str]:
    """All columns that an import takes, then what it ignores."""
    async with sessions.begin(tenant_id) as session:
        names = [name for name in await exports.attribute_names(session, tenant_id) if name not in KNOWN]
    shown = names[:MOST_ATTRIBUTES]
    yield lines([(*KNOWN, *shown, *(f"{EXPORT_ONLY}{name}" for name in DETAILS))])
    async for ids in _pages(sessions, tenant_id, segment):
        async with sessions.begin(tenant_id) as session:
            rows = await exports.contacts(session, ids)
        yield lines(_contact(row, shown) for row in rows)


async def consents(sessions: Sessions, tenant_id: UUID, segment: Segment) -> AsyncIterator[str]:
    """The present state, a line per contact and channel."""
    yield lines([CONSENT_COLUMNS])
    async for ids in _pages(sessions, tenant_id, segment):
        async with sessions.begin(tenant_id) as session:
            rows = await exports.consents(session, ids)
        yield lines(
            (
                str(row.contact_id),
                row.phone or "",
                row.email or "",
                row.channel,
                "yes" if is_opted_in(row.opt_in_at_utc, row.opt_out_at_utc) else "no",
                _time(row.opt_in_at_utc),
                _time(row.opt_out_at_utc),
                row.source,
                _json(row.meta_json),
                _time(row.updated_at),
            )
            for row in rows
        )


async def consent_history(sessions: Sessions, tenant_id: UUID) -> AsyncIterator[str]:
    """Who said yes or no, when, where and in which words; a line each, in the order in which it was recorded."""
    yield lines([HISTORY_COLUMNS])
    at, id = datetime.min.replace(tzinfo=UTC), BEGINNING
    while True:
        async with sessions.begin(tenant_id) as session:
            rows = await exports.consent_events(session, tenant_id, at, id)
        if not rows:
            return
        yield lines(line for row in rows for line in _history(row))
        at, id = rows[-1].created_at, rows[-1].id


async def suppressions(sessions: Sessions, tenant_id: UUID) -> AsyncIterator[str]:
    """Those in force; the file can be imported elsewhere."""
    yield lines([SUPPRESSION_COLUMNS])
    after = BEGINNING
    while True:
        async with sessions.begin(tenant_id) as session:
            rows = await exports.suppressions(session, tenant_id, after)
        if not rows:
            return
        yield lines((row.channel, row.address, row.reason, row.source, _time(row.created_at)) for row in rows)
        after = rows[-1].id


async def _pages(sessions: Sessions, tenant_id: UUID, segment: Segment) -> AsyncIterator[Sequence[UUID]]:
    after, now = BEGINNING, datetime.now(UTC)
    while True:
        async with sessions.begin(tenant_id) as session:
            ids = await exports.contact_ids(session, tenant_id, segment, now, after)
        if not ids:
            return
        yield ids
        after = ids[-1]


def _contact(row: Row[Any], shown: Sequence[str]) -> tuple[str, ...]:
    attributes: dict[str, Any] = row.attributes_json
    more = {name: value for name, value in attributes.items() if name not in shown}
    return (
        row.phone or "",
        row.email or "",
        row.first_name,
        row.last_name,
        row.lang,
        row.timezone,
        "|".join(row.tags_json),
        *(_consent(row._mapping[f"{channel}_in"], row._mapping[f"{channel}_out"]) for channel in CHANNELS),
        row.consent_source,
        *(_text(attributes.get(name)) for name in shown),
        str(row.id),
        row.country,
        row.suppressed or "",
        _time(row.created_at),
        _time(row.last_inbound_at),
        _json(more),
    )


def _history(row: Row[Any]) -> list[tuple[str, ...]]:
    """An import that brought several yeses of a contact is one event."""
    payload: dict[str, Any] = row.payload_json
    meta = payload.get("meta") or {}
    known = {"channel", "source", "address", "meta", *CHANNELS}
    details = {**{name: value for name, value in payload.items() if name not in known}, **meta}
    text, message_id = str(details.pop("text", "")), str(details.pop("message_id", ""))
    said = {channel: payload[channel] for channel in CHANNELS if channel in payload} or {payload.get("channel", ""): ""}
    return [
        (
            _time(row.created_at),
            _time(datetime.fromisoformat(at)) if at else _time(row.occurred_at),
            str(row.contact_id or ""),
            row.phone or "",
            row.email or "",
            channel,
            row.kind,
            str(payload.get("source", "")),
            str(details.get("address") or ""),
            text,
            message_id,
            _json(details),
        )
        for channel, at in said.items()
    ]


def _consent(opt_in_at: datetime | None, opt_out_at: datetime | None) -> str:
    """As an import reads it: the date of the yes, or no, or nothing."""
    if is_opted_in(opt_in_at, opt_out_at):
        return _time(opt_in_at)
    return "no" if opt_out_at is not None else ""


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at is not None else ""


def _json(value: Any) -> str:
    return orjson.dumps(value).decode() if value else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
