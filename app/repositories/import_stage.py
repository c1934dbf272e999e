"""The people of one batch of an import, in a table of the connection's own: COPY brings them for a third of what JSON
parameters cost, and each statement behind it reads them there. COPY itself can't write to tables with row-level
security."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import orjson
import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contact_file.consent_fold import Folded, Times
from app.domain.contact_file.roster import Person
from app.repositories.driver import driver_connection

SOURCE = "import"

# `*_in`, `*_out`: the times that the batch changes
_TABLE = text(
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS import_stage (
        id uuid, is_new boolean, phone text, email text, first_name text, last_name text, lang text, timezone text,
        country text, tags jsonb, attributes jsonb,
        whatsapp_in timestamptz, whatsapp_out timestamptz, email_in timestamptz, email_out timestamptz,
        sms_in timestamptz, sms_out timestamptz, whatsapp_source text, email_source text, sms_source text
    ) ON COMMIT DELETE ROWS
    """
)
_COPY = "COPY pg_temp.import_stage FROM STDIN"
_SILENT: Times = (None,) * 6

StageRow = tuple[str | bool | None, ...]


async def fill(session: AsyncSession, people: Iterable[tuple[Person, Folded | None]]) -> None:
    """Stage each person with what its consents become; None: as its one row says, to somebody never asked before.

    They are gone with the end of the transaction. Raises DataError for a value that PostgreSQL can't hold.
    """
    await session.execute(_TABLE)
    connection = await driver_connection(session)
    try:
        async with connection.cursor().copy(_COPY) as copy:
            for person, folded in people:
                await copy.write_row(_row(person, folded))
    except psycopg.DataError as error:
        raise DataError(_COPY, None, error) from error


def _row(person: Person, folded: Folded | None) -> StageRow:
    times: Times
    sources: tuple[str | None, ...]
    if folded is not None:
        times, sources = folded.times, tuple([source or SOURCE for source in folded.sources])
    elif person.answers:
        answers, source = person.answers[0]
        times, sources = answers.first, (source or SOURCE,) * 3
    else:
        times, sources = _SILENT, (None, None, None)
    return (
        person.id,
        person.is_new,
        person.phone or None,
        person.email or None,
        person.first_name,
        person.last_name,
        person.lang,
        person.timezone,
        person.country,
        orjson.dumps(person.tags).decode() if person.tags else "[]",
        orjson.dumps(person.attributes).decode() if person.attributes else "{}",
        *[_written(time) if time else None for time in times],
        *sources,
    )


@lru_cache(maxsize=4096)
def _written(time: datetime) -> str:
    return time.isoformat()
