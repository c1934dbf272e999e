"""What a contact's sequence has done: send a step, and note its end."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from temporalio import activity

from activities import failures
from activities.campaigns import heartbeats
from activities.outbox import Outbox, Selection, Standstill, Turn
from app.contracts.sequence import SendStep, SendStepResult, SequenceEnded
from app.db import Sessions
from app.domain.gate import CAMPAIGN_ENDED, STOPPED
from app.domain.status import Channel, RecipientState, StopReason
from app.ids import new_id
from app.repositories import audience
from app.services import sending
from app.services.sending import Recorded

ENDING_REASONS = frozenset({*STOPPED.values(), *CAMPAIGN_ENDED.values()})
STOP_REASONS = {word: reason.value for reason, word in STOPPED.items()} | {
    "campaign_cancelled": StopReason.CANCELLED.value
}


class SequenceActivities:
    def __init__(self, sessions: Sessions, outbox: Outbox) -> None:
        self.sessions, self.outbox = sessions, outbox

    @activity.defn
    async def send_step(self, input: SendStep) -> SendStepResult:
        """Gate, claim and send one step of one contact, down its channels; safe to repeat."""
        token = new_id()
        selection = Selection(
            tenant_id=input.tenant_id,
            campaign_id=input.campaign_id,
            step=input.step,
            contact_id=input.contact_id,
        )
        short: Channel | None = None
        async with heartbeats():
            while True:
                turn = await failures.finish(self.outbox.turn(selection, token, short))
                if turn.standstill is not None:
                    return _standstill(input, turn.standstill)
                if turn.recorded.trouble is not None:
                    continue  # noted now: the next turn meets it as a standstill
                if turn.chunk.short not in {None, short}:  # there is waited for its room now
                    short = turn.chunk.short
                    continue
                if turn.chunk.outgoing and turn.recorded == Recorded():
                    continue  # written already, by a commit that nobody heard of: the rows say what comes next
                if not turn.recorded.failed:  # a refused channel is followed by the next one, at once
                    return await self._ended(input, _result(input, turn))

    async def _ended(self, input: SendStep, result: SendStepResult) -> SendStepResult:
        """What ends the sequence is noted at once: an activity of its own for that is a third of a wave's work."""
        comes_again = result.hold_until is not None or result.outcome == "paused"
        if comes_again or not (input.last or result.outcome == "stopped"):
            return result
        reason = result.reason if result.outcome == "stopped" else ""
        await self._note_end(input.tenant_id, input.campaign_id, input.contact_id, reason)
        return replace(result, ended=True)

    @activity.defn
    async def end_sequence(self, input: SequenceEnded) -> None:
        """Note that the sequence is over, and why if it was stopped."""
        await self._note_end(input.tenant_id, input.campaign_id, input.contact_id, input.reason)

    async def _note_end(self, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, reason: str) -> None:
        stopped = reason if reason in {reason.value for reason in StopReason} else ""
        async with self.sessions.begin(tenant_id) as session:
            await audience.mark_ended(session, campaign_id, [contact_id], stopped)


def _standstill(input: SendStep, standstill: Standstill) -> SendStepResult:
    """Told once; from then on the attempt fails with the words and comes again, which costs no history."""
    if standstill.key == input.told:
        raise failures.sender_trouble(standstill.words)
    return SendStepResult(
        outcome="held",
        reason=sending.REFUSED,
        hold_until=_after(input, sending.LOOK_AGAIN),
        told=standstill.key,
        words=standstill.words,
    )


def _result(input: SendStep, turn: Turn) -> SendStepResult:
    standing = turn.chunk.standings.get(input.contact_id)
    channel = turn.chunk.channels.get(input.contact_id, "")
    if standing is None:
        wait = turn.chunk.wait
        if wait is None:
            return SendStepResult(outcome="stopped", reason=StopReason.DELETED.value)
        return SendStepResult(outcome="retry", reason="sender_limit", hold_until=_after(input, wait))
    if turn.recorded.sent:
        return SendStepResult(outcome="sent", channel=channel)
    if turn.recorded.unknown:
        return SendStepResult(outcome="unknown", channel=channel)
    if turn.recorded.retried:
        return SendStepResult(
            outcome="retry",
            channel=channel,
            reason="provider",
            hold_until=turn.recorded.retry_at or _after(input, None),
        )
    match standing.state:
        case RecipientState.SENT:
            return SendStepResult(outcome="sent", channel=channel)
        case RecipientState.QUEUED:
            return SendStepResult(outcome="unknown", channel=channel, reason=standing.reason)
        case RecipientState.HELD if standing.hold_until is None:
            return SendStepResult(outcome="paused", channel=channel, reason=standing.reason)
        case RecipientState.HELD:
            return SendStepResult(
                outcome="held", channel=channel, reason=standing.reason, hold_until=standing.hold_until
            )
        case RecipientState.FAILED:
            return SendStepResult(outcome="failed", reason=standing.reason)
    if standing.reason in ENDING_REASONS:
        return SendStepResult(outcome="stopped", reason=STOP_REASONS.get(standing.reason, standing.reason))
    return SendStepResult(outcome="skipped", reason=standing.reason)


def _after(input: SendStep, wait: timedelta | None) -> datetime:
    """By the clock of the engine, which is the workflow's."""
    return (input.asked_at or activity.info().started_time) + max(
        wait or timedelta(seconds=1), timedelta(milliseconds=50)
    )
