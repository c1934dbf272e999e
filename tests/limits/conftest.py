import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import processes
from tests.crash.processes import Stores


@pytest.fixture(scope="package")
def stores() -> Iterator[Stores]:
    # a short path for PostgreSQL's socket, which its own user must be able to reach
    with (
        tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as path,
        processes.stores(Path(path) / "data") as made,
    ):
        yield made
