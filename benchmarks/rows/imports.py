"""A file of contacts through the API into the database: each row a contact with three consents.

Trial and floor end with the same contacts, consents and events in tables with the same columns and indexes. From the
first byte of the upload to the end of the import; memory is sampled all the while, so that N=1000000 shows it flat.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import httpx
import orjson
import psycopg
from sqlalchemy import text

from app.ids import new_id_text
from app.models import Role, Tenant
from app.services import api_keys, tenants
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

PIECE = 1 << 20
POLL_SECONDS = 0.2
OPEN = {"pending", "running"}
HEADER = (
    "phone,email,first_name,last_name,lang,timezone,tags,consent_whatsapp,consent_email,consent_sms,consent_source,"
    "city,plan\n"
)
FIRST, LAST = ("Ana", "Rui", "João", "Zoe", "Max", "Inês", "Marta"), ("Silva", "Costa", "Smith", "Müller", "Rossi")
WRITTEN = text("SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM consents), (SELECT count(*) FROM events)")
STARTED = text("SELECT extract(epoch FROM finished_at - workflow_started_at) FROM imports WHERE id = :id")
NOW = "2026-01-15T00:00:00+00:00"
COPIES = {
    "contacts": "id, tenant_id, phone, email, first_name, last_name, lang, timezone, country, tags_json, "
    "attributes_json, last_import_id",
    "consents": "id, tenant_id, contact_id, channel, opt_in_at_utc, source, meta_json",
    "events": "id, tenant_id, contact_id, source, kind, occurred_at, payload_json",
}


async def imported(platform: Platform, size: int) -> Measurement:
    """New contacts, every one."""
    tenant, key = await _tenant(platform)
    with _file(size) as file:
        return await _import(platform, tenant, key, file, size, {"created": size})


async def imported_again(platform: Platform, size: int) -> Measurement:
    """The same file a second time: every contact is there already, and nothing changes."""
    tenant, key = await _tenant(platform)
    with _file(size) as file:
        await _import(platform, tenant, key, file, size, {"created": size})
        return await _import(platform, tenant, key, file, size, {"updated": size})


async def copied(platform: Platform, size: int) -> Measurement:
    """COPY of what an import of these rows writes, table after table; nothing is parsed or looked up."""
    async with await psycopg.AsyncConnection.connect(platform.database_url, autocommit=True) as connection:
        for table in COPIES:
            await connection.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING DEFAULTS INCLUDING INDEXES)")
        with tempfile.TemporaryDirectory() as directory:
            files = _copies(Path(directory), size)
            with platform.window() as window:
                for table, names in COPIES.items():
                    await _copy(connection, f"COPY bench_{table} ({names}) FROM STDIN", files[table])
        counted = await (await connection.execute("SELECT count(*) FROM bench_consents")).fetchone()
    platform.require(counted == (3 * size,), "every consent is there")
    return Measurement(value=size / window.seconds, units=size, window=window)


async def _tenant(platform: Platform) -> tuple[Tenant, str]:
    async with platform.sessions.system() as session:
        tenant = await tenants.create(session, name="Bench", default_region="PT")
        _, key = await api_keys.create(session, tenant.id, name="bench", role=Role.OWNER)
    return tenant, key


async def _import(
    platform: Platform, tenant: Tenant, key: str, file: IO[bytes], size: int, expected: dict[str, int]
) -> Measurement:
    base = f"http://{platform.settings.api_host}:{platform.settings.api_port}/v1/contacts"
    headers = {"Authorization": f"Bearer {key}"}
    file.seek(0)
    async with httpx.AsyncClient(headers=headers, timeout=600) as http:
        with platform.window() as window:
            answer = await http.post(f"{base}/import", content=_pieces(file), headers={"Content-Type": "text/csv"})
            answer.raise_for_status()
            import_id = UUID(answer.json()["import_id"])
            done = await _until_done(platform, http, f"{base}/imports/{import_id}")
    counts = done["counts"]
    platform.require(done["status"] == "done" and counts["rows"] == size, "the import is done with every row")
    platform.require(all(counts[name] == count for name, count in expected.items()), f"the rows are {expected}")
    async with platform.sessions.begin(tenant.id) as session:
        written = tuple((await session.execute(WRITTEN)).one())
        seconds = float((await session.execute(STARTED, {"id": import_id})).scalar_one())
    platform.require(written == (size, 3 * size, size), "each row is a contact, three consents and their event")
    return Measurement(
        value=size / window.seconds,
        units=size,
        window=window,
        facts={"without_the_upload_per_second": round(size / seconds), "bytes_per_row": round(file.tell() / size)},
    )


async def _until_done(platform: Platform, http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = (await http.get(url)).raise_for_status().json()
        platform.progress("rows", found["counts"]["rows"])
        if found["status"] not in OPEN:
            return found
        await asyncio.sleep(POLL_SECONDS)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


@contextmanager
def _file(size: int) -> Iterator[IO[bytes]]:
    """The CSV file, on the disk."""
    with tempfile.TemporaryFile() as file:
        file.write(HEADER.encode())
        for number in range(size):
            file.write((",".join(_cells(number)) + "\n").encode())
        yield file


def _cells(number: int) -> tuple[str, ...]:
    return (
        f"+3519{10_000_000 + number}",
        f"person{number}@example.com",
        FIRST[number % len(FIRST)],
        LAST[number % len(LAST)],
        ("pt", "en", "pt_BR")[number % 3],
        "Europe/Lisbon",
        ("vip|new", "new", "vip|shop")[number % 3],
        "yes",
        "yes",
        ("yes", "2026-01-15")[number % 2],
        "shop form",
        ("Porto", "Lisboa")[number % 2],
        ("free", "pro")[number % 2],
    )


async def _copy(connection: psycopg.AsyncConnection, statement: str, file: Path) -> None:
    opened = await asyncio.to_thread(file.open, "rb")
    try:
        async with connection.cursor().copy(statement) as copy:
            async for piece in _pieces(opened):
                await copy.write(piece)
    finally:
        opened.close()


def _copies(directory: Path, size: int) -> dict[str, Path]:
    """What the import writes of the same file, as COPY takes it."""
    tenant_id, import_id = new_id_text(), new_id_text()
    meta = _json({"import_id": import_id})
    files = {table: directory / table for table in COPIES}
    opened = {table: file.open("w", encoding="utf-8") for table, file in files.items()}
    for number in range(size):
        phone, email, first, last, lang, timezone, tags, *_, source, city, plan = _cells(number)
        id = new_id_text()
        known = (id, tenant_id, phone, email, first, last, lang, timezone, "PT", _json(tags.split("|")))
        _line(opened["contacts"], *known, _json({"city": city, "plan": plan}), import_id)
        for digit, channel in enumerate(("whatsapp", "email", "sms"), 1):
            _line(opened["consents"], f"{id[:-1]}{digit}", tenant_id, id, channel, NOW, source, meta)
        payload = {"import_id": import_id, "source": source, "whatsapp": NOW, "email": NOW, "sms": NOW}
        _line(opened["events"], id, tenant_id, id, "crm", "opted_in", NOW, _json(payload))
    for file in opened.values():
        file.close()
    return files


def _line(file: IO[str], *values: str) -> None:
    file.write("\t".join(values) + "\n")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


NEEDS = frozenset({"engine", "worker", "api"})
ROWS = [
    Row(
        name="import",
        title="contacts imported, each with three consents, upload included",
        unit="rows/s",
        size=100_000,
        target=20_000,
        trial=Trial(measure=imported, needs=NEEDS),
        floor=Trial(measure=copied, says="COPY of the same rows into tables with the same indexes", needs=frozenset()),
    ),
    Row(
        name="import_again",
        title="the same file again",
        unit="rows/s",
        size=100_000,
        trial=Trial(measure=imported_again, needs=NEEDS),
    ),
]
