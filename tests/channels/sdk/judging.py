"""Two judges of one request: an adapter's `verify`, and the provider's own library."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from app.channels.base import Adapter, WebhookRequest
from app.errors import InvalidSignature
from tests.simulator.receiver import Posted

Judge = Callable[[WebhookRequest], bool]


def relay(adapter: Adapter) -> Judge:
    def accepts(request: WebhookRequest) -> bool:
        try:
            adapter.verify(request)
        except InvalidSignature:
            return False
        return True

    return accepts


def with_headers(request: WebhookRequest, headers: Mapping[str, str]) -> WebhookRequest:
    return replace(request, headers={**request.headers, **headers})


def without(request: WebhookRequest, *names: str) -> WebhookRequest:
    return replace(request, headers={name: value for name, value in request.headers.items() if name not in names})


def changed(body: bytes, place: int) -> bytes:
    """The same with one bit of one byte flipped."""
    altered = bytearray(body)
    altered[place] ^= 1
    return bytes(altered)


def received(posted: Posted) -> WebhookRequest:
    """What a sandbox posted, as the route hands it to an adapter."""
    headers = {name.lower(): value for name, value in posted.headers.items()}
    return WebhookRequest(method="POST", url=posted.url, headers=headers, query={}, body=posted.body)
