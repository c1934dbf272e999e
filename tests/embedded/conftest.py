from collections.abc import Iterator

import pytest

from app.embedded.datadir import DataDir
from tests.embedded.places import data_directory


@pytest.fixture
def data() -> Iterator[DataDir]:
    with data_directory() as made:
        yield made
