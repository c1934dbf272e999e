"""One turn of the outbox: claim in one transaction, send outside of any, record in another."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from loguru import logger
from sqlalchemy import Row, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import Receipt
from app.db import Sessions, clock
from app.domain.status import CampaignStatus, Channel
from app.domain.tenant_rules import rules_of
from app.errors import OutcomeUnknown, ProviderMisconfigured, RateLimited, SendError
from app.repositories import outbox, sender_troubles
from app.services import sending
from app.services.limits import Room, SendLimits
from app.services.senders import Sender, Senders
from app.services.sending import Chooser, LaunchedCampaign, Outgoing, Recorded, Renderer, Step

T = TypeVar("T")
Answers = Sequence[Receipt | SendError]
CHUNK = 100
# What a provider accepted must be written down: a database that is away for this long loses nothing.
RECORD_TRIES = 30
CAMPAIGNS_KEPT = 64
# For so long a turn waits for room, before it looks whether the campaign still runs.
ROOM_SECONDS = 1.0

_STATUS = (
    "SELECT campaigns.status, clock_timestamp() AS now, "
    "EXISTS (SELECT FROM sender_troubles WHERE tenant_id = campaigns.tenant_id) AS troubled, "
    "(SELECT CAST(settings_json AS text) FROM tenants WHERE id = campaigns.tenant_id) AS tenant_settings "
    "FROM campaigns"
)
_STATUS_HELD_FAST = text(f"{_STATUS} WHERE id = :id FOR SHARE OF campaigns")
# The recipient before anything is read of it: a statement that had to wait for it would still see what was before.
_BOTH_HELD_FAST = text(
    f"{_STATUS} JOIN campaign_recipients r ON r.campaign_id = campaigns.id "
    "WHERE campaigns.id = :id AND r.contact_id = :contact_id FOR SHARE OF campaigns FOR UPDATE OF r"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standstill:
    """A sender that has to be mended by a person. `key` stays the same while the trouble does."""

    key: str
    words: str

    @classmethod
    def of(cls, error: ProviderMisconfigured) -> "Standstill":
        return cls(key=error.detail, words=error.detail)

    @classmethod
    def of_sender(cls, trouble: sender_troubles.Trouble) -> "Standstill":
        return cls(key=f"{trouble.id} {trouble.since.isoformat()}", words=sending.words(trouble))


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one turn did: how the claim went and what came of it. `standstill`: some wait for the mend of a sender."""

    chunk: sending.Chunk
    recorded: Recorded
    standstill: Standstill | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Whom a turn looks at: a page of step 0, everybody whose hold is over, or one contact at a step."""

    tenant_id: UUID
    campaign_id: UUID
    step: int = 0
    after: UUID | None = None
    last: UUID | None = None
    contact_id: UUID | None = None


class Outbox:
    def __init__(self, sessions: Sessions, senders: Senders, renderer: Renderer) -> None:
        self.sessions, self.senders, self.renderer = sessions, senders, renderer
        self.limits = SendLimits(sessions)
        self._campaigns: dict[UUID, LaunchedCampaign] = {}
        self._chunks = 0
        self._calm = asyncio.Event()
        self._calm.set()

    async def until_calm(self, at_most: timedelta) -> None:
        """Until no chunk of a page is claimed, sent or recorded here, as when its sender's limit makes it wait."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._calm.wait(), at_most.total_seconds())

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._chunks += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._chunks -= 1
            if not self._chunks:
                self._calm.set()

    async def campaign(self, tenant_id: UUID, campaign_id: UUID) -> LaunchedCampaign:
        """The launched campaign with its compiled templates, kept between calls: it does not change any more."""
        known = self._campaigns.get(campaign_id)
        if known is None:
            async with self.sessions.begin(tenant_id) as session:
                known = await sending.load_campaign(session, campaign_id)
            if len(self._campaigns) >= CAMPAIGNS_KEPT:
                self._campaigns.pop(next(iter(self._campaigns)))
            self._campaigns[campaign_id] = known
        return known

    async def turn(self, selection: Selection, claim_token: UUID, channel: Channel | None = None) -> Turn:
        """Claim, send and record one chunk. Unexpected errors are raised after everything else is recorded.

        `channel`: the one that had no room at the last turn; else there is waited for the step's first.
        """
        campaign = await self.campaign(selection.tenant_id, selection.campaign_id)
        step = campaign.steps[selection.step]
        want = 1 if selection.contact_id else CHUNK
        try:
            senders = await self._senders(campaign.tenant_id)
            room = await self.limits.room(senders.get(channel or step.channels[0]), want, seconds=ROOM_SECONDS)
            if selection.contact_id is not None:
                return await self._turn(campaign, step, selection, claim_token, room)
            with self._busy():
                return await self._turn(campaign, step, selection, claim_token, room)
        except ProviderMisconfigured as trouble:  # a sender that can't even be built
            return Turn(chunk=sending.Chunk(examined=0), recorded=Recorded(), standstill=Standstill.of(trouble))

    async def _turn(
        self, campaign: LaunchedCampaign, step: Step, selection: Selection, claim_token: UUID, room: Room
    ) -> Turn:
        try:
            chunk = await self._claim(campaign, step, selection, claim_token, room)
        except BaseException:
            room.close()
            raise
        room.close([item.permit for item in chunk.outgoing])
        results, unexpected = await self.send(chunk.outgoing)
        recorded = await self._record(campaign, step, results, claim_token)
        if unexpected is not None:
            raise unexpected
        standstill = Standstill.of_sender(chunk.trouble) if chunk.trouble else None
        return Turn(chunk=chunk, recorded=recorded, standstill=standstill)

    async def _senders(self, tenant_id: UUID) -> Mapping[Channel, Sender]:
        known = self.senders.known(tenant_id)
        if known is None:
            async with self.sessions.begin(tenant_id) as session:
                known = await self.senders.defaults(session, tenant_id)
        return known

    async def _claim(
        self, campaign: LaunchedCampaign, step: Step, selection: Selection, claim_token: UUID, room: Room
    ) -> sending.Chunk:
        async with self.sessions.begin(campaign.tenant_id) as session:
            # under a lock: after a pause was answered nothing more is claimed, and a resume sees each hold or none
            row = await _held_fast(session, selection)
            if row is None:
                return sending.Chunk(examined=0)
            status = CampaignStatus(row.status)
            if selection.contact_id is None and status is not CampaignStatus.RUNNING:
                return sending.Chunk(examined=0, status=status)
            senders = await self.senders.defaults(session, campaign.tenant_id)
            size = CHUNK if room.size is None else max(1, room.size)
            chooser = Chooser(
                campaign=campaign,
                step=step,
                status=status,
                senders=senders,
                renderer=self.renderer,
                now=row.now,
                day=timedelta(seconds=self.senders.settings.day_seconds),
                alone=selection.contact_id is not None,
                rules=rules_of(row.tenant_settings),
            )
            candidates = await _candidates(session, selection, size)
            troubles = await sender_troubles.still_open(session, campaign.tenant_id) if row.troubled else {}
            return await sending.claim_chunk(
                session, chooser, candidates, claim_token=claim_token, room=room, troubles=troubles
            )

    async def send(
        self, outgoing: Sequence[Outgoing]
    ) -> tuple[list[tuple[Outgoing, Receipt | SendError]], BaseException | None]:
        """Hand all of them to their providers at once. An unexpected error leaves its message unknown."""
        requests = sending.requests(outgoing)
        answered = await asyncio.gather(*(_request(items) for items in requests), return_exceptions=True)
        results: list[tuple[Outgoing, Receipt | SendError]] = []
        unexpected: BaseException | None = None
        for item, answer in _each(requests, answered):
            if not isinstance(answer, Receipt | SendError):
                unexpected = answer
                answer = OutcomeUnknown(f"Unexpected {type(answer).__name__} while sending.", repeat_settles=False)
            if isinstance(answer, RateLimited) and not answer.recipient_only:
                self.limits.block(item.sender, answer.pause)
            results.append((item, answer))
        return results, unexpected

    async def _record(
        self,
        campaign: LaunchedCampaign,
        step: Step,
        results: list[tuple[Outgoing, Receipt | SendError]],
        claim_token: UUID,
    ) -> Recorded:
        if not results:
            return Recorded()

        async def write(session: AsyncSession) -> Recorded:
            now = await clock(session)
            return await sending.record(session, campaign, step, results, claim_token=claim_token, now=now)

        return await persistently(self.sessions, campaign.tenant_id, write)


