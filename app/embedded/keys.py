"""The master keys of the embedded profile, kept in the data directory."""

import base64
import os
import secrets
import stat
from pathlib import Path

from app.embedded.datadir import DataDir
from app.embedded.errors import PlatformError
from app.settings import parse_master_keys


def ensure_master_keys(data_dir: Path) -> str:
    """The keys of this data directory (`kid:base64,…`), made on first use. Raises PlatformError on a bad file."""
    data = DataDir.at(data_dir)
    if not data.keys.exists():
        data.make()
        _create(data.keys, f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    return read_master_keys(data_dir)


def read_master_keys(data_dir: Path) -> str:
    """The keys kept in the data directory. Raises PlatformError when others can read them or they are damaged."""
    path = DataDir.at(data_dir).keys
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except OSError as error:
        raise PlatformError(f"{path} cannot be read ({error.strerror}): run as its owner") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PlatformError(f"{path} can be used by other users (mode {mode & 0o777:04o}): chmod 600 {path}")
    try:
        parse_master_keys(text)
    except ValueError as error:
        raise PlatformError(f"{path} {error}: restore it from a backup") from error
    return text


def _create(path: Path, text: str) -> None:
    """Write the whole file or nothing; whoever comes second keeps the first one's keys."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
