"""Generated requests from the OpenAPI document: whatever is asked, the answer is never a failure of ours."""

from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok

from tests.routes.conftest import Api

EXAMPLES = 6
LEFT_OUT = ("/v1/webhooks", "/docs", "/v1/contacts/import")  # not JSON; tested by themselves


async def cases_of(api: Api) -> list[Any]:
    schema = schemathesis.openapi.from_dict((await api.get("/openapi.json")).json())
    found = []
    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok), operation  # else the document itself is wrong
        made = operation.ok()
        if not made.path.startswith(LEFT_OUT):
            found.append(made)
    return found


class TestGeneratedRequests:
    @pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
    async def test_no_request_is_answered_with_a_failure(self, api: Api, mode: Any) -> None:
        operations = await cases_of(api)
        assert len(operations) > 20
        requests: list[tuple[str, str, dict[str, Any]]] = []
        for operation in operations:
            _collect(operation.as_strategy(generation_mode=mode), requests)
        for method, path, options in requests:
            answer = await _send(api, method, path, options)
            if answer is not None:
                assert answer.status_code < 500, (method, path, options, answer.text)
                if answer.status_code >= 400:
                    assert answer.headers["content-type"] == "application/problem+json", (method, path, options)


def _collect(strategy: st.SearchStrategy[Any], requests: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Draw a few cases; they are sent later, because drawing is not asynchronous."""

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def draw(case: Any) -> None:
        options = case.as_transport_kwargs(base_url="http://relay.test")
        url = options.pop("url")
        requests.append((options.pop("method"), url, options))

    with suppress(Unsatisfiable):  # nothing about this operation can be wrong
        draw()


async def _send(api: Api, method: str, url: str, options: dict[str, Any]) -> httpx.Response | None:
    headers = {
        str(name): str(value)
        for name, value in (options.get("headers") or {}).items()
        if str(name).lower() not in {"authorization", "x-tenant-id", "idempotency-key", "content-length"}
        and str(value).isascii()
        and str(value).isprintable()
    }
    try:
        return await api.request(
            method,
            url,
            headers=headers,
            params=options.get("params"),
            **({"json": options["json"]} if "json" in options else {}),
        )
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
        return None  # can't be sent by this client at all
