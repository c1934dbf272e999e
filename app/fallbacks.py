"""Has the next channel tried for messages that were not delivered in the time that their campaign or send allows.

What is superseded is written before anybody is woken, and looked at again until the engine was told, so a crash in
between loses no fallback. The gate decides as always; a delivery that comes first wins there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from app.contracts.message import MessageInput
from app.contracts.sequence import DeliveryFailed, SequenceInput
from app.db import Sessions
from app.repositories import backlog, deliveries
from app.repositories.deliveries import Late
from app.services.sequences import sequence_plan
from app.settings import Settings
from app.temporal import Workflows

EVERY_SECONDS = 1.0
BATCH = 400
AT_ONCE = 8  # more starts at once only add latency


class LateFallbacks:
    def __init__(self, sessions: Sessions, workflows: Workflows, settings: Settings) -> None:
        self.sessions, self.workflows, self.settings = sessions, workflows, settings
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if await self.wake_due():
                    continue
            except (RPCError, SQLAlchemyError) as error:
                logger.warning("fallbacks of late messages are tried again: {!r}", error)
            try:
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def wake_due(self) -> int:
        """Wake whoever has the next channel to try; how many messages were late."""
        async with self.sessions.system() as session:
            due = await backlog.late(session, BATCH)
        by_tenant: dict[UUID, list[UUID]] = defaultdict(list)
        for waiting in due:
            by_tenant[waiting.tenant_id].append(waiting.id)
        return sum([await self._wake_tenant(tenant_id, ids) for tenant_id, ids in by_tenant.items()])

    async def _wake_tenant(self, tenant_id: UUID, ids: Sequence[UUID]) -> int:
        inputs: dict[UUID, SequenceInput] = {}
        async with self.sessions.begin(tenant_id) as session:
            late = await deliveries.supersede(session, tenant_id, ids)
            of_campaigns = [message for message in late if message.campaign_id is not None]
            wanted = await deliveries.in_play(session, tenant_id, [message.id for message in of_campaigns])
            plans = {}
            for message in of_campaigns:
                if message.id in wanted and message.campaign_id is not None:
                    if message.campaign_id not in plans:
                        plans[message.campaign_id] = await sequence_plan(session, message.campaign_id, self.settings)
                    inputs[message.id] = plans[message.campaign_id].input(message.contact_id)
        await asyncio.gather(*(self._wake(tenant_id, message, inputs.get(message.id)) for message in late))
        async with self.sessions.begin(tenant_id) as session:
            await deliveries.mark_superseded_told(session, [message.id for message in late])
        return len(late)

    async def _wake(self, tenant_id: UUID, message: Late, input: SequenceInput | None) -> None:
        async with self._room:
            if message.campaign_id is None:
                await self.workflows.wake_message(MessageInput(tenant_id=tenant_id, message_id=message.root_id))
            elif input is not None:  # else the recipient is stopped, or the campaign is over
                await self.workflows.wake_sequence(input, DeliveryFailed(step=message.step))
