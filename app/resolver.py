"""Finds out what became of sends whose outcome is unknown; after a deadline their policy decides.

A report of the provider resolves most of them first (see app.webhook_relay). Here the provider is asked, where it has
a look-up. What is still unknown at the deadline: marketing stays unknown and is never sent again; transactional is
queued again, because it must not be lost.

Where the provider knows our keys, whoever sends the message repeats it until it is settled; here it is only handed
back to them when they were lost, and left to the deadline when its key expires.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from loguru import logger
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from app.channels.base import Feature, LookupResult, OutboundMessage
from app.contracts.message import MessageInput
from app.contracts.sequence import DeliveryFailed
from app.db import Sessions, clock
from app.domain.status import MessageStatus, Purpose
from app.errors import SendError, UnsupportedFeature
from app.models import Message
from app.repositories import backlog, outbox
from app.services.senders import Sender, Senders
from app.services.sequences import sequence_input
from app.settings import Settings
from app.temporal import Workflows

EVERY_SECONDS = 1.0
BATCH = 100
# Providers list a message they took within seconds; the first look comes a little later.
FIRST_LOOK = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)

_TAKE = text(
    """
    UPDATE messages SET next_attempt_at = now() + :pause, status = 'unknown',
           error_code = CASE WHEN status = 'sending' THEN 'interrupted' ELSE error_code END
    WHERE id = :id AND status = :status AND unresolved_since IS NOT NULL
      AND (status = 'sending' OR coalesce(next_attempt_at, '-infinity') <= now())
    RETURNING id
    """
)
_HOLD = text(
    """
    UPDATE messages SET unresolved_since = NULL, next_attempt_at = NULL, frozen_json = NULL, repeat_until = NULL,
           error_detail = :detail
    WHERE id = :id AND status = 'unknown'
    """
)
# What the provider calls our other messages to the same person: none of these is the one that is looked for.
_OTHERS = text(
    """
    SELECT provider_message_id FROM messages
    WHERE conversation_id = :conversation_id AND created_at > :since AND direction = 'out' AND id <> :id
      AND provider_message_id <> ''
    """
)
_LOOKED_BACK = timedelta(days=2)  # a look-up may be as coarse as days
# It stays unresolved until whoever has to act on it was told: the engine may be away now.
_SETTLE = text(
    """
    UPDATE messages
    SET status = CAST(:status AS text), error_code = :code, error_detail = :detail, next_attempt_at = now(),
        frozen_json = NULL, repeat_until = NULL, failed_at = CASE WHEN CAST(:status AS text) = 'failed' THEN now() END
    WHERE id = :id AND status = 'unknown' RETURNING id
    """
)
_TOLD = text(
    """
    UPDATE messages SET unresolved_since = NULL, next_attempt_at = NULL
    WHERE id = :id AND status = ANY(:settled) AND unresolved_since IS NOT NULL
    """
)
SETTLED = frozenset({MessageStatus.QUEUED, MessageStatus.FAILED})


class Resolver:
    def __init__(self, sessions: Sessions, senders: Senders, workflows: Workflows, settings: Settings) -> None:
        self.sessions, self.senders, self.workflows, self.settings = sessions, senders, workflows, settings
        self.deadline = timedelta(seconds=settings.unknown_deadline_seconds)
        # longer than a request and the recording of its answer can take
        self.stale = timedelta(seconds=settings.provider_timeout_seconds + 90)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.resolve_due()
            except (RPCError, SQLAlchemyError) as error:
                logger.warning("resolving unknown sends is tried again: {!r}", error)
            try:
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def resolve_due(self) -> int:
        """Look at every unknown send whose time has come; how many."""
        async with self.sessions.system() as session:
            due = await backlog.unresolved(
                session, first_look=min(FIRST_LOOK, self.deadline), stale=self.stale, size=BATCH
            )
        for item in due:
            try:
                await self._resolve(item.tenant_id, item.id, item.status)
            except SendError as error:  # its sender can't be used now; the others need not wait for that
                logger.warning("message {} stays unknown: {}", item.id, error.detail)
        return len(due)

    async def _resolve(self, tenant_id: UUID, message_id: UUID, status: str) -> None:
        if status in SETTLED:
            async with self.sessions.begin(tenant_id) as session:
                settled = await session.get_one(Message, message_id)
            await self._tell(settled)
            return
        async with self.sessions.begin(tenant_id) as session:
            now = await clock(session)
            message = await session.get_one(Message, message_id)
            age = now - (message.unresolved_since or now)
            repeatable = message.repeat_until is not None and now < message.repeat_until
            pause = timedelta() if repeatable else self._pause(age)
            values = {"id": message_id, "status": status, "pause": pause}
            if (await session.execute(_TAKE, values)).first() is None:
                return  # resolved meanwhile, or another worker has it
        if repeatable:
            await self._wake(message)
            return
        sender = None
        if message.settings_id:  # after the commit: one that can't be opened must not bring its message back at once
            async with self.sessions.begin(tenant_id) as session:
                sender = await self.senders.by_id(session, message.settings_id)
        overdue = age >= self.deadline
        if sender is not None and Feature.LOOKUP in sender.adapter.features:
            try:
                await self._ask(message, sender, overdue)
                return
            except UnsupportedFeature as error:  # it will never be told: the policy holds
                logger.info("message {} cannot be looked up: {}", message.id, error.detail)
        if overdue and message.purpose is Purpose.TRANSACTIONAL:
            await self._settle(message, "outcome_unknown", "No report came before the deadline: sent again.")
        elif overdue:
            async with self.sessions.begin(tenant_id) as session:
                detail = "No report came before the deadline. A marketing message is never sent twice, so it rests."
                await session.execute(_HOLD, {"id": message_id, "detail": detail})

    def _pause(self, age: timedelta) -> timedelta:
        """Until the next look: longer as the send gets older; one comes right at the deadline."""
        pause, left = max(FIRST_LOOK, min(age, LONGEST_PAUSE)), self.deadline - age
        return min(pause, max(left, timedelta(seconds=1))) if left > timedelta() else pause

    async def _ask(self, message: Message, sender: Sender, overdue: bool) -> None:
        """Do what the provider's answer calls for. Raises UnsupportedFeature where this message can't be told of."""
        found = await self._look_up(message, sender)
        if found is None:
            return  # the provider did not answer; the next look comes
        if found.found:
            await self._found(message, found)
        elif overdue:
            await self._settle(message, "not_accepted", "The provider's list does not have it: it never left.")

    async def _look_up(self, message: Message, sender: Sender) -> LookupResult | None:
        outbound = OutboundMessage(
            reference=message.id,
            tenant_id=message.tenant_id,
            settings_id=sender.settings_id,
            channel=message.channel,
            type=message.type,
            to=message.address,
            purpose=message.purpose,
            content=message.payload_json.get("sent", message.payload_json),
        )
        since = message.unresolved_since or message.created_at
        values = {"id": message.id, "conversation_id": message.conversation_id, "since": since - _LOOKED_BACK}
        async with self.sessions.begin(message.tenant_id) as session:
            others = set((await session.execute(_OTHERS, values)).scalars())
        try:
            return await sender.adapter.look_up(outbound, since, others)
        except UnsupportedFeature:
            raise
        except SendError as error:
            logger.warning("look-up of message {} is tried again: {}", message.id, error.code)
            return None

    async def _found(self, message: Message, found: LookupResult) -> None:
        async with self.sessions.begin(message.tenant_id) as session:
            await outbox.mark_sent(session, {message.id: found.provider_message_id}, [message.contact_id])
        logger.info("message {} was accepted after all", message.id)
        if message.campaign_id is None:  # a sequence needs no word of a success
            await self._wake(message)

    async def _settle(self, message: Message, code: str, detail: str) -> None:
        """Transactional goes out again on its channel; marketing counts as failed and may go on to the next one."""
        again = message.purpose is Purpose.TRANSACTIONAL
        status = MessageStatus.QUEUED if again else MessageStatus.FAILED
        async with self.sessions.begin(message.tenant_id) as session:
            values = {"id": message.id, "status": status.value, "code": code, "detail": detail}
            settled = (await session.execute(_SETTLE, values)).first()
        if settled:
            await self._tell(message)

    async def _tell(self, message: Message) -> None:
        """Have a settled message sent again, or its next channel tried."""
        await self._wake(message)
        async with self.sessions.begin(message.tenant_id) as session:
            await session.execute(_TOLD, {"id": message.id, "settled": list(SETTLED)})

    async def _wake(self, message: Message) -> None:
        if message.campaign_id is None:
            root = message.fallback_of or message.id
            await self.workflows.wake_message(MessageInput(tenant_id=message.tenant_id, message_id=root))
            return
        async with self.sessions.begin(message.tenant_id) as session:
            input = await sequence_input(
                session, message.tenant_id, message.campaign_id, message.contact_id, self.settings
            )
        await self.workflows.wake_sequence(input, DeliveryFailed(step=message.step))
