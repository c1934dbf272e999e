"""Everything the sandbox sends: webhooks, one-click unsubscribes, purchases and clicks, at their time and until they
arrive."""

import asyncio
import heapq
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import aiohttp
from loguru import logger
from yarl import URL

from app.simulator.accounts import MAILGUN, MESSAGEBIRD, RESEND, SENDGRID, SMTP, TWILIO, WHATSAPP
from app.simulator.behaviour import Behaviour

SENDGRID_INBOUND = "sendgrid_inbound"  # its mail, one a post, apart from its reports
# Seconds before each next attempt; the last one repeats. Multiplied by `retry_factor`.
RETRY_DELAYS = {
    WHATSAPP: (1, 2, 4, 8, 15),
    SENDGRID: (1, 2, 4, 8, 15),
    SENDGRID_INBOUND: (1, 2, 4, 8, 15),
    MAILGUN: (1, 2, 4, 8, 15),
    RESEND: (1, 2, 4, 8, 15),
    SMTP: (1, 2, 4, 8, 15),
    TWILIO: (2, 10, 30, 90, 180),  # five retries last through five minutes of outage
    MESSAGEBIRD: (1, 2, 4, 8, 15, 30, 60),
    "shop": (0.5, 1, 2, 5),
    "one_click": (1, 2, 4, 8, 15),
    "link": (1, 2, 4, 8, 15),
}
DAY = 86_400
LIFETIMES = {
    WHATSAPP: 7 * DAY, SENDGRID: DAY, MAILGUN: DAY, RESEND: DAY, SMTP: DAY, TWILIO: DAY, MESSAGEBIRD: DAY,
    "shop": 7 * DAY, "one_click": DAY, "link": DAY, SENDGRID_INBOUND: 3 * DAY,
}  # fmt: skip
MESSAGEBIRD_RETRIES = 10
SENDGRID_BATCH = 1_000  # about the 768 KB at which SendGrid posts
UNREACHABLE_PAUSE = 0.1  # seconds that a connection rests when nobody answers there: an outage must not eat the CPU
TICK = 0.005  # events that fall due within this many seconds are handled together


@dataclass(slots=True)
class Event:
    """Something that happens at its time (`effect`), and is then reported (`payload`) until the receiver takes it."""

    provider: str  # a provider, `shop`, `one_click` or `link`
    account: str
    payload: dict[str, Any]
    kind: str = "status"
    url: str = ""  # where to, when it is not the account's webhook URL
    effect: str = ""  # counted, and applied to the person, once
    channel: str = ""
    address: str = ""
    token: str = ""  # the same on every attempt
    attempts: int = 0
    born_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(slots=True)
class Lane:
    """Events of one account that are due, and the posts under way for it."""

    queue: deque[Event] = field(default_factory=deque)
    workers: int = 0


