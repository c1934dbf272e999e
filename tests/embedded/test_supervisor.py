import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg
import pytest

from app.embedded import database
from app.embedded.datadir import DataDir, DataDirInUse
from app.embedded.engine import engine_part
from app.embedded.errors import PlatformError
from app.embedded.parts import Step, is_healthy
from app.embedded.ports import free_port
from app.embedded.postgres import database_url, postgres_part
from app.embedded.processes import Part
from app.embedded.supervisor import Platform
from tests.embedded.places import processes_of, settings_in, tiny_part

FAILS = "raise SystemExit(3)"


def platform(data: DataDir, parts: list[Part | Step], say: Callable[[str], None] = lambda line: None) -> Platform:
    return Platform(settings_in(data), parts=parts, say=say)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread or process."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestStart:
    def test_parts_start_in_order_and_stop_in_reverse(self, data: DataDir) -> None:
        lines: list[str] = []
        steps: list[str] = []
        parts: list[Part | Step] = [
            tiny_part(data, "simulator"),
            Step(name="schema", run=lambda: steps.append("schema")),
            tiny_part(data, "api"),
            tiny_part(data, "worker-1", group="worker"),
            tiny_part(data, "worker-2", group="worker"),
        ]
        with platform(data, parts, lines.append):
            assert sorted(path.stem for path in data.run.glob("*.pid")) == ["api", "simulator", "worker-1", "worker-2"]
        assert [line.split(" is ")[0] for line in lines] == [
            *("simulator", "schema", "api", "worker-1", "worker-2"),
            *("worker", "api", "simulator"),
        ]
        assert steps == ["schema"]
        assert processes_of(data) == []
        assert list(data.run.glob("*.pid")) == []

    def test_the_database_and_the_engine_run_as_parts(self, data: DataDir) -> None:
        parts: list[Part | Step] = [postgres_part(data), engine_part(data, free_port(), free_port(), "relay")]
        with platform(data, parts), database(settings_in(data)) as url, psycopg.connect(url) as connection:
            assert connection.execute("select current_user").fetchone() == ("relay",)
        assert processes_of(data) == []

    def test_a_part_that_cannot_start_is_named_and_nothing_stays(self, data: DataDir) -> None:
        broken = tiny_part(data, "api", FAILS, ready=lambda: False)
        with pytest.raises(PlatformError, match=r"api ended while starting \(exit code 3\)"):
            platform(data, [tiny_part(data, "simulator"), broken]).__enter__()
        assert processes_of(data) == []

    def test_a_start_that_fails_by_chance_is_tried_again(self, data: DataDir) -> None:
        tries: list[int] = []
        good = tiny_part(data, "engine")

        def prepare() -> None:
            tries.append(1)
            good.prepare()

        def command() -> Sequence[str]:
            return good.command() if len(tries) > 1 else ["false"]

        with platform(data, [replace(good, attempts=3, prepare=prepare, command=command)]):
            assert len(tries) == 2

    def test_a_failed_step_stops_what_runs(self, data: DataDir) -> None:
        def refuse() -> None:
            raise PlatformError("no schema")

        with pytest.raises(PlatformError, match="no schema"):
            platform(data, [tiny_part(data, "api"), Step(name="schema", run=refuse)]).__enter__()
        assert processes_of(data) == []

    def test_a_busy_port_is_named_before_anything_starts(self, data: DataDir) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            parts: list[Part | Step] = [
                tiny_part(data, "simulator"),
                tiny_part(data, "api", ports={"RELAY_API_PORT": ("127.0.0.1", port)}),
            ]
            with pytest.raises(PlatformError, match=f"port {port} .*RELAY_API_PORT"):
                platform(data, parts).__enter__()
        assert not data.log("simulator").exists()

    def test_a_second_platform_on_the_same_directory_is_refused(self, data: DataDir) -> None:
        with platform(data, [tiny_part(data, "api")]):
            with pytest.raises(DataDirInUse, match=str(os.getpid())):
                platform(data, [tiny_part(data, "api")]).__enter__()
            assert len(processes_of(data)) == 1

    def test_a_stop_during_the_start_is_heard(self, data: DataDir) -> None:
        starting = platform(data, [tiny_part(data, "engine"), tiny_part(data, "api", ready=lambda: False)])
        starting.start()
        until(data.pid_file("api").exists)
        starting.request_stop()
        assert not starting.wait_ready()
        starting.wait()
        assert processes_of(data) == []


class TestTend:
    def test_a_part_that_dies_is_started_again_and_the_line_says_so(self, data: DataDir) -> None:
        lines: list[str] = []
        with platform(data, [tiny_part(data, "worker-1")], lines.append):
            first = data.pid_file("worker-1").read_text()
            os.kill(int(first), signal.SIGKILL)
            until(lambda: data.pid_file("worker-1").exists() and data.pid_file("worker-1").read_text() != first)
        assert f"worker-1 ended (killed by SIGKILL); starting it again in 0.5 s, see {data.log('worker-1')}" in lines

    def test_each_further_death_doubles_the_wait(self, data: DataDir) -> None:
        lines: list[str] = []
        first_time = data.root / "ran"
        code = f"import os\nif os.path.exists({str(first_time)!r}): raise SystemExit(3)\nimport signal; signal.pause()"
        with platform(data, [tiny_part(data, "api", code)], lines.append):
            first_time.touch()
            os.kill(int(data.pid_file("api").read_text()), signal.SIGTERM)
            until(lambda: len([line for line in lines if " ended " in line]) == 3)
        ended = [line.split(",")[0] for line in lines if " ended " in line]
        assert ended == [
            "api ended (killed by SIGTERM); starting it again in 0.5 s",
            "api ended (exit code 3); starting it again in 1 s",
            "api ended (exit code 3); starting it again in 2 s",
        ]

    def test_a_killed_database_comes_back_with_its_rows(self, data: DataDir) -> None:
        with platform(data, [postgres_part(data)]):
            url = database_url(data.root)
            with psycopg.connect(url) as connection:
                connection.execute("create table kept as select 7 as n")
            first = data.pid_file("postgres").read_text()
            os.kill(int(first), signal.SIGKILL)
            until(lambda: data.pid_file("postgres").exists() and data.pid_file("postgres").read_text() != first)
            with database(settings_in(data)) as again, psycopg.connect(again) as connection:
                assert connection.execute("select n from kept").fetchone() == (7,)
        assert processes_of(data) == []


class TestIsHealthy:
    def test_nobody_there_is_not_healthy(self) -> None:
        assert not is_healthy("127.0.0.1", free_port())
