"""Over a real socket: what only a real server shows."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.settings import Settings
from tests.routes.conftest import Api


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """The application on a free port; its lifespan is already running."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", http="httptools", log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


class TestServer:
    async def test_fifty_megabytes_are_refused_with_a_problem(self, api: Api, address: str, settings: Settings) -> None:
        async def upload() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b" " * 1_000_000

        headers = {"Authorization": api.headers["Authorization"], "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30) as client:
            answer = await client.post("/v1/contacts", content=upload())
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
            made = await client.post("/v1/contacts", json={"email": "ana@example.com"})
            assert made.status_code == 201

    async def test_raw_nonsense_in_the_path_is_no_failure(self, api: Api, address: str) -> None:
        async with httpx.AsyncClient(base_url=address, headers=dict(api.headers)) as client:
            for path in ("/v1/contacts/%00", "/v1/contacts/%FF%FE", "/u/%00", "/u/%ff", "/v1/%2e%2e/x"):
                answer = await client.get(path)
                assert answer.status_code in {404, 422}, path
                assert answer.headers["content-type"] == "application/problem+json"
