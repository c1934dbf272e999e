"""The Graph API's answers: their JSON, and the error that a refusal means."""

from typing import Any

import httpx
import orjson

from app.channels.http import retry_after
from app.channels.webhooks import mapping
from app.channels.whatsapp.cloud.faults import code_of, detail_of, fault_of
from app.errors import SendError


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The body as an object; empty when it is none."""
    try:
        return mapping(orjson.loads(response.content))
    except orjson.JSONDecodeError:
        return {}


def error_of(response: httpx.Response, error: dict[str, Any]) -> SendError:
    fault = fault_of(error, response.status_code)
    code = code_of(error) or f"http_{response.status_code}"
    detail = detail_of(error) or f"HTTP {response.status_code}: {response.text[:200]}"
    return fault.error(detail, code=code, retry_after=retry_after(response))
