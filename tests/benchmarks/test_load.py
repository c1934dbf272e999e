"""The load generator against the stub: every request answered once, at a pace too."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from app.embedded.ports import free_port
from benchmarks.load import drive, post
from benchmarks.stub import Connection, Ledger, StubClient


@dataclass(frozen=True)
class Stub:
    port: int
    ledger: Ledger

    @property
    def client(self) -> StubClient:
        return StubClient(f"http://127.0.0.1:{self.port}")


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    ledger, port = Ledger(), free_port()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(ledger, 0.0), "127.0.0.1", port)
    yield Stub(port, ledger)
    server.close()
    await server.wait_closed()


def message(number: int, reference: str = "") -> bytes:
    body = {"to": f"351{number}", "biz_opaque_callback_data": reference or f"ref-{number}"}
    return post("/v23.0/1/messages", orjson.dumps(body), Authorization="Bearer x")


class TestDrive:
    async def test_every_request_is_sent_once(self, stub: Stub) -> None:
        report = await drive("127.0.0.1", stub.port, [message(n) for n in range(100)], connections=7)
        assert report.statuses == {200: 100}
        assert report.answered == 100
        counts = await stub.client.counts()
        assert (counts.accepted, counts.distinct, counts.repeated) == (100, 100, 0)

    async def test_pace_sends_all_with_fewer_connections_than_requests(self, stub: Stub) -> None:
        requests = (message(n) for n in range(40))
        report = await drive("127.0.0.1", stub.port, requests, connections=2, per_second=1_000)
        assert report.statuses == {200: 40}
        assert set(report.facts()) == {"p50_ms", "p99_ms", "longest_ms"}

    async def test_fewer_requests_than_connections(self, stub: Stub) -> None:
        report = await drive("127.0.0.1", stub.port, [message(1)], connections=5)
        assert report.statuses == {200: 1}

    async def test_no_request(self, stub: Stub) -> None:
        assert (await drive("127.0.0.1", stub.port, [], connections=3)).answered == 0
        assert (await drive("127.0.0.1", stub.port, [], connections=3, per_second=10)).answered == 0

    async def test_refusals_are_counted_by_status(self, stub: Stub) -> None:
        requests = [message(1), post("/v23.0/1/messages", b"nonsense"), post("/nowhere", b"{}")]
        report = await drive("127.0.0.1", stub.port, requests, connections=1)
        assert report.statuses == {200: 1, 400: 1, 404: 1}

    async def test_server_that_hangs_up_is_an_error(self) -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        port = free_port()
        server = await asyncio.start_server(hang_up, "127.0.0.1", port)
        async with server:
            with pytest.raises(ConnectionError):
                await drive("127.0.0.1", port, [message(1), message(2)], connections=1)


class TestStub:
    async def test_second_message_with_a_reference_is_a_repetition(self, stub: Stub) -> None:
        requests = [message(1, "same"), message(1, "same"), message(2, "same")]
        await drive("127.0.0.1", stub.port, requests, connections=1)
        counts = await stub.client.counts()
        assert (counts.accepted, counts.distinct, counts.repeated) == (3, 2, 1)
        assert list(await stub.client.accepted_at()) == ["same"]

    async def test_request_in_pieces_is_one_request(self, stub: Stub) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", stub.port)
        request = message(5)
        for piece in (request[:30], request[30:-5], request[-5:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        writer.close()
        await writer.wait_closed()
        assert stub.ledger.accepted == 1
