"""What a campaign workflow has done: begin, freeze, send, arm, resume, end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from temporalio import activity

from activities import failures
from activities.outbox import Outbox, Selection, Standstill, Turn
from app.contracts.campaign import (
    STANDSTILL,
    ArmPage,
    ArmPageResult,
    CampaignPlan,
    CampaignRef,
    FreezePages,
    FrozenPages,
    HeldResult,
    Page,
    SendHeld,
    SendPage,
    SendPageResult,
)
from app.contracts.sequence import CAMPAIGN_RESUMED
from app.db import Sessions, clock
from app.domain.segment import parse_segment
from app.domain.status import CampaignStatus, StopReason
from app.ids import new_id
from app.models import Campaign
from app.repositories import audience, outbox, standstills
from app.services.sequences import SequencePlan, sequence_plan
from app.settings import Settings
from app.temporal import Workflows

PAGE = 500
PAGES_AT_ONCE = 10
ARMED_AT_ONCE = 100
# More starts at once only add latency: the engine's own work is the limit.
STARTS_AT_ONCE = 8
# A launch has the machine to itself: a batch is armed in its pauses, or after this long. J+1 is a day away.
ARMING_YIELDS = timedelta(seconds=5)
SHORT_WAIT, LONGEST_WAIT = timedelta(seconds=0.2), timedelta(seconds=5)

_BEGIN = text(
    "UPDATE campaigns SET status = 'running' WHERE id = :id AND status = 'pending' AND launched_at <= :now RETURNING id"
)
_FINISH = text(
    """
    UPDATE campaigns
    SET status = CASE WHEN status = 'running' THEN 'done' ELSE status END,
        status_detail = CASE WHEN status = 'paused' THEN 'done' ELSE :detail END,
        finished_at = coalesce(finished_at, now())
    WHERE id = :id AND status IN ('running', 'paused', 'done')
    RETURNING status
    """
)


class CampaignActivities:
    def __init__(self, sessions: Sessions, outbox: Outbox, workflows: Workflows, settings: Settings) -> None:
        self.sessions, self.outbox, self.workflows, self.settings = sessions, outbox, workflows, settings

    @activity.defn
    async def begin_campaign(self, input: CampaignRef) -> CampaignPlan:
        """Take the campaign from pending to running once its time has come, unless it was cancelled meanwhile."""
        async with self.sessions.begin(input.tenant_id) as session:
            now = await clock(session)
            await session.execute(_BEGIN, {"id": input.campaign_id, "now": now})
            campaign = await session.get_one(Campaign, input.campaign_id)
            plan = await sequence_plan(session, input.campaign_id, self.settings)
        return CampaignPlan(
            status=campaign.status.value,
            starts_at=plan.launched_at if plan.launched_at > now else None,
            finished=campaign.finished_at is not None,
            has_followups=bool(plan.followups),
            name=campaign.name,
        )

    @activity.defn
    async def freeze_pages(self, input: FreezePages) -> FrozenPages:
        """Write the next contacts of the segment into the audience, page by page."""
        pages: list[Page] = []
        after = input.after_contact
        for _ in range(PAGES_AT_ONCE):
            async with self.sessions.begin(input.tenant_id) as session:
                campaign = await session.get_one(Campaign, input.campaign_id)
                if campaign.finished_at is not None:  # a reset: whoever fits the segment only since is not part of it
                    return FrozenPages(pages=[], complete=True)
                now = await clock(session)
                contact_ids = await audience.freeze(
                    session,
                    tenant_id=input.tenant_id,
                    campaign_id=input.campaign_id,
                    segment=parse_segment(campaign.segment_json),
                    after=after,
                    size=PAGE,
                    launched_at=campaign.launched_at or now,
                    now=now,
                )
            if contact_ids:
                pages.append(Page(after=after, last=contact_ids[-1], size=len(contact_ids)))
                after = contact_ids[-1]
            if len(contact_ids) < PAGE:
                return FrozenPages(pages=pages, complete=True)
            activity.heartbeat()
        return FrozenPages(pages=pages, complete=False)

    @activity.defn
    async def send_page(self, input: SendPage) -> SendPageResult:
        """Send step 0 to everybody of the page that is not decided yet; ends when nobody of it is left."""
        page, token, sent, standstill = input.page, new_id(), 0, None
        async with self.sessions.begin(input.tenant_id) as session:
            await outbox.abandon_page(session, input.campaign_id, page.after, page.last, token)
        selection = Selection(
            tenant_id=input.tenant_id, campaign_id=input.campaign_id, after=page.after, last=page.last
        )
        async with heartbeats():
            async for turn in self._turns(selection, token):
                sent, standstill = sent + turn.recorded.sent, turn.standstill or standstill
                if turn.chunk.status is not CampaignStatus.RUNNING:
                    return SendPageResult(sent=sent, status=turn.chunk.status.value)
                if turn.chunk.examined or turn.chunk.wait is not None:
                    continue
                async with self.sessions.begin(input.tenant_id) as session:
                    left, due_at = await outbox.waiting_on_page(session, input.campaign_id, page.after, page.last)
                    now = await clock(session)
                if not left:
                    return SendPageResult(sent=sent, status=turn.chunk.status.value)
                if standstill:
                    _know(standstill, input.told)
                    return SendPageResult(sent=sent, status=STANDSTILL, told=standstill.key, words=standstill.words)
                await _wait(due_at - now if due_at else None)
        raise failures.handed_back()

    @activity.defn
    async def send_held(self, input: SendHeld) -> HeldResult:
        """Send step 0 to everybody whose hold is over; says when the next one is due."""
        sent, standstill = 0, None
        selection = Selection(tenant_id=input.tenant_id, campaign_id=input.campaign_id)
        async with heartbeats():
            async for turn in self._turns(selection, new_id()):
                sent, standstill = sent + turn.recorded.sent, turn.standstill or standstill
                if turn.chunk.status is not CampaignStatus.RUNNING:
                    return HeldResult(sent=sent, next_at=None, status=turn.chunk.status.value)
                if turn.chunk.examined or turn.chunk.wait is not None:
                    continue
                async with self.sessions.begin(input.tenant_id) as session:
                    next_at = await outbox.next_held(session, input.campaign_id)
                    now = await clock(session)
                status = turn.chunk.status.value
                if next_at is not None and standstill:
                    _know(standstill, input.told)
                    return HeldResult(
                        sent=sent, next_at=next_at, status=status, told=standstill.key, words=standstill.words
                    )
                if next_at is None or next_at > now:
                    waiting = await self._waiting(input)
                    return HeldResult(sent=sent, next_at=next_at, status=status, waiting=waiting)
                await _wait(next_at - now)
        raise failures.handed_back()

    async def _turns(self, selection: Selection, token: UUID) -> AsyncIterator[Turn]:
        """Turn after turn until the worker stops."""
        while not activity.is_worker_shutdown():
            turn = await failures.finish(self.outbox.turn(selection, token))
            yield turn
            if turn.chunk.wait is not None and not turn.chunk.outgoing:
                await failures.sleep(min(turn.chunk.wait, LONGEST_WAIT).total_seconds())

    async def _waiting(self, input: SendHeld) -> str:
        """How many wait at step 0 and for what, in words."""
        async with self.sessions.begin(input.tenant_id) as session:
            return "; ".join(
                f"{row.count:,} wait: {row.reason.replace('_', ' ')}, until {row.until:%Y-%m-%d %H:%M:%S} UTC"
                for row in await standstills.held_recipients(session, input.campaign_id)
                if row.until is not None
            )

    @activity.defn
    async def arm_page(self, input: ArmPage) -> ArmPageResult:
        """Start a delayed sequence for everybody of the page who is still in play."""
        async with self.sessions.begin(input.tenant_id) as session:
            plan = await sequence_plan(session, input.campaign_id, self.settings)
        page, armed = input.page, 0
        after, last = (page.after, page.last) if page else (None, None)
        async with heartbeats():
            while not activity.is_worker_shutdown():
                if page and input.most and armed >= input.most:
                    return ArmPageResult(armed=armed, rest=replace(page, after=after, size=max(0, page.size - armed)))
                await self.outbox.until_calm(ARMING_YIELDS)
                async with self.sessions.begin(input.tenant_id) as session:
                    contact_ids = await audience.unarmed(session, input.campaign_id, after, last, ARMED_AT_ONCE)
                    now = await clock(session)
                if not contact_ids:
                    return ArmPageResult(armed=armed)
                await self._arm(plan, contact_ids, now)
                armed += len(contact_ids)
                after = contact_ids[-1]
        raise failures.handed_back()

    async def _arm(self, plan: SequencePlan, contact_ids: Sequence[UUID], now: datetime) -> None:
        async def start(contact_id: UUID) -> None:
            await self.workflows.arm_sequence(plan.input(contact_id), now)

        await _each(contact_ids, start)
        async with self.sessions.begin(plan.tenant_id) as session:
            await audience.mark_armed(session, plan.campaign_id, contact_ids)

    @activity.defn
    async def finish_campaign(self, input: CampaignRef) -> str:
        """Every recipient of step 0 has an outcome and every follow-up is armed: done. The status it has now."""
        async with self.sessions.begin(input.tenant_id) as session:
            empty = await audience.is_empty(session, input.campaign_id)
            detail = "The audience was empty: no contact matched the segment." if empty else ""
            await session.execute(_FINISH, {"id": input.campaign_id, "detail": detail})
            return (await session.get_one(Campaign, input.campaign_id)).status.value

    @activity.defn
    async def resume_held(self, input: CampaignRef) -> int:
        """Tell every sequence whose due step the pause held to go on; how many."""

        async def resume(contact_id: UUID) -> None:
            await self.workflows.signal_sequence(input.tenant_id, input.campaign_id, contact_id, CAMPAIGN_RESUMED)

        return await self._fan_out(input, audience.held_by_pause, resume)

    @activity.defn
    async def end_sequences(self, input: CampaignRef) -> int:
        """End every sequence of a cancelled campaign, also those that are still delayed; how many."""

        async def end(contact_id: UUID) -> None:
            await self.workflows.end_sequence(
                input.tenant_id, input.campaign_id, contact_id, "The campaign was cancelled."
            )

        return await self._fan_out(input, audience.open_sequences, end, ended=StopReason.CANCELLED)

    async def _fan_out(
        self,
        campaign: CampaignRef,
        query: Callable[..., Awaitable[Sequence[UUID]]],
        act: Callable[[UUID], Awaitable[None]],
        ended: StopReason | None = None,
    ) -> int:
        after: UUID | None = None
        done = 0
        async with heartbeats():
            while not activity.is_worker_shutdown():
                async with self.sessions.begin(campaign.tenant_id) as session:
                    contact_ids = await query(session, campaign.campaign_id, after, ARMED_AT_ONCE)
                if not contact_ids:
                    return done
                await _each(contact_ids, act)
                if ended is not None:
                    async with self.sessions.begin(campaign.tenant_id) as session:
                        await audience.mark_ended(session, campaign.campaign_id, contact_ids, ended.value)
                done += len(contact_ids)
                after = contact_ids[-1]
        raise failures.handed_back()


def _know(standstill: Standstill, told: str) -> None:
    """The workflow is told of a standstill once; from then on the attempt fails with the words and comes again, which
    costs no history however long it lasts."""
    if standstill.key == told:
        raise failures.sender_trouble(standstill.words)


async def _each(items: Sequence[UUID], act: Callable[[UUID], Awaitable[None]]) -> None:
    """`act` on every item, a few at once."""
    waiting = iter(items)

    async def lane() -> None:
        for item in waiting:
            await act(item)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(min(STARTS_AT_ONCE, len(items))):
            lanes.create_task(lane())


async def _wait(wait: timedelta | None) -> None:
    await failures.sleep(max(0.05, min(wait or SHORT_WAIT, LONGEST_WAIT).total_seconds()))


@asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Tell the engine that this attempt lives, also while one answer takes long."""

    async def beat() -> None:
        while True:  # most attempts are over before the first beat, which costs the engine a write
            await asyncio.sleep(failures.HEARTBEAT_SECONDS)
            activity.heartbeat()

    if activity.info().is_local:  # the workflow task that it is part of is kept alive by the library
        yield
        return
    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
