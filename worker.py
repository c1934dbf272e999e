"""The worker: runs workflows and activities, the webhook relay, and the two watchers, until it is told to stop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from loguru import logger
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.campaigns import CampaignActivities
from activities.imports import ImportActivities
from activities.messages import MessageActivities
from activities.outbox import Outbox
from activities.sequences import SequenceActivities
from app import garbage, logs, temporal
from app.channels.http import provider_client
from app.db import Sessions, create_engine
from app.embedded import resolve
from app.fallbacks import LateFallbacks
from app.ids import TASK_QUEUE
from app.resolver import Resolver
from app.secrets import Vault
from app.services.senders import Senders
from app.services.sending import Renderer
from app.settings import Settings, load_settings, require_sandbox
from app.starter import Starter
from app.temporal import Workflows
from app.tokens import ShortCodes, UnsubscribeTokens
from app.webhook_relay import WebhookRelay
from workflows.campaign import CampaignWorkflow
from workflows.contact_import import ImportWorkflow
from workflows.message import MessageWorkflow
from workflows.sequence import SequenceWorkflow

WORKFLOWS = [CampaignWorkflow, SequenceWorkflow, MessageWorkflow, ImportWorkflow]
# Requests in flight of all pages together, with room for single steps.
CONNECTIONS_PER_LANE = 4
CONNECT_TRIES_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What one worker process is made of."""

    worker: Worker
    relay: WebhookRelay
    starter: Starter
    resolver: Resolver
    fallbacks: LateFallbacks

    def loops(self, stop: asyncio.Event) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the Temporal worker until `stop` is set."""
        return [part.run(stop) for part in (self.relay, self.starter, self.resolver, self.fallbacks)]


@asynccontextmanager
async def build(settings: Settings, client: Client) -> AsyncIterator[Parts]:
    """Everything wired together; closed again in order."""
    engine = create_engine(settings_url(settings), settings.database_pool_size, by_index=True)
    http = provider_client(
        concurrency=settings.send_concurrency * CONNECTIONS_PER_LANE, timeout_seconds=settings.provider_timeout_seconds
    )
    sessions, workflows = Sessions(engine), Workflows(client)
    senders = Senders(settings, http, Vault(settings.keys))
    renderer = Renderer(settings.public_url, UnsubscribeTokens(settings.keys), ShortCodes(settings.keys))
    outbox = Outbox(sessions, senders, renderer)
    try:
        yield Parts(
            worker=Worker(
                client,
                task_queue=TASK_QUEUE,
                workflows=WORKFLOWS,
                activities=activities(sessions, outbox, workflows, settings),
                workflow_runner=SandboxedWorkflowRunner(
                    # our own modules are pure where workflows use them; loading them anew for each run costs time
                    restrictions=SandboxRestrictions.default.with_passthrough_modules("app", "activities", "workflows")
                ),
                graceful_shutdown_timeout=timedelta(seconds=settings.drain_seconds),
            ),
            relay=WebhookRelay(sessions, workflows, settings),
            starter=Starter(sessions, workflows),
            resolver=Resolver(sessions, senders, workflows, settings),
            fallbacks=LateFallbacks(sessions, workflows, settings),
        )
    finally:
        await outbox.limits.close()
        await http.aclose()
        await engine.dispose()


def activities(
    sessions: Sessions, outbox: Outbox, workflows: Workflows, settings: Settings
) -> list[Callable[..., Any]]:
    campaigns = CampaignActivities(sessions, outbox, workflows, settings)
    sequences = SequenceActivities(sessions, outbox)
    messages = MessageActivities(sessions, outbox, settings)
    imports = ImportActivities(sessions, workflows)
    return [
        campaigns.begin_campaign,
        campaigns.freeze_pages,
        campaigns.send_page,
        campaigns.send_held,
        campaigns.arm_page,
        campaigns.finish_campaign,
        campaigns.resume_held,
        campaigns.end_sequences,
        sequences.send_step,
        sequences.end_sequence,
        messages.send_message,
        imports.import_rows,
        imports.fail_import,
    ]


def settings_url(settings: Settings) -> str:
    assert settings.database_url is not None, "settings are resolved"
    return settings.database_url.get_secret_value()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then drain: finish what is in flight, record it, hand the rest back."""
    client = await _connect(settings, stop)
    if client is None:
        return
    async with build(settings, client) as parts, asyncio.TaskGroup() as loops:
        for loop in parts.loops(stop):
            loops.create_task(loop)
        async with parts.worker:
            garbage.settle()
            _say_ready()
            logger.info("worker ready on task queue {}", TASK_QUEUE)
            await stop.wait()
            logger.info("draining")
    logger.info("stopped")


async def _connect(settings: Settings, stop: asyncio.Event) -> Client | None:
    """Wait for the engine: it may come up after the worker."""
    while not stop.is_set():
        try:
            return await temporal.connect(settings)
        except RuntimeError as error:
            logger.warning("the engine at {} does not answer yet: {}", settings.temporal_target, error)
            await asyncio.sleep(CONNECT_TRIES_EVERY)
    return None


def _say_ready() -> None:
    """Whoever started this process may wait for the file it named."""
    if marker := os.environ.get("RELAY_READY_FILE"):
        Path(marker).touch()


async def _until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> None:
    settings = resolve(require_sandbox(load_settings()))
    logs.configure(settings)

    uvloop.run(_until_signalled(settings))


if __name__ == "__main__":
    main()
