"""From a webhook's address or the account it names to the senders that may have caused it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from loguru import logger

from app.channels.registry import PROVIDERS
from app.db import Sessions
from app.domain.status import Channel
from app.errors import ProviderMisconfigured
from app.models import ChannelSetting
from app.repositories import webhook_senders
from app.secrets import UnreadableSecret
from app.services.senders import FRESH_SECONDS, Sender, Senders


@dataclass(frozen=True, slots=True)
class Route:
    """A sender, and the account that its provider calls it by."""

    sender: Sender
    account: str
    names: frozenset[str]  # what a report may call it: the account, or the id of the channel setting


class Directory:
    """Every answer is kept for a few seconds, so that a burst of webhooks asks PostgreSQL once."""

    def __init__(self, sessions: Sessions, senders: Senders) -> None:
        self._sessions, self._senders = sessions, senders
        self._by_id: dict[tuple[Channel, UUID], tuple[float, Route]] = {}
        self._asking: dict[tuple[Channel, UUID], asyncio.Task[Route | None]] = {}
        self._by_account: dict[tuple[Channel, str], tuple[float, list[Route]]] = {}
        self._of_channel: dict[Channel, tuple[float, list[Route]]] = {}

    def known(self, channel: Channel, settings_id: UUID) -> Route | None:
        """The route, when it was looked up in the last few seconds."""
        until, route = self._by_id.get((channel, settings_id), (0.0, None))
        left = until - monotonic()
        if left <= 0:
            return None
        if left < FRESH_SECONDS / 2:
            self._ask(channel, settings_id)  # ahead of time, so that a burst never waits for it
        return route

    async def by_id(self, channel: Channel, settings_id: UUID) -> Route | None:
        """Raises ProviderMisconfigured or UnreadableSecret when the setting cannot be used."""
        return self.known(channel, settings_id) or await asyncio.shield(self._ask(channel, settings_id))

    def _ask(self, channel: Channel, settings_id: UUID) -> asyncio.Task[Route | None]:
        """One look-up at a time, for all who wait for it."""
        key = (channel, settings_id)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._look_up(channel, settings_id))
            task.add_done_callback(lambda task: self._asked(key, task))
        return task

    def _asked(self, key: tuple[Channel, UUID], task: asyncio.Task[Route | None]) -> None:
        del self._asking[key]
        if not task.cancelled() and (error := task.exception()):  # who waits for it is told too
            logger.warning("the channel setting {} of a webhook could not be looked up: {!r}", key[1], error)

    async def _look_up(self, channel: Channel, settings_id: UUID) -> Route | None:
        async with self._sessions.system() as session:
            setting = await webhook_senders.by_id(session, channel, settings_id)
        if setting is None:
            self._by_id.pop((channel, settings_id), None)
            return None
        route = self._route(setting)
        self._by_id[channel, settings_id] = (monotonic() + FRESH_SECONDS, route)
        return route

    async def by_account(self, channel: Channel, account: str) -> list[Route]:
        """At most one per tenant. Unknown accounts are not remembered: anyone can make them up."""
        known = self._by_account.get((channel, account))
        if known and monotonic() < known[0]:
            return known[1]
        async with self._sessions.system() as session:
            settings = await webhook_senders.by_account(session, channel, account)
        routes = list(self._usable(_one_per_tenant(settings)))
        if routes:
            self._by_account[channel, account] = (monotonic() + FRESH_SECONDS, routes)
        else:
            self._by_account.pop((channel, account), None)
        return routes

    async def of_channel(self, channel: Channel) -> list[Route]:
        known = self._of_channel.get(channel)
        if known and monotonic() < known[0]:
            return known[1]
        async with self._sessions.system() as session:
            settings = [
                setting
                for provider in PROVIDERS[channel]
                for setting in await webhook_senders.of_provider(session, channel, provider)
            ]
        routes = list(self._usable(settings))
        self._of_channel[channel] = (monotonic() + FRESH_SECONDS, routes)
        return routes

    def _route(self, setting: ChannelSetting) -> Route:
        account = setting.account or str(setting.id)
        return Route(self._senders.sender(setting), account, frozenset({account, str(setting.id)}))

    def _usable(self, settings: Iterable[ChannelSetting]) -> Iterable[Route]:
        for setting in settings:
            try:
                yield self._route(setting)
            except (ProviderMisconfigured, UnreadableSecret) as error:
                logger.warning("channel setting {} cannot be used: {}", setting.id, error)


def _one_per_tenant(settings: Iterable[ChannelSetting]) -> list[ChannelSetting]:
    first: dict[UUID, ChannelSetting] = {}
    for setting in settings:
        first.setdefault(setting.tenant_id, setting)
    return list(first.values())
