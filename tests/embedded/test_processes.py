import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.embedded.processes import LARGEST_LOG_BYTES, PartProcess, end_leftovers, rotate, stop_together
from tests.embedded.places import RUN_UNTIL_STOPPED, processes_of, tiny_part

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"

STARTER = """
import pathlib, sys
from app.embedded.datadir import DataDir
from app.embedded.processes import PartProcess
from tests.embedded.places import tiny_part
data = DataDir.at(pathlib.Path(sys.argv[1]))
data.make()
part = PartProcess(tiny_part(data, "api", sys.argv[2]), data)
part.spawn()
part.wait_ready()
sys.stdout.write(f"{part.process.pid}\\n"); sys.stdout.flush()
sys.stdin.read()
"""


def started(data: DataDir, name: str, code: str = RUN_UNTIL_STOPPED, **changes: object) -> PartProcess:
    data.make()
    process = PartProcess(tiny_part(data, name, code, **changes), data)
    process.spawn()
    process.wait_ready()
    return process


def start_and_kill_starter(data: DataDir, code: str) -> int:
    """The pid of a part whose starter was killed with -9."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(data.root), code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    return pid


class TestPartProcess:
    def test_the_pid_file_is_there_while_it_runs(self, data: DataDir) -> None:
        process = started(data, "api")
        assert process.process is not None
        assert data.pid_file("api").read_text() == f"{process.process.pid}\n"
        stop_together([process])
        assert not data.pid_file("api").exists()

    def test_what_it_prints_is_in_its_log(self, data: DataDir) -> None:
        stop_together([started(data, "api", "print('hello', flush=True)\nimport signal; signal.pause()")])
        assert data.log("api").read_text() == "hello\n"

    def test_an_end_while_starting_is_told_with_its_last_words(self, data: DataDir) -> None:
        data.make()
        part = tiny_part(data, "api", "raise SystemExit('relay: RELAY_API_PORT: no')", ready=lambda: False)
        process = PartProcess(part, data)
        process.spawn()
        with pytest.raises(PlatformError, match=r"api ended while starting \(exit code 1\): relay: RELAY_API_PORT: no"):
            process.wait_ready()

    def test_a_start_that_takes_too_long_is_given_up(self, data: DataDir) -> None:
        data.make()
        process = PartProcess(tiny_part(data, "api", ready=lambda: False, ready_seconds=0), data)
        process.spawn()
        with pytest.raises(PlatformError, match="api did not answer within 0 s"):
            process.wait_ready()
        stop_together([process])

    def test_a_missing_program_is_named(self, data: DataDir) -> None:
        data.make()
        with pytest.raises(PlatformError, match="api cannot be started: /nowhere/relay"):
            PartProcess(tiny_part(data, "api", command=lambda: ["/nowhere/relay"]), data).spawn()


class TestStopTogether:
    def test_one_that_ignores_the_signal_is_killed(self, data: DataDir) -> None:
        process = started(data, "api", STUBBORN, stop=((signal.SIGTERM, 0.2), (signal.SIGKILL, 5)))
        stop_together([process])
        assert processes_of(data) == []

    def test_in_a_hurry_nobody_is_waited_for(self, data: DataDir) -> None:
        process = started(data, "api", STUBBORN, stop=((signal.SIGTERM, 3_600), (signal.SIGKILL, 5)))
        stop_together([process], hurry=lambda: True)
        assert processes_of(data) == []

    def test_what_a_killed_part_started_goes_with_it(self, data: DataDir) -> None:
        child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n"
        process = started(data, "api", child + STUBBORN, stop=((signal.SIGTERM, 0.5), (signal.SIGKILL, 5)))
        stop_together([process])
        assert processes_of(data) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its starter")
class TestKilledStarter:
    def test_the_kernel_stops_its_parts(self, data: DataDir) -> None:
        pid = start_and_kill_starter(data, "import signal; signal.pause()")
        gone, alive = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
        assert alive == []

    def test_one_that_stays_is_ended_by_the_next_start(self, data: DataDir) -> None:
        pid = start_and_kill_starter(data, STUBBORN)
        assert psutil.Process(pid).is_running()
        end_leftovers(data, ["api"], patience=0.1)
        assert processes_of(data) == []
        assert not data.pid_file("api").exists()


class TestEndLeftovers:
    def test_parts_of_another_directory_are_left_alone(self, data: DataDir) -> None:
        process = started(data, "api")
        end_leftovers(DataDir.at(data.root.parent / "other"), ["api"], patience=0)
        assert process.running
        stop_together([process])


class TestRotate:
    def test_a_large_log_is_emptied_under_its_writer_and_kept_once(self, tmp_path: Path) -> None:
        log = tmp_path / "api.log"
        with log.open("ab", buffering=0) as writer:
            writer.write(b"x" * (LARGEST_LOG_BYTES + 1))
            rotate(log)
            writer.write(b"after")
        assert log.read_bytes() == b"after"
        assert (tmp_path / "api.log.1").stat().st_size == LARGEST_LOG_BYTES + 1

    def test_a_small_log_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "api.log").write_text("short")
        rotate(tmp_path / "api.log")
        assert [path.name for path in tmp_path.iterdir()] == ["api.log"]
