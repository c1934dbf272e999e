"""The `relay` program itself, as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from app.cli.up import addresses, stop_on_signal
from app.embedded import resolve
from app.embedded.datadir import DataDir, lock
from app.embedded.engine import EngineServer
from app.embedded.ports import free_port
from app.embedded.postgres import PostgresServer
from app.migrations import runner
from tests.embedded.places import data_directory, processes_of, settings_in


@pytest.fixture
def data() -> Iterator[DataDir]:
    with data_directory() as made:
        yield made


def surroundings(data: DataDir, **settings: object) -> dict[str, str]:
    """An environment with ports of its own. The commands run in `/`, away from this directory's `.env`."""
    names = ("API_PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "SIMULATOR_PORT", "SIMULATOR_SMTP_PORT")
    ports = {f"RELAY_{name}": str(free_port()) for name in names}
    given = {f"RELAY_{name.upper()}": str(value) for name, value in settings.items()}
    return {**os.environ, "PYTHONPATH": os.getcwd(), "RELAY_DATA_DIR": str(data.root), **ports, **given}


def relay(data: DataDir, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=surroundings(data, **settings),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )


def only_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


class TestMain:
    def test_a_wrong_setting_is_named_in_one_line(self, data: DataDir) -> None:
        done = relay(data, "migrate", api_port="many")
        assert done.returncode == 1
        assert only_line(done.stderr).startswith("relay: RELAY_API_PORT: ")

    def test_an_expected_failure_is_one_line_without_a_traceback(self, data: DataDir) -> None:
        done = relay(data, "migrate", database_url="mysql://somewhere/relay")
        assert done.returncode == 1
        assert only_line(done.stderr) == "relay: RELAY_DATABASE_URL: must start with postgresql://"

    def test_a_database_that_does_not_answer_is_one_line(self, data: DataDir) -> None:
        done = relay(data, "migrate", database_url=f"postgresql://relay:secret@127.0.0.1:{free_port()}/relay")
        assert done.returncode == 1
        assert "the database does not answer" in only_line(done.stderr)
        assert "secret" not in done.stderr


class TestUp:
    def test_everything_answers_and_a_signal_stops_it_without_a_trace(self, data: DataDir) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--workers", "0"],
            env=surroundings(data),
            cwd="/",
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            told = []
            for line in running.stdout:
                told.append(line)
                if line.startswith("Relay is running"):
                    break
            assert sorted(path.stem for path in data.run.glob("*.pid")) == ["api", "engine", "postgres", "simulator"]
            refused = relay(data, "up")
            running.send_signal(signal.SIGTERM)
            told += running.stdout.readlines()
        assert running.returncode == 0, told
        assert f"in use by process {running.pid}" in only_line(refused.stderr)
        stopped = [line.split()[0] for line in told if line.endswith("is stopped\n")]
        assert stopped == ["api", "simulator", "engine", "postgres"]
        assert processes_of(data) == []

    def test_a_busy_port_is_named_in_one_line_with_its_setting(self, data: DataDir) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = relay(data, "up", temporal_ui_port=server.getsockname()[1])
        assert done.returncode == 1
        assert "RELAY_TEMPORAL_UI_PORT" in only_line(done.stderr)
        assert processes_of(data) == []

    def test_a_data_directory_in_use_is_refused_in_one_line(self, data: DataDir) -> None:
        with lock(data):
            done = relay(data, "up")
        assert done.returncode == 1
        assert f"{data.root} is in use by process {os.getpid()}" in only_line(done.stderr)
        assert processes_of(data) == []

    def test_another_database_needs_keys_of_its_own(self, data: DataDir) -> None:
        done = relay(data, "up", database_url="postgresql://relay@db.internal/relay")
        assert done.returncode == 1
        assert only_line(done.stderr).startswith("relay: RELAY_MASTER_KEYS is not set")

    def test_a_key_file_open_to_others_is_refused_in_one_line(self, data: DataDir) -> None:
        data.make()
        data.keys.write_text("k1:" + "A" * 43 + "=")
        data.keys.chmod(0o644)
        done = relay(data, "up")
        assert done.returncode == 1
        assert only_line(done.stderr).endswith(f"chmod 600 {data.keys}")


class TestAddresses:
    def test_they_tell_where_everything_is(self, data: DataDir) -> None:
        settings = settings_in(data)
        found = dict(addresses(settings, resolve(settings), simulator=True))
        assert found["API docs"] == "http://127.0.0.1:8000/docs"
        assert found["Temporal UI"] == "http://127.0.0.1:8233"
        assert found["Simulator"] == "http://127.0.0.1:8900"
        assert found["Data"] == str(data.root)

    def test_a_password_is_not_shown(self, data: DataDir) -> None:
        elsewhere = {"database_url": SecretStr("postgresql://relay:secret@db/relay")}
        settings = settings_in(data).model_copy(update=elsewhere)
        found = dict(addresses(settings, resolve(settings), simulator=False))
        assert found["Database"] == "postgresql://relay:***@db/relay"


class TestStopOnSignal:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_the_signal_asks_for_the_stop(self, number: signal.Signals) -> None:
        asked: list[int] = []
        before = signal.getsignal(number)
        with stop_on_signal(lambda: asked.append(1)):
            signal.raise_signal(number)
        assert asked == [1]
        assert signal.getsignal(number) == before


class TestMigrate:
    def test_the_embedded_database_runs_for_the_duration(self, data: DataDir) -> None:
        done = relay(data, "migrate")
        assert done.returncode == 0, done.stderr
        assert runner.head() in done.stdout
        assert processes_of(data) == []

    def test_a_running_database_is_used_and_left_running(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server, lock(data):
            done = relay(data, "migrate")
            assert done.returncode == 0, done.stderr
            assert server.process.running


class TestDoctor:
    def test_all_is_well_with_everything_running(self, data: DataDir) -> None:
        with PostgresServer(data.root) as server, EngineServer(data.root) as engine:
            runner.upgrade(server.url)
            done = relay(data, "doctor", temporal_port=engine.port, temporal_ui_port=engine.ui_port)
        assert done.returncode == 0, done.stdout
        assert "All is well." in done.stdout
        assert "answers as our engine" in done.stdout
        assert "kept 30 days" in done.stdout

    def test_each_failed_line_says_how_to_mend_it(self, data: DataDir) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            done = relay(data, "doctor", api_port=server.getsockname()[1])
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        failed = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
        assert [lines[number].split()[1] for number in failed] == ["RELAY_API_PORT:", "database:", "engine:"]
        assert all(lines[number + 1].strip().startswith("mend: ") for number in failed)

    def test_a_schema_that_is_behind_is_named(self, data: DataDir) -> None:
        with PostgresServer(data.root):
            done = relay(data, "doctor")
        assert "schema: is at empty, the code needs" in done.stdout
        assert "mend: relay migrate" in done.stdout
