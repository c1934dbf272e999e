"""An answer other than acceptance, in a provider's own words."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Raised by the checks; `code` is what `GET /stats` counts it under."""

    def __init__(
        self,
        status: int,
        code: int | str,
        body: Any,
        *,
        headers: Mapping[str, str] | None = None,
        throttled: bool = False,
    ) -> None:
        super().__init__(f"HTTP {status}, {code}")
        self.status, self.code, self.body = status, str(code), body
        self.headers = dict(headers or {})
        self.throttled = throttled
