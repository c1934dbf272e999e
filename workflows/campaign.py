"""A campaign from its launch to the last armed follow-up."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from activities.campaigns import CampaignActivities
    from app.contracts.campaign import (
        CAMPAIGN_WORKFLOW,
        STANDSTILL,
        ArmPage,
        CampaignInput,
        CampaignPlan,
        CampaignRef,
        CampaignResult,
        FreezePages,
        Page,
        SendHeld,
        SendPage,
    )
    from app.domain.status import CampaignStatus
    from app.temporal import ARMING_PRIORITY
    from workflows.options import BULK, DATABASE, described, prioritized, standing_still

# So many pages at once keep requests in flight while others are claimed and recorded; more gain nothing on two cores.
SEND_LANES, FORMER_LANES = 5, 3
MORE_LANES = "more-lanes"
# Pages frozen ahead of the send lanes.
FROZEN_AHEAD = 12
# So many are armed by one activity: a cancel waits for it.
ARMED_AT_ONCE = 2_000
ARMING_BY_RANGE = "arming-by-range"
# While paused the database is asked again this often, in case the signal of a resume was lost with its sender.
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)


@workflow.defn(name=CAMPAIGN_WORKFLOW)
class CampaignWorkflow:
    """Freezes the audience page by page, sends each page, then arms its follow-ups; lanes run side by side.

    PostgreSQL holds the campaign's state: activities stop by themselves when it is paused or cancelled, and the
    signals only make the workflow notice sooner.
    """

    @workflow.init
    def __init__(self, input: CampaignInput) -> None:
        self.input = input
        self.ref = CampaignRef(tenant_id=input.tenant_id, campaign_id=input.campaign_id)
        self.plan = CampaignPlan(status="")
        self.after, self.frozen = input.after_contact, input.frozen
        self.unsent = list(input.unsent_pages)
        self.unarmed = list(input.unarmed_pages)
        self.sending: list[Page] = []
        self.arming = self.settled = False
        self.pauses = 0
        self.recipients, self.armed, self.sent = input.recipients, input.armed, 0
        self.held_until: datetime | None = None
        self.waiting = self.told = self.standstill = ""
        self.paused = self.cancelled = self.resume_asked = self.leaving = self.over = False

    @workflow.run
    async def run(self, input: CampaignInput) -> CampaignResult:
        await self._begin()
        if not self.plan.finished and not self.cancelled:
            await self._launch()
        if self.leaving and not self.cancelled:
            if self.resume_asked:
                await self._resume_held()
            workflow.continue_as_new(self._carried())
        return await self._end()

    @workflow.signal
    def pause(self) -> None:
        self.paused = True

    @workflow.signal
    def resume(self) -> None:
        self.paused = False
        self.resume_asked = True

    @workflow.signal
    def cancel(self) -> None:
        self.cancelled = True

    async def _begin(self) -> None:
        """Wait for the scheduled time, and for the end of a pause; then take the campaign to running."""
        while True:
            self.plan = await workflow.execute_activity_method(CampaignActivities.begin_campaign, self.ref, **DATABASE)
            self._note(self.plan.status)
            if self.cancelled or self.plan.finished:
                return
            if self.plan.starts_at is not None:
                self._show(f"Scheduled for {self.plan.starts_at:%Y-%m-%d %H:%M:%S} UTC.")
                await self._wait_until(self.plan.starts_at, lambda: self.cancelled)
            elif self.paused:
                await self._wait_while_paused()
            else:
                return

    async def _launch(self) -> None:
        """All lanes until step 0 is over for everybody and everybody in play is armed."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._freeze_lane())
            for _ in range(SEND_LANES if workflow.patched(MORE_LANES) else FORMER_LANES):
                lanes.create_task(self._send_lane())
            lanes.create_task(self._arm_lane())
            lanes.create_task(self._held_lane())
            lanes.create_task(self._resume_lane())

    async def _freeze_lane(self) -> None:
        while not self.frozen:
            await workflow.wait_condition(lambda: self._stopping or len(self.unsent) < FROZEN_AHEAD)
            if self._stopping:
                return
            found = await workflow.execute_activity_method(
                CampaignActivities.freeze_pages,
                FreezePages(tenant_id=self.ref.tenant_id, campaign_id=self.ref.campaign_id, after_contact=self.after),
                **BULK,
            )
            if found.pages:
                self.after = found.pages[-1].last
            self.unsent += found.pages
            self.recipients += sum(page.size for page in found.pages)
            self.frozen = found.complete
            self._show_progress()

    async def _send_lane(self) -> None:
        while True:
            await workflow.wait_condition(
                lambda: self._stopping or (bool(self.unsent) and not self.paused) or self._all_sent
            )
            if self._stopping or self._all_sent:
                return
            if not self.unsent or self.paused:
                continue  # another lane woke at the same moment and was first
            page = self.unsent.pop(0)
            self.sending.append(page)
            told = self.told
            result = await workflow.execute_activity_method(
                CampaignActivities.send_page,
                SendPage(tenant_id=self.ref.tenant_id, campaign_id=self.ref.campaign_id, page=page, told=told),
                **described(BULK, f"Page of {page.size}"),
            )
            self.sending.remove(page)
            self.sent += result.sent
            self._note(result.status)
            if result.told or told:  # a page that had been told and is through is the proof of the mend
                self.told, self.standstill = result.told, result.words
            if result.status == CampaignStatus.RUNNING:
                self._to_arm(page)
            elif result.status == STANDSTILL:
                self.unsent.insert(0, page)
            else:
                self.unsent.insert(0, page)
                await self._wait_while_paused()
            self._show_progress()

    async def _arm_lane(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._stopping or bool(self.unarmed) or self._all_sent)
            if self._stopping or not self.unarmed:
                return
            self.arming = True
            page = self.unarmed.pop(0)
            if self.plan.has_followups:
                rest = await self._arm(page)
                if rest is not None:
                    self._to_arm(rest)
            self.arming = False

    def _to_arm(self, page: Page) -> None:
        """Pages that touch become one: arming is slower than sending, and what waits for it is carried along."""
        self.unarmed.append(page)
        if not workflow.patched(ARMING_BY_RANGE):
            return
        joined: list[Page] = []
        for other in sorted(self.unarmed, key=lambda it: it.last):
            if joined and joined[-1].last == other.after:
                first = joined.pop()
                other = Page(after=first.after, last=other.last, size=first.size + other.size)
            joined.append(other)
        self.unarmed = joined

    async def _arm(self, page: Page | None) -> Page | None:
        most = ARMED_AT_ONCE if workflow.patched(ARMING_BY_RANGE) else None
        result = await workflow.execute_activity_method(
            CampaignActivities.arm_page,
            ArmPage(tenant_id=self.ref.tenant_id, campaign_id=self.ref.campaign_id, page=page, most=most),
            **prioritized(BULK, Priority(priority_key=ARMING_PRIORITY, fairness_key=str(self.ref.tenant_id))),
        )
        self.armed += result.armed
        self._show_progress()
        return result.rest

    async def _held_lane(self) -> None:
        """Recipients held by quiet hours: sent when their time comes, then armed like the others."""
        await workflow.wait_condition(
            lambda: self._stopping or (self._all_sent and not self.unarmed and not self.arming)
        )
        while not self._stopping:
            result = await workflow.execute_activity_method(
                CampaignActivities.send_held,
                SendHeld(tenant_id=self.ref.tenant_id, campaign_id=self.ref.campaign_id, told=self.told),
                **BULK,
            )
            self.sent += result.sent
            self._note(result.status)
            if result.status != CampaignStatus.RUNNING:
                await self._wait_while_paused()
                continue
            if result.sent and self.plan.has_followups:
                await self._arm(None)
            self.held_until, self.waiting = result.next_at, result.waiting
            self.told, self.standstill = result.told, result.words
            self._show_progress()
            if result.told:
                continue
            if result.next_at is None:
                self.settled = True
                return
            await self._wait_until(result.next_at, lambda: self._stopping or self.paused)

    async def _resume_lane(self) -> None:
        """Each resume sends on what the pause held in running sequences, and only that."""
        while True:
            await workflow.wait_condition(lambda: self._stopping or self.settled or self.resume_asked)
            if not self.resume_asked:
                return
            await self._resume_held()

    async def _resume_held(self) -> None:
        self.resume_asked = False
        await workflow.execute_activity_method(CampaignActivities.resume_held, self.ref, **BULK)

    async def _wait_while_paused(self) -> None:
        """Until a resume, or until it is time to ask the database again whether there was one."""
        self._show("Paused: nothing leaves until it is resumed; due steps are held.")
        pause = min(FIRST_PAUSE * 2 ** min(self.pauses, 8), LONGEST_PAUSE)
        self.pauses += 1
        await self._wait_until(workflow.now() + pause, lambda: self._stopping or not self.paused)
        self.paused = False

    async def _wait_until(self, instant: datetime, wake: Callable[[], bool]) -> None:
        try:
            await workflow.wait_condition(wake, timeout=max(instant - workflow.now(), timedelta(0)))
        except TimeoutError:
            return  # the instant has come

    async def _end(self) -> CampaignResult:
        status = CampaignStatus.CANCELLED.value
        if not self.cancelled:
            status = await workflow.execute_activity_method(CampaignActivities.finish_campaign, self.ref, **DATABASE)
        while self.resume_asked and not self.cancelled:  # also one that came while the end was written
            await self._resume_held()
        if self.cancelled or status == CampaignStatus.CANCELLED:
            await workflow.execute_activity_method(CampaignActivities.end_sequences, self.ref, **BULK)
        self._show(f"Ended: {status}. {self.recipients} recipients, {self.armed} sequences armed.")
        return CampaignResult(status=status, recipients=self.recipients, armed=self.armed)

    @property
    def _stopping(self) -> bool:
        return self.cancelled or self.leaving or self.over

    @property
    def _all_sent(self) -> bool:
        return self.frozen and not self.unsent and not self.sending

    def _note(self, status: str) -> None:
        """The state in PostgreSQL is the truth, whatever signals came or were lost."""
        if status == CampaignStatus.PAUSED:
            self.paused = True
        elif status in {CampaignStatus.CANCELLED, CampaignStatus.FAILED}:
            self.cancelled = True
        elif status == CampaignStatus.DONE:  # an earlier run came to the end: this one was reset, and has nothing to do
            self.over = True
        elif status == CampaignStatus.RUNNING:
            self.pauses = 0
        if workflow.info().is_continue_as_new_suggested():
            self.leaving = True

    def _carried(self) -> CampaignInput:
        return CampaignInput(
            tenant_id=self.ref.tenant_id,
            campaign_id=self.ref.campaign_id,
            after_contact=self.after,
            frozen=self.frozen,
            unsent_pages=self.unsent,
            unarmed_pages=self.unarmed,
            recipients=self.recipients,
            armed=self.armed,
        )

    def _show_progress(self) -> None:
        frozen = "all" if self.frozen else "so far"
        held = f", some held until {self.held_until:%Y-%m-%d %H:%M:%S} UTC" if self.held_until else ""
        self._show(
            f"{self.plan.name}: {self.recipients} recipients {frozen}, {self.sent} sent since the last "
            f"continue-as-new, {len(self.unsent) + len(self.sending)} pages to send, {self.armed} armed{held}."
            + (f"\n\n{self.waiting}." if self.waiting else "")
            + (f"\n\n{standing_still(self.standstill)}" if self.standstill else "")
        )

    def _show(self, words: str) -> None:
        workflow.set_current_details(words)
