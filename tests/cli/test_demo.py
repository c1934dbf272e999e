"""`relay demo` in its short form, as a user starts it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest

from app.embedded.datadir import DataDir
from tests.embedded.places import data_directory, processes_of

SHORT = ("demo", "--contacts", "40", "--day-seconds", "1")


@pytest.fixture
def data() -> Iterator[DataDir]:
    with data_directory() as made:
        yield made


def command(data: DataDir) -> tuple[list[str], dict[str, str]]:
    """The program, and an environment that names a real installation: the demo must leave that alone."""
    elsewhere = {
        "RELAY_DATABASE_URL": "postgresql://relay@127.0.0.1:9/relay",
        "RELAY_TEMPORAL_ADDRESS": "127.0.0.1:9",
        "RELAY_PUBLIC_URL": "https://relay.example.com",
    }
    environment = {**os.environ, **elsewhere, "PYTHONPATH": os.getcwd(), "RELAY_DATA_DIR": str(data.root)}
    return [sys.executable, "-m", "app.cli", *SHORT], environment


class TestDemo:
    def test_every_count_agrees_and_nothing_is_left_running(self, data: DataDir) -> None:
        words, environment = command(data)
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            done = subprocess.run(
                words,
                env={**environment, "RELAY_API_PORT": str(port)},
                cwd="/",
                capture_output=True,
                text=True,
                timeout=280,
            )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Port {port} is busy" in done.stdout
        report = orjson.loads((data.root / "demo-report.json").read_bytes())
        assert report["ok"]
        assert report["differences"] == []
        assert report["contacts"] == 40
        assert list(report["channels"]) == ["whatsapp", "sms", "email"]
        assert list(report["steps"]) == ["J+0", "J+1", "J+3", "J+7"]
        sent = sum(channel["sent"] for channel in report["channels"].values())
        assert sent == sum(total["accepted"] for total in report["simulator"]["totals"].values()) > 40
        assert report["recipients"] == report["reached"] + sum(report["skipped"].values())
        assert re.search(r"API docs +http://127\.0\.0\.1:\d+/docs", done.stdout)
        assert re.search(r"Temporal UI +http://127\.0\.0\.1:\d+", done.stdout)
        assert processes_of(DataDir.at(data.root / "demo")) == []

    def test_ctrl_c_stops_everything_without_a_trace(self, data: DataDir) -> None:
        words, environment = command(data)
        told = []
        with subprocess.Popen(words, env=environment, cwd="/", stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            for line in running.stdout:
                told.append(line)
                if line.startswith("Launched"):
                    break
            running.send_signal(signal.SIGINT)
            told += running.stdout.readlines()
        assert running.returncode == 130, told
        assert not (data.root / "demo-report.json").exists()
        assert processes_of(DataDir.at(data.root / "demo")) == []