def _each(
    requests: Sequence[Sequence[Outgoing]], answered: Sequence[Answers | BaseException]
) -> Iterator[tuple[Outgoing, Receipt | SendError | BaseException]]:
    for items, answers in zip(requests, answered, strict=True):
        if isinstance(answers, BaseException):
            yield from ((item, answers) for item in items)
        else:
            yield from zip(items, answers, strict=True)


async def _request(items: Sequence[Outgoing]) -> Answers:
    """Within the limits they were claimed under; a message that misses its turn does not leave."""
    try:
        late = {item.id: error for item in items if (error := await _turn_of(item)) is not None}
        leaving = [item for item in items if item.id not in late]
        answers = dict(zip((item.id for item in leaving), await _deliver(leaving), strict=True))
        return [late.get(item.id) or answers[item.id] for item in items]
    finally:
        for item in items:
            if item.permit is not None:
                item.permit.answered()


async def _turn_of(item: Outgoing) -> SendError | None:
    try:
        if item.permit is not None:
            await item.permit.turn()
        if item.pair is not None:
            item.pair.check()
    except SendError as error:
        return error
    return None


async def _deliver(items: Sequence[Outgoing]) -> Answers:
    if not items:
        return []
    adapter = items[0].sender.adapter
    try:
        if len(items) > 1:
            return await adapter.send_batch([item.message for item in items])
        return [await adapter.send(items[0].message)]
    except SendError as error:
        return [error] * len(items)


async def _held_fast(session: AsyncSession, selection: Selection) -> Row[Any] | None:
    """How the campaign stands, and nobody changes that now; None for a contact that is not in it."""
    if selection.contact_id is None:
        return (await session.execute(_STATUS_HELD_FAST, {"id": selection.campaign_id})).one()
    values = {"id": selection.campaign_id, "contact_id": selection.contact_id}
    return (await session.execute(_BOTH_HELD_FAST, values)).one_or_none()


async def _candidates(session: AsyncSession, selection: Selection, size: int) -> Sequence[outbox.Candidate]:
    if selection.contact_id is not None:
        return await outbox.one(session, selection.campaign_id, selection.contact_id, selection.step)
    if selection.last is not None:
        return await outbox.pending_of_page(session, selection.campaign_id, selection.after, selection.last, size)
    return await outbox.due_of_held(session, selection.campaign_id, size)


async def persistently(sessions: Sessions, tenant_id: UUID, write: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run `write` in a transaction, again while the database is away or picks it as a deadlock's victim."""
    for attempt in range(RECORD_TRIES):
        try:
            async with sessions.begin(tenant_id) as session:
                return await write(session)
        except (OperationalError, InterfaceError) as error:
            if attempt == RECORD_TRIES - 1:
                raise
            logger.warning("recording is tried again: {}", type(error.orig).__name__)
            await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
    raise AssertionError("unreachable")
