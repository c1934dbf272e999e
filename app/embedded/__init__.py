"""The embedded profile: everything Relay needs, on one machine, below one data directory.

Every command goes through `resolve`, so all of them reach the same database, engine and keys.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import SecretStr

from app.embedded.datadir import DataDir, DataDirInUse, lock
from app.embedded.errors import PlatformError
from app.embedded.keys import ensure_master_keys, read_master_keys
from app.embedded.postgres import PostgresServer, answers, database_url
from app.settings import Settings

STARTING_SECONDS = 30

__all__ = ["PlatformError", "database", "require_master_keys", "resolve", "resolve_database_url"]


def resolve_database_url(settings: Settings) -> str:
    """The database of these settings: the one they name, else the embedded one of the data directory."""
    return settings.database_url.get_secret_value() if settings.database_url else database_url(settings.data_dir)


def resolve(settings: Settings) -> Settings:
    """The settings with database, engine address and master keys filled in from the data directory.

    With a database of its own choosing no keys are made, because other machines would not have them; those already
    in the data directory stay in use. Raises PlatformError on a key file that is damaged or open to others.
    """
    keys = settings.master_keys
    if keys is None and settings.database_url is None:
        keys = SecretStr(ensure_master_keys(settings.data_dir))
    elif keys is None and DataDir.at(settings.data_dir).keys.exists():
        keys = SecretStr(read_master_keys(settings.data_dir))
    resolved = settings.model_copy(
        update={
            "data_dir": DataDir.at(settings.data_dir).root,
            "database_url": SecretStr(resolve_database_url(settings)),
            "temporal_address": settings.temporal_target,
            "master_keys": keys,
        }
    )
    resolved.__dict__.pop("keys", None)  # cached from the keys of before
    return resolved


def require_master_keys(resolved: Settings) -> None:
    """Raises PlatformError when there are no keys to encrypt credentials with."""
    if resolved.master_keys is None:
        raise PlatformError(
            "RELAY_MASTER_KEYS is not set: give it one k1:<key>, the key made by `openssl rand -base64 32`, "
            "and keep it: stored credentials cannot be read without it"
        )


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of a database that answers, for one command.

    The embedded server is started for the duration when nothing runs it. Raises PlatformError.
    """
    url = resolve_database_url(settings)
    if settings.database_url is not None:
        yield url
        return
    data = DataDir.at(settings.data_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(data))
        except DataDirInUse as in_use:
            _wait_for_other(data, in_use)
        else:
            stack.enter_context(PostgresServer(settings.data_dir))
        yield url


def _wait_for_other(data: DataDir, in_use: DataDirInUse) -> None:
    """Another process has the data directory, and with it the server: it may just be starting it."""
    deadline = time.monotonic() + STARTING_SECONDS
    while not answers(data):
        if time.monotonic() > deadline:
            raise PlatformError(f"process {in_use.pid} holds {data.root} but its database does not answer: stop it")
        time.sleep(0.2)
