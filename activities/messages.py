"""What a single send has done: gate, claim, send and record, one channel after the other."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities import failures
from activities.campaigns import heartbeats
from activities.outbox import ROOM_SECONDS, Outbox, Standstill, persistently
from app.channels.base import Receipt
from app.contracts.message import SendMessage, SendMessageResult
from app.db import Sessions, clock
from app.domain.status import MessageStatus
from app.errors import ProviderMisconfigured, SendError
from app.ids import new_id
from app.repositories import outbox
from app.repositories.outbox import NotSent
from app.services import sending
from app.services.limits import Permit, Room
from app.services.sending import Outgoing
from app.services.single_sends import SingleTurn, claim_single
from app.settings import Settings

OUTCOMES = {MessageStatus.UNKNOWN: "unknown", MessageStatus.FAILED: "failed"}


class MessageActivities:
    def __init__(self, sessions: Sessions, outbox: Outbox, settings: Settings) -> None:
        self.sessions, self.outbox = sessions, outbox
        self.unknown_deadline = timedelta(seconds=settings.unknown_deadline_seconds)

    @activity.defn
    async def send_message(self, input: SendMessage) -> SendMessageResult:
        """Send the message over the first of its channels that takes it; safe to repeat."""
        async with heartbeats():
            while True:
                result = await failures.finish(self._turn(input))
                if result.outcome != "failed" or result.channel == "":
                    return result

    async def _turn(self, input: SendMessage) -> SendMessageResult:
        token = new_id()
        try:
            turn = await self._claim(input, token, Room(self.outbox.limits))
            if turn.short is not None:
                room = await self.outbox.limits.room(turn.short, 1, seconds=ROOM_SECONDS, urgent=True)
                turn = await self._claim(input, token, room)
        except ProviderMisconfigured as trouble:  # a sender that can't even be built
            return _standstill(input, Standstill.of(trouble))
        if turn.trouble is not None:
            return _standstill(input, Standstill.of_sender(turn.trouble))
        if turn.outgoing is None:
            return SendMessageResult(
                outcome=turn.outcome, channel=turn.channel, reason=turn.reason, hold_until=turn.hold_until
            )
        results, unexpected = await self.outbox.send([turn.outgoing])
        result = await self._record(input, *results[0], token)
        if unexpected is not None:
            raise unexpected
        return result

    async def _claim(self, input: SendMessage, token: UUID, room: Room) -> SingleTurn:
        used: list[Permit | None] = []
        try:
            async with self.sessions.begin(input.tenant_id) as session:
                turn = await claim_single(
                    session,
                    input.message_id,
                    senders=await self.outbox.senders.defaults(session, input.tenant_id),
                    renderer=self.outbox.renderer,
                    claim_token=token,
                    unknown_deadline=self.unknown_deadline,
                    now=await clock(session),
                    room=room,
                )
            used = [turn.outgoing.permit] if turn.outgoing else []
            return turn
        finally:
            room.close(used)

    async def _record(
        self, input: SendMessage, outgoing: Outgoing, answer: Receipt | SendError, token: UUID
    ) -> SendMessageResult:
        channel = outgoing.sender.channel.value
        if isinstance(answer, Receipt):
            accepted = {outgoing.id: answer.provider_message_id}

            async def write_sent(session: AsyncSession) -> None:
                await outbox.mark_sent(session, accepted, [outgoing.contact_id])
                await sending.note_troubles(session, [(outgoing, answer)])

            await persistently(self.sessions, input.tenant_id, write_sent)
            return SendMessageResult(outcome="sent", channel=channel)

        async def write_refused(session: AsyncSession) -> tuple[NotSent, datetime]:
            now = await clock(session)
            refused = sending.not_sent(outgoing, answer, now)
            await sending.note_sender(session, outgoing, answer, now)
            await sending.record_refused(session, [outgoing], [refused], token, now)
            await sending.note_limits(session, [(outgoing, answer)], now)
            await sending.note_troubles(session, [(outgoing, answer)])
            return refused, now

        refused, now = await persistently(self.sessions, input.tenant_id, write_refused)
        if isinstance(answer, ProviderMisconfigured):  # noted now: the next turn meets it as a standstill
            return await self._turn(input)
        outcome = "retry" if refused.next_at else OUTCOMES[refused.status]
        until = now + self.unknown_deadline if outcome == "unknown" else refused.next_at
        return SendMessageResult(outcome=outcome, channel=channel, reason=refused.code, hold_until=until)


def _standstill(input: SendMessage, standstill: Standstill) -> SendMessageResult:
    """Told once; from then on the attempt fails with the words and comes again, which costs no history."""
    if standstill.key == input.told:
        raise failures.sender_trouble(standstill.words)
    return SendMessageResult(
        outcome="held",
        reason=sending.REFUSED,
        hold_until=activity.info().started_time + sending.LOOK_AGAIN,
        told=standstill.key,
        words=standstill.words,
    )
