"""Examples in the API reference."""

from typing import Any


def answer(status: int, example: Any) -> dict[int | str, dict[str, Any]]:
    """The `responses` entry that shows `example` as the answer with `status`."""
    return {status: {"content": {"application/json": {"example": example}}}}


def listed(example: Any) -> dict[str, Any]:
    """`example` as the only item of a list."""
    return {"items": [example], "total": 1, "page": 1, "size": 50}
