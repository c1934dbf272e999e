"""One sender's limit in this process: its part of the permits, who waits for some, and the lease that keeps them."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import SQLAlchemyError

from app.db import Sessions
from app.domain.permits import LEASE_SECONDS, Settlement, Window
from app.errors import ProviderUnavailable
from app.ids import new_id
from app.repositories import rate_buckets
from app.services.limits.permits import Permits

# A permit is handed out so much before it may be used, so that the claim is through when its time has come.
AHEAD_SECONDS = 0.1
# A chunk waits until it can have so much of the permits: a claim costs about the same for one message as for a few.
CHUNK_SHARE = 0.05
RENEW_SECONDS = 0.8
# What is lacking comes from another worker, or with the next answers.
LACKING_SECONDS = 0.1
# While others have what is wanted here, or want what is here.
CONTESTED_SECONDS = 0.2
# Without use for so long, the permits go back.
IDLE_SECONDS = 0.5
# More steps of single contacts than this don't wait here: they would take the place of other tenants' work.
MOST_WAITING = 20


@dataclass(slots=True)
class _Waiter:
    want: int
    answer: "asyncio.Future[list[Permit]]"


class SenderLimit:
    """Only one task renews the lease; everything else is done at once, on this process's own clock."""

    def __init__(self, sessions: Sessions, tenant_id: UUID, settings_id: UUID, window: Window) -> None:
        self.sessions, self.tenant_id, self.settings_id, self.window = sessions, tenant_id, settings_id, window
        self.free, self.leaving = Permits(), Permits()
        self.busy = 0  # handed out: reserved, or with the provider
        self.surplus = 0  # of the busy ones: to be given up when they come back
        self.missed = 0  # asked for and not there, by somebody who does not wait
        self.epoch = 0
        self.usable_until = self.used_at = self.blocked_until = 0.0
        self.contested = self.lacking = False
        self._holder = new_id().hex
        self._waiting: tuple[deque[_Waiter], deque[_Waiter]] = (deque(), deque())  # urgent ones, others
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._next_return = 0.0

    @property
    def held(self) -> int:
        return self.free.count + self.leaving.count + self.busy

    async def reserve(self, want: int, *, seconds: float, urgent: bool = False) -> "list[Permit]":
        """Up to `want` permits as soon as there are any, in turn; none after `seconds`, or while nothing may leave."""
        if monotonic() < self.blocked_until or (want == 1 and len(self._waiting[1]) >= MOST_WAITING and not urgent):
            return []
        waiter = _Waiter(want, asyncio.get_running_loop().create_future())
        self._waiting[0 if urgent else 1].append(waiter)
        self._serve()
        try:
            if not waiter.answer.done():
                self._ask()
                await asyncio.wait([waiter.answer], timeout=seconds)
            return waiter.answer.result() if waiter.answer.done() else []
        except asyncio.CancelledError:
            for permit in waiter.answer.result() if waiter.answer.done() else []:
                permit.give_back()
            raise
        finally:
            waiter.answer.cancel()

    def take(self, want: int) -> "list[Permit]":
        """Up to `want` permits that are there now; what is lacking is asked for."""
        permits = self._hand_out(want)
        if len(permits) < want:
            self.missed = max(self.missed, want - len(permits))
            self._ask()
        return permits

    def return_in(self) -> float:
        """In how many seconds one who found no room had best come back: each a little later than the one before."""
        now = monotonic()
        pace = self.window.seconds / self.window.permits
        self._next_return = max(self._next_return, self.blocked_until, now + LACKING_SECONDS) + pace
        return self._next_return - now

    def block(self, seconds: float) -> None:
        """Nothing more leaves from here before this is over."""
        self.blocked_until = max(self.blocked_until, monotonic() + seconds)

    def usable(self, epoch: int) -> bool:
        now = monotonic()
        return epoch == self.epoch and self.blocked_until <= now <= self.usable_until

    def put_back(self, at: float, epoch: int) -> None:
        """A permit that was handed out: from `at` on it may be used again, or is another's."""
        if epoch != self.epoch:
            return  # the lease had run out: it is not ours any more
        self.busy -= 1
        if self.surplus:
            self.surplus -= 1
            self.leaving.put(at)
        else:
            self.free.put(at)
        if any(self._waiting):
            self._serve()

    async def close(self) -> None:
        """Give back what is held; what is not free yet will be by itself in a second."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        try:
            await self._settle(held=self.held, want=0, leaving=True)
        except SQLAlchemyError as error:
            logger.warning("the permits of sender {} lapse by themselves: {!r}", self.settings_id, error)

    # Handing out

    def _hand_out(self, want: int) -> "list[Permit]":
        now = monotonic()
        if now > self.usable_until or now < self.blocked_until:
            return []
        permits = [Permit(self, at, self.epoch) for at in self.free.take(want, now + AHEAD_SECONDS)]
        self.busy += len(permits)
        self.used_at = now
        return permits

    def _serve(self) -> None:
        """Give those who wait what is there, and come back when there is more."""
        for waiting in self._waiting:
            while waiting:
                if waiting[0].answer.done():
                    waiting.popleft()
                    continue
                least = min(waiting[0].want, max(1, int(self.held * CHUNK_SHARE)))
                ready = self.free.when(least)
                now = monotonic()
                if ready is None or now > self.usable_until:
                    self._come_back(None)
                    return
                at = max(ready - AHEAD_SECONDS, self.blocked_until)
                if at > now:
                    self._come_back(at)
                    return
                waiter = waiting.popleft()
                waiter.answer.set_result(self._hand_out(waiter.want))

    def _come_back(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if at is not None:  # else somebody puts permits back, or the lease brings some
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(at - monotonic(), 0.001), self._serve)

    # The lease

    def _ask(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep())
        elif self.held < self.window.permits:
            self._wake.set()

    async def _keep(self) -> None:
        """Hold a lease for as long as the sender is used here."""
        while True:
            self._wake.clear()
            try:
                await self._renew()
            except SQLAlchemyError as error:
                logger.warning("the limit of sender {} waits for the database: {!r}", self.settings_id, error)
                await asyncio.sleep(CONTESTED_SECONDS)
                continue
            self._serve()
            if not self.held and not self._want(monotonic()):
                return
            if self.lacking:
                await asyncio.sleep(CONTESTED_SECONDS)
            elif self.leaving.count:
                await asyncio.sleep(CONTESTED_SECONDS / 2)
            else:
                await _either(self._wake, RENEW_SECONDS)

    async def _renew(self) -> None:
        now = monotonic()
        if now > self.usable_until:
            self._lose()
        want = self._want(now)
        self._give_up(now, want)
        found = await self._settle(held=self.held, want=want)
        if found.lapsed:
            self._lose()
        self.missed = 0
        self.usable_until = now + LEASE_SECONDS
        self.contested, self.lacking = found.contested, want > found.permits
        gained = found.permits - self.held
        pace = self.window.seconds / self.window.permits  # new ones in turn, so that they are used evenly
        begin = monotonic()
        for place in range(gained):
            self.free.put(begin + place * pace)
        self._let_go(max(0, found.permits - self.leaving.count - found.keep))

    async def _settle(self, *, held: int, want: int, leaving: bool = False) -> Settlement:
        async with self.sessions.begin(self.tenant_id) as session:
            return await rate_buckets.renew(
                session,
                tenant_id=self.tenant_id,
                settings_id=self.settings_id,
                holder=self._holder,
                held=held,
                want=want,
                window=self.window,
                leaving=leaving,
            )

    def _want(self, now: float) -> int:
        """What is used, what is waited for, and a little more while nobody else lacks it."""
        waited = sum(waiter.want for waiting in self._waiting for waiter in waiting if not waiter.answer.done())
        used = self.busy + self.free.count - self.free.due(now)
        if not waited and not self.missed and not self.busy and now - self.used_at > IDLE_SECONDS:
            return 0
        need = used + waited + self.missed
        if not self.contested:
            need += need // 4 + 2
        return min(self.window.permits, need)

    def _give_up(self, now: float, want: int) -> None:
        """Forget the permits that are another's, or that nobody here needs; only what is free is given up."""
        self.leaving.take(self.leaving.count, now)
        if not want or self.free.count + self.busy > 2 * want:
            self.free.take(self.free.count + self.busy - want, now)

    def _let_go(self, number: int) -> None:
        """The others are due so many: at once of what is at rest, and the others when they come back."""
        for at in self.free.take(number):
            self.leaving.put(at)
            number -= 1
        self.surplus = min(number, self.busy)

    def _lose(self) -> None:
        """The lease has run out: what is under way keeps its permits in the old holder's name, until they lapse."""
        self.epoch += 1
        self._holder = new_id().hex
        self.busy = self.surplus = 0
        self.free.clear()
        self.leaving.clear()


class Permit:
    """The right to send one message, from `at` on."""

    __slots__ = ("_epoch", "_limit", "_open", "at")

    def __init__(self, limit: SenderLimit, at: float, epoch: int) -> None:
        self.at, self._limit, self._epoch, self._open = at, limit, epoch, True

    async def turn(self) -> None:
        """Wait until the message may leave. Raises ProviderUnavailable if it may not any more."""
        while (early := self.at - monotonic()) > 0:  # noqa: ASYNC110, a timer may be a little early
            await asyncio.sleep(early)
        if not self._limit.usable(self._epoch):
            raise ProviderUnavailable("It could not leave in its turn, within the sender's limit.")

    def answered(self) -> None:
        """The provider has answered, or never will: a second from now the permit is free again."""
        self._return(monotonic() + self._limit.window.seconds)

    def give_back(self) -> None:
        """Nothing left with it."""
        self._return(self.at)

    def _return(self, at: float) -> None:
        if self._open:
            self._open = False
            self._limit.put_back(at, self._epoch)


async def _either(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
