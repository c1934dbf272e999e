"""Starts what was promised but never reached the engine: the API died between its commit and the start, or the engine
was away. PostgreSQL holds the promise; starts and signals are idempotent."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from loguru import logger
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from app.contracts.campaign import CANCEL, PAUSE, RESUME, CampaignInput
from app.contracts.contact_import import ImportInput
from app.contracts.message import MessageInput
from app.db import Sessions
from app.domain.status import CampaignStatus
from app.repositories import backlog
from app.repositories.backlog import WaitingCampaign
from app.temporal import Workflows

EVERY_SECONDS = 1.0
# Younger ones are being started by the request that made them.
AGE = timedelta(seconds=3)
BATCH = 200


class Starter:
    def __init__(self, sessions: Sessions, workflows: Workflows) -> None:
        self.sessions, self.workflows = sessions, workflows

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.start_waiting()
            except (RPCError, SQLAlchemyError) as error:
                logger.warning("starting what waits is tried again: {}", type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)
            except TimeoutError:
                continue

    async def start_waiting(self) -> int:
        """Start everything that waits; how much that was."""
        async with self.sessions.system() as session:
            campaigns = await backlog.campaigns(session, AGE, BATCH)
            messages = await backlog.messages(session, AGE, BATCH)
            imports = await backlog.imports(session, AGE, BATCH)
        for campaign in campaigns:
            await self._started("campaigns", campaign.tenant_id, campaign.id, partial(self._tell, campaign))
        for message in messages:
            input = MessageInput(tenant_id=message.tenant_id, message_id=message.id)
            await self._started("messages", message.tenant_id, message.id, partial(self.workflows.start_message, input))
        for waiting in imports:
            order = ImportInput(tenant_id=waiting.tenant_id, import_id=waiting.id)
            await self._started("imports", waiting.tenant_id, waiting.id, partial(self.workflows.start_import, order))
        return len(campaigns) + len(messages) + len(imports)

    async def _started(self, table: str, tenant_id: UUID, id: UUID, start: Callable[[], Awaitable[None]]) -> None:
        await start()
        async with self.sessions.begin(tenant_id) as session:
            await backlog.mark_started(session, table, id)

    async def _tell(self, campaign: WaitingCampaign) -> None:
        """Let the campaign's workflow know of the state that PostgreSQL holds."""
        match campaign.status:
            case CampaignStatus.PENDING:
                await self.workflows.start_campaign(
                    CampaignInput(tenant_id=campaign.tenant_id, campaign_id=campaign.id)
                )
            case CampaignStatus.PAUSED:
                await self.workflows.signal_campaign(campaign.tenant_id, campaign.id, PAUSE)
            case CampaignStatus.RUNNING | CampaignStatus.DONE:
                await self.workflows.signal_campaign(campaign.tenant_id, campaign.id, RESUME)
            case CampaignStatus.CANCELLED:
                await self.workflows.signal_campaign(campaign.tenant_id, campaign.id, CANCEL)