class Dispatcher:
    """`happen` applies an event's effect; `encode` turns a batch into a signed call, or None when nobody listens."""

    def __init__(
        self,
        behaviour: Callable[[], Behaviour],
        happen: Callable[[Event], None],
        encode: Callable[[list[Event]], Call | None],
    ) -> None:
        self.behaviour, self.happen, self.encode = behaviour, happen, encode
        self.heap: list[tuple[float, int, Event]] = []
        self.lanes: dict[tuple[str, str], Lane] = {}
        self.under_way: dict[int, list[Event]] = {}
        self.counts: Counter[str] = Counter()
        self.pending = 0
        self.order = count()
        self.tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()
        self.wakes_at = float("inf")
        self.random = random.Random(0)
        self.http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._spawn(self._pump())

    async def stop(self) -> None:
        """Stop posting. What was under way counts as not delivered, and is in `waiting()` again."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.http is not None:
            await self.http.close()

    def schedule(self, event: Event, at: float) -> None:
        """Let an event happen at a time (Unix seconds). Beyond `max_pending` it is dropped and counted."""
        if self.pending >= self.behaviour().max_pending:
            self.counts["dropped"] += 1
            return
        self.pending += 1
        event.born_at = event.born_at or at
        self._push(event, at)

    def _push(self, event: Event, at: float) -> None:
        heapq.heappush(self.heap, (at, next(self.order), event))
        if at < self.wakes_at:
            self.changed.set()

    def waiting(self) -> list[tuple[float, Event]]:
        """Every event not yet delivered, with its time."""
        now = time.time()
        events = [(at, event) for at, _, event in self.heap]
        events += [(now, event) for lane in self.lanes.values() for event in lane.queue]
        return events + [(now, event) for batch in self.under_way.values() for event in batch]

    def clear(self) -> None:
        self.pending -= len(self.heap) + sum(len(lane.queue) for lane in self.lanes.values())
        self.heap.clear()
        for lane in self.lanes.values():
            lane.queue.clear()
        for batch in self.under_way.values():  # an answer that comes later finds nothing to try again
            self.pending -= len(batch)
            batch.clear()
        self.counts.clear()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _pump(self) -> None:
        while True:
            self.changed.clear()
            self._release(time.time())
            self.wakes_at = self.heap[0][0] if self.heap else float("inf")
            wait = self.wakes_at - time.time() if self.heap else None
            try:
                async with asyncio.timeout(wait):
                    await self.changed.wait()
            except TimeoutError:
                pass
            self.wakes_at = 0.0
            await asyncio.sleep(TICK)

    def _release(self, now: float) -> None:
        woken: set[tuple[str, str]] = set()
        while self.heap and self.heap[0][0] <= now:
            _, _, event = heapq.heappop(self.heap)
            if event.effect:
                self.happen(event)
                event.effect = ""
            key = (event.provider, event.account)
            lane = self.lanes.get(key)
            if lane is None:
                lane = self.lanes[key] = Lane()
            lane.queue.append(event)
            woken.add(key)
        connections = self.behaviour().webhook_connections
        for key in woken:
            lane = self.lanes[key]
            batch = self._batch_size(key[0])
            while lane.workers < min(connections, -(-len(lane.queue) // batch)):
                lane.workers += 1
                self._spawn(self._work(lane, batch))

    def _batch_size(self, provider: str) -> int:
        if provider == WHATSAPP:
            return self.behaviour().whatsapp_batch
        return SENDGRID_BATCH if provider == SENDGRID else 1

    async def _work(self, lane: Lane, size: int) -> None:
        try:
            while lane.queue:
                batch = [lane.queue.popleft() for _ in range(min(size, len(lane.queue)))]
                self.under_way[id(batch)] = batch
                outcome = await self._post(batch)
                del self.under_way[id(batch)]
                if outcome == "taken":
                    self.pending -= len(batch)
                    continue
                self._try_again(batch)
                if outcome == "unreachable":
                    await asyncio.sleep(UNREACHABLE_PAUSE * self.behaviour().retry_factor)
        finally:
            lane.workers -= 1

    async def _post(self, batch: list[Event]) -> Literal["taken", "refused", "unreachable"]:
        """What the receiver did with the batch; it counts as taken when there is no receiver."""
        call = self.encode(batch)
        if call is None:
            return "taken"
        provider, retried = batch[0].provider, batch[0].attempts > 0
        for event in batch:
            event.attempts += 1
        self.counts["retried" if retried else "sent"] += 1
        lost = self._lose()
        if lost == "post":
            return "unreachable"
        assert self.http is not None
        timeout = aiohttp.ClientTimeout(total=self.behaviour().webhook_timeout_seconds)
        try:
            async with self.http.request(
                call.method,
                # The URL is signed as it was given: not one character may be quoted anew.
                URL(call.url, encoded=True),
                data=call.body or None,
                headers=call.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            logger.debug("{} to {}: {}", provider, call.url, error or type(error).__name__)
            return "unreachable"
        if lost == "answer":
            return "unreachable"
        if answer.status == 200 or (200 < answer.status < 300 and provider != MESSAGEBIRD):
            return "taken"
        if provider == "link" and answer.status < 500:  # a redirect, or a page that says why not
            return "taken"
        logger.debug("{} to {}: HTTP {}", provider, call.url, answer.status)
        return "refused"

    def _lose(self) -> Literal["post", "answer"] | None:
        """What of this attempt gets lost on its way. The sender can't tell which, and tries again."""
        share = self.behaviour().webhook_loss_share
        if not share or self.random.random() >= share:
            return None
        self.counts["lost"] += 1
        return "post" if self.random.random() < 0.5 else "answer"

    def _try_again(self, batch: list[Event]) -> None:
        behaviour, now = self.behaviour(), time.time()
        for event in batch:
            delays = RETRY_DELAYS[event.provider]
            most = {TWILIO: behaviour.twilio_retries, MESSAGEBIRD: MESSAGEBIRD_RETRIES}.get(event.provider)
            if (most is not None and event.attempts > most) or now - event.born_at > LIFETIMES[event.provider]:
                self.counts["dropped"] += 1
                self.pending -= 1
                continue
            delay = delays[min(event.attempts, len(delays)) - 1] * behaviour.retry_factor
            self._push(event, now + delay)
