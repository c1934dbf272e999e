import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded.datadir import DataDir, DataDirInUse, lock
from app.embedded.errors import PlatformError

HOLD = """
import sys, pathlib
from app.embedded.datadir import DataDir, lock
with lock(DataDir.at(pathlib.Path(sys.argv[1]))):
    sys.stdout.write("held"); sys.stdout.flush()
    sys.stdin.read()
"""


class TestLock:
    def test_the_second_is_refused_with_the_number_of_the_first(self, data: DataDir) -> None:
        with lock(data), pytest.raises(DataDirInUse, match=f"in use by process {os.getpid()}"), lock(data):
            pass

    def test_it_is_free_again_once_let_go(self, data: DataDir) -> None:
        with lock(data):
            pass
        with lock(data):
            assert (data.run / "lock").read_text() == str(os.getpid())

    def test_a_killed_holder_holds_nothing(self, data: DataDir) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(data.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.read(4) == b"held"
            with pytest.raises(DataDirInUse, match=str(holder.pid)), lock(data):
                pass
            holder.kill()
        with lock(data):
            pass


class TestMake:
    def test_others_cannot_look_inside(self, data: DataDir) -> None:
        data.make()
        assert data.root.stat().st_mode & 0o066 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in data.root.iterdir())

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(PlatformError, match="cannot be written.*RELAY_DATA_DIR"):
            DataDir.at(tmp_path / "file" / "data").make()
