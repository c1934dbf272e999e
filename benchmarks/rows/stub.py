"""How fast the provider of the other rows is: it must never be what they measure."""

import json
from uuid import uuid4

from benchmarks.frame import Measurement, Row, Trial
from benchmarks.load import drive, post
from benchmarks.platform import Platform

CONNECTIONS = 400  # with 20 ms each at most 20,000 answers a second


async def answered(platform: Platform, size: int) -> Measurement:
    """Prebuilt messages as fast as the stub takes them, from the load generator, which needs the other core."""
    requests = [
        post(
            "/v23.0/1/messages",
            json.dumps({"to": f"351910{n:06}", "type": "template", "biz_opaque_callback_data": str(uuid4())}).encode(),
        )
        for n in range(size)
    ]
    port = int(platform.stub.url.rpartition(":")[2])
    with platform.window() as window:
        report = await drive("127.0.0.1", port, requests, connections=CONNECTIONS)
    counts = await platform.stub.counts()
    platform.require(report.statuses == {200: size}, "the stub accepts every message")
    platform.require(counts.distinct == size and counts.repeated == 0, "the stub counts every message once")
    return Measurement(value=size / window.seconds, units=size, window=window, facts=report.facts())


ROWS = [
    Row(
        name="stub",
        title="provider stub: accepted alone",
        unit="messages/s",
        size=50_000,
        trial=Trial(measure=answered, needs=frozenset({"stub"})),
    )
]
