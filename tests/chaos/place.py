"""Where a campaign is played: `relay up` as a user has it, and the simulator as a process that no fault touches."""

import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psycopg
from loguru import logger
from sqlalchemy import make_url

from app.db import Sessions, create_engine
from app.demo.clients import JsonClient
from app.embedded.parts import is_healthy
from app.embedded.ports import free_port
from app.embedded.postgres import SUPERUSER, PostgresServer, database_url
from tests.chaos.disk import SmallDisk
from tests.e2e.product import Product, product

CLOCK, CODE = Path(__file__).parent / "clock", Path(__file__).parents[2]
# Every change from or to `unknown`, whoever makes it. Written in the transaction of the change, so nothing is missed.
OBSERVER = """
CREATE TABLE IF NOT EXISTS chaos_unknown (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), message_id uuid NOT NULL, was text NOT NULL,
    became text NOT NULL, claimed_at timestamptz, code text NOT NULL);
GRANT SELECT ON chaos_unknown TO relay_app;
CREATE OR REPLACE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos_unknown (message_id, was, became, claimed_at, code)
    VALUES (NEW.id, OLD.status, NEW.status, OLD.unresolved_since, NEW.error_code);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER chaos_observer AFTER UPDATE ON messages FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status AND (OLD.status = 'unknown' OR NEW.status = 'unknown'))
    EXECUTE FUNCTION chaos_note();
"""


@dataclass
class Place:
    product: Product
    simulator: JsonClient
    simulator_process: "subprocess.Popen[bytes]"
    sessions: Sessions
    clock: Path
    disk: SmallDisk | None

    def shift_clock(self, seconds: float) -> None:
        """From now on the worker's Python clock is so far ahead of the machine's."""
        with self.clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def ask_for_new_log_file(self) -> None:
        """As the database's administrator; refused while the server is down."""
        url = make_url(database_url(self.product.data_dir)).set(username=SUPERUSER, database=SUPERUSER)
        try:
            with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS chaos_marks ()")  # only a log with news in it is closed
                connection.execute("INSERT INTO chaos_marks DEFAULT VALUES")
                connection.execute("SELECT pg_switch_wal()")
        except psycopg.OperationalError as error:
            logger.info("PostgreSQL: {}", str(error).strip().splitlines()[0])

    def log(self, part: str) -> str:
        return (self.product.data_dir / "logs" / f"{part}.log").read_text(errors="replace")


@asynccontextmanager
async def place(
    directory: Path, *, day_seconds: int, deadline_seconds: int, small_disk: bool = False
) -> AsyncIterator[Place]:
    """Everything up, with the database on a small disk if asked for; nothing is left when the block ends."""
    clock, port = directory / "clock", free_port()
    clock.write_bytes(struct.pack("d", 0.0))
    settings = {
        "RELAY_DAY_SECONDS": str(day_seconds),
        "RELAY_FOLLOWUP_JITTER_SECONDS": "3600",
        "RELAY_UNKNOWN_DEADLINE_SECONDS": str(deadline_seconds),
        "RELAY_PROVIDER_TIMEOUT_SECONDS": "3",
        "RELAY_SEND_CONCURRENCY": "50",
        "RELAY_RESEND_BASE_URL": f"http://127.0.0.1:{port}",
        "CHAOS_CLOCK": str(clock),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(CLOCK), str(CODE), os.environ.get("PYTHONPATH", "")))),
    }
    url = f"http://127.0.0.1:{port}"
    async with product(directory, url, **settings) as relay, JsonClient(url) as simulator:
        with _small_disk(relay.data_dir) if small_disk else nullcontext() as disk, _simulator(directory, port) as child:
            await relay.up()
            database = database_url(relay.data_dir)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute(OBSERVER)
            engine = create_engine(database, pool_size=3)
            try:
                yield Place(relay, simulator, child, Sessions(engine), clock, disk)
            finally:
                await engine.dispose()
                if relay.process is not None and relay.process.poll() is None:  # before the disk is taken away
                    await relay.down()


@contextmanager
def _small_disk(data_dir: Path) -> Iterator[SmallDisk]:
    with PostgresServer(data_dir):
        pass  # it makes its files
    with SmallDisk.below(data_dir / "postgres") as disk:
        yield disk


@contextmanager
def _simulator(directory: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    state = directory / "simulator"
    with (directory / "simulator.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "app.simulator", "--port", str(port), "--state-dir", str(state)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        while not is_healthy("127.0.0.1", port):
            assert child.poll() is None, (directory / "simulator.log").read_text()
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
        shutil.rmtree(state, ignore_errors=True)
