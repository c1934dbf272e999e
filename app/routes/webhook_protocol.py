"""uvicorn's HTTP protocol, with a short way for webhooks: the most frequent requests by far, and they come in bursts.

The usual webhook is short, for a sender that is known, and rightly signed. It is verified and put down for storing as
soon as its last byte is read, and answered from the commit, without a task, the ASGI messages and the router, which
together cost more than all the rest. Anything else is played to the application, whose routes answer the same, and all
refusals: both ways end in `WebhookIntake`.
"""

from asyncio import Event
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.channels.base import WebhookRequest
from app.domain.status import Channel
from app.errors import AppError
from app.routes.problems import app_problem
from app.routes.webhooks import CHANNELS, PREFIX, answer_to
from app.services.webhooks import WebhookIntake

MOST_BYTES = 64 * 1024  # of a body; longer ones need uvicorn's flow control
PATH = PREFIX.encode()


class Delivery:
    """A request on the short way, in the place of uvicorn's cycle; what uvicorn asks of that is here."""

    message_event = Event()  # uvicorn sets it; nobody waits
    answer: Response

    def __init__(self, channel: Channel, settings: UUID, keep_alive: bool) -> None:
        self.channel, self.settings, self.keep_alive = channel, settings, keep_alive
        self.body = bytearray()
        self.more_body = True
        self.disconnected = self.response_complete = False


class WebhookProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain = self.limit_concurrency is None and not self.root_path and not self.access_log
        # what the application's lifespan left in its state
        self._intake: WebhookIntake | None = self.app_state.get("webhooks") if plain else None
        self._most_bytes = min(MOST_BYTES, self._intake.most_bytes) if self._intake else 0
        self._earlier: Any = None

    def on_headers_complete(self) -> None:
        delivery = self._usual()
        if delivery is None:
            super().on_headers_complete()
            return
        self._earlier, self.cycle = self.cycle, cast(Any, delivery)

    def on_message_complete(self) -> None:
        if isinstance(self.cycle, Delivery):
            self._take(self.cycle)
        else:
            super().on_message_complete()

    def _usual(self) -> Delivery | None:
        """The request, unless the application has to see it."""
        if self._intake is None or not self.url.startswith(PATH) or self.parser.get_method() != b"POST":
            return None
        if self.cycle is not None and not self.cycle.response_complete:  # pipelined: uvicorn keeps them in order
            return None
        channel, _, settings = self.url[len(PATH) :].partition(b"?")[0].decode("latin-1").partition("/")
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        if channel not in CHANNELS or not length.isdigit() or int(length) > self._most_bytes:
            return None
        if self.expect_100_continue or self.parser.should_upgrade() or b"#" in self.url or self.url.endswith(b"?"):
            return None
        try:
            keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            return Delivery(CHANNELS[channel], UUID(settings), keep_alive)
        except ValueError:
            return None

    def _take(self, delivery: Delivery) -> None:
        assert self._intake is not None
        delivery.more_body = False
        query = self.url.partition(b"?")[2].decode("latin-1")
        request = WebhookRequest(
            method="POST",
            url=self._intake.public_url + self.url.decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers},
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            body=bytes(delivery.body),
        )
        try:
            read = self._intake.read_at_once(delivery.channel, delivery.settings, request)
        except AppError:
            read = None  # refused: the application says it
        if read is None:
            self._play_to_application(delivery)
            return
        events, rows = read
        delivery.answer = answer_to(delivery.channel, request, events)
        self._intake.store(rows, partial(self._tell, delivery))

    def _play_to_application(self, delivery: Delivery) -> None:
        self.cycle = self._earlier
        super().on_headers_complete()
        super().on_body(bytes(delivery.body))
        super().on_message_complete()

    def _tell(self, delivery: Delivery, error: AppError | None) -> None:
        delivery.response_complete = True
        if delivery.disconnected:
            return
        response = delivery.answer if error is None else app_problem(error)
        parts = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if delivery.keep_alive else b"connection: close\r\n\r\n", bytes(response.body))
        self.transport.write(b"".join(parts))
        if not delivery.keep_alive:
            self.transport.close()
        self.on_response_complete()
