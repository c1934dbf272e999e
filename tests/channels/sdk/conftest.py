"""The provider sandbox and a receiver of its webhooks, as in its own tests."""

import pytest

from tests.simulator.conftest import client, listening, receiver, server

__all__ = ["client", "direct", "listening", "receiver", "server"]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries take a proxy of the environment also for this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
