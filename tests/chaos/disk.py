"""A disk of the database's own that can be made full: a tmpfs, mounted over the directory of its files."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = 3_000_000_000  # an upper limit: only what is written takes memory
MARGIN = 65_536
# In a user namespace an ordinary user may mount; `--keep-caps` lets the programs started in it do so, too.
NAMESPACE = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--"]


@dataclass
class SmallDisk:
    path: Path

    @classmethod
    @contextmanager
    def below(cls, directory: Path) -> "Iterator[SmallDisk]":
        """Put the files of the directory on a disk of their own until the block ends."""
        owner = directory.stat()
        aside = directory.with_name(directory.name + ".aside")
        directory.rename(aside)
        directory.mkdir(mode=0o700)
        os.chown(directory, owner.st_uid, owner.st_gid)
        _mount(directory, f"size={SIZE},mode=0700,uid={owner.st_uid},gid={owner.st_gid}")
        try:
            subprocess.run(["cp", "--archive", f"{aside}/.", directory], check=True)
            shutil.rmtree(aside)
            yield cls(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)

    def fill(self) -> int:
        """Leave no room for anything; how many bytes are free. The disk shrinks to what is on it, which takes no
        memory, as a file that fills it up would."""
        for _ in range(100):
            used = self._used()
            if self._resize(used + MARGIN):
                return self._free()
        raise OSError(f"{self.path} grows faster than it can be filled")

    def free(self) -> None:
        if not self._resize(SIZE):
            raise OSError(f"{self.path} cannot be enlarged")

    def _used(self) -> int:
        told = os.statvfs(self.path)
        return (told.f_blocks - told.f_bfree) * told.f_frsize

    def _free(self) -> int:
        told = os.statvfs(self.path)
        return told.f_bavail * told.f_frsize

    def _resize(self, size: int) -> bool:
        done = subprocess.run(["mount", "-o", f"remount,size={size}", self.path], capture_output=True)
        return done.returncode == 0


def _mount(directory: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True, capture_output=True)


def why_impossible() -> str:
    """Why this process cannot mount a disk; empty when it can."""
    if sys.platform != "linux":
        return "only Linux has tmpfs"
    with tempfile.TemporaryDirectory(prefix="relay-") as name:
        try:
            _mount(Path(name), "size=1m")
        except FileNotFoundError:
            return "there is no `mount`"
        except subprocess.CalledProcessError as error:
            return f"mounting is not allowed here ({error.stderr.decode().strip()})"
        subprocess.run(["umount", name], check=True)
    return ""


def enter_namespace(arguments: list[str]) -> None:
    """Begin this program anew where an ordinary user may mount; returns when that is not possible."""
    probe = subprocess.run([*NAMESPACE, "true"], capture_output=True) if shutil.which(NAMESPACE[0]) else None
    if probe is not None and probe.returncode == 0 and "CHAOS_NAMESPACE" not in os.environ:
        os.environ["CHAOS_NAMESPACE"] = "entered"
        os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, "-m", "tests.chaos", *arguments])
