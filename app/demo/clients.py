"""The two HTTP sides: Relay's API with a tenant's key, and the control API of the simulator."""

from types import TracebackType
from typing import Any, Self

import httpx

from app.demo.errors import DemoFailed

TIMEOUT_SECONDS = 30


class JsonClient:
    """Answers with parsed JSON. Anything but success raises DemoFailed with the other side's words."""

    def __init__(self, base_url: str, key: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Straight to the address: a proxy of the environment knows nothing of this machine's loopback.
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = await self.http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {path}: {type(error).__name__} {error}".strip()) from error
        if not answer.is_success:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer

    async def get(self, path: str, **params: Any) -> Any:
        return (await self.call("GET", path, params=params)).json()

    async def post(self, path: str, body: Any) -> Any:
        return (await self.call("POST", path, json=body)).json()

    async def put(self, path: str, body: Any) -> Any:
        return (await self.call("PUT", path, json=body)).json()
