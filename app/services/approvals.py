"""Whether approved WhatsApp templates are behind what is sent. What is not known yet is asked at the provider, always
outside of a transaction; the rows in PostgreSQL answer everything else."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.provider_templates import ListsTemplates
from app.channels.provider_templates import ProviderTemplate as Listed
from app.db import Sessions
from app.domain.approval import APPROVED, BACK, Use, mismatches, uses_of
from app.domain.status import Channel
from app.errors import ApprovalUnknown, ProviderMisconfigured, ProviderUnavailable, RateLimited, SendError
from app.models import ProviderTemplate
from app.repositories import provider_templates
from app.repositories.provider_templates import Key
from app.services.senders import Sender, Senders

ASK_SECONDS = 10.0  # what a launch waits for the provider
MESSAGE_SECONDS = 2.0  # and a single message, which is stored all the same
CLOSED_SECONDS = 60.0  # credentials that are shown no templates are not tried again for so long
REFRESH = "POST /v1/templates/refresh asks the provider again."


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known of the approved templates that are needed. `closed`: the provider shows these credentials no
    templates, so nobody can know; `away`: it could not be asked, with the reason."""

    known: Mapping[Key, ProviderTemplate]
    closed: bool = False
    away: str = ""

    def problems(self, core_schema: Mapping[str, Any], key: Key | None = None) -> list[str]:
        """What keeps its WhatsApp templates from being sent, all of them or the one of `key`."""
        uses = [use for use in uses_of(core_schema) if key is None or use.key == key]
        return [problem for use in uses for problem in self._problems(use)]

    def require(self, core_schema: Mapping[str, Any]) -> None:
        """Raises ApprovalUnknown when the provider would have to be asked, and is away."""
        for use in uses_of(core_schema):
            if self.away and is_unsettled(self.known.get(use.key)):
                raise ApprovalUnknown(
                    f"It is not known whether the WhatsApp template {_named(use)} is approved, and the provider can't "
                    f"be asked now: {self.away}. Nothing was launched; try again."
                )

    def _problems(self, use: Use) -> Iterable[str]:
        row = self.known.get(use.key)
        if is_unsettled(row) and (self.closed or self.away):
            return
        if row is None:
            yield f"The provider has no WhatsApp template {_named(use)} ({use.pointer}): create it there first."
        elif row.status != APPROVED:
            yield f"The WhatsApp template {_named(use)} is {describe(row)}, not APPROVED. {REFRESH}"
        else:
            for mismatch in mismatches(use, row.components_json) if row.components_json is not None else []:
                yield f"The WhatsApp template {_named(use)} does not fit: {mismatch}"


def describe(row: ProviderTemplate) -> str:
    """The state and, where there is one, the provider's reason."""
    state = row.status or "of an unknown state"
    return f"{state} ({row.reason})" if row.reason else state


def is_unsettled(row: ProviderTemplate | None) -> bool:
    """Whether its state is not known: never heard of, or back from somewhere."""
    return row is None or not row.status or row.status in BACK


def is_open(row: ProviderTemplate | None, use: Use) -> bool:
    """Whether the provider has to be asked: also when the approved template may have been changed since."""
    if row is None or is_unsettled(row):
        return True
    return row.status == APPROVED and row.components_json is not None and bool(mismatches(use, row.components_json))


def _named(use: Use) -> str:
    name, language = use.key
    return f"{name!r} in {language}"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A setting whose provider was asked for all templates; `error` when it didn't show them."""

    sender: Sender
    rows: Sequence[ProviderTemplate]
    error: SendError | None = None


class Approvals:
    """Asks providers for their templates and keeps what they say."""

    def __init__(self, sessions: Sessions, senders: Senders) -> None:
        self._sessions, self._senders = sessions, senders
        self._closed: WeakKeyDictionary[ListsTemplates, float] = WeakKeyDictionary()

    async def ask(
        self, tenant_id: UUID, core_schemas: Iterable[Mapping[str, Any]], *, patience: float = ASK_SECONDS
    ) -> Answers | None:
        """How the WhatsApp templates of these core schemas stand with the sender that would send them; None when there
        are none, or no sender whose provider approves templates. A provider gets `patience` seconds to answer."""
        uses = [use for schema in core_schemas for use in uses_of(schema)]
        keys = {use.key for use in uses}
        if not keys:
            return None
        async with self._sessions.begin(tenant_id) as session:
            sender = await self._sender(session, tenant_id)
            if sender is None or not isinstance(adapter := sender.adapter, ListsTemplates):
                return None
            known = await provider_templates.known(session, tenant_id, sender.settings_id, keys)
        names = {use.key[0] for use in uses if is_open(known.get(use.key), use)}
        if not names:
            return Answers(known)
        if monotonic() < self._closed.get(adapter, 0.0):
            return Answers(known, closed=True)
        try:
            async with asyncio.timeout(patience):
                await self._ask(sender, adapter, names)
        except (ProviderUnavailable, RateLimited) as error:
            return Answers(known, away=error.detail)
        except TimeoutError:
            return Answers(known, away=f"no answer within {patience:g} s")
        except SendError:  # a token that may send but not read templates is no reason to hold anything back
            self._closed[adapter] = monotonic() + CLOSED_SECONDS
            return Answers(known, closed=True)
        async with self._sessions.begin(tenant_id) as session:
            return Answers(await provider_templates.known(session, tenant_id, sender.settings_id, keys))

    async def refresh(self, tenant_id: UUID) -> list[Refreshed]:
        """Read every list of the tenant's senders anew, one after the other."""
        async with self._sessions.begin(tenant_id) as session:
            senders = await self._senders.all_of(session, tenant_id, Channel.WHATSAPP)
        return [await self._refresh(it, it.adapter) for it in senders if isinstance(it.adapter, ListsTemplates)]

    async def _refresh(self, sender: Sender, adapter: ListsTemplates) -> Refreshed:
        error: SendError | None = None
        asked_at = datetime.now(UTC)
        try:
            listed = await adapter.list_templates()
        except SendError as refused:
            error = refused
        else:
            self._closed.pop(adapter, None)
            await self._keep(sender, adapter, listed, asked_at)
        async with self._sessions.begin(sender.tenant_id) as session:
            rows = await provider_templates.of_settings(session, sender.tenant_id, sender.settings_id)
        return Refreshed(sender, rows, error)

    async def _ask(self, sender: Sender, adapter: ListsTemplates, names: Collection[str]) -> None:
        for name in sorted(names):
            asked_at = datetime.now(UTC)
            await self._keep(sender, adapter, await adapter.list_templates(name), asked_at, name)

    async def _keep(
        self, sender: Sender, adapter: ListsTemplates, listed: Sequence[Listed], asked_at: datetime, name: str = ""
    ) -> None:
        async with self._sessions.begin(sender.tenant_id) as session:
            await provider_templates.keep(
                session,
                sender.tenant_id,
                sender.settings_id,
                adapter.business_account,
                listed,
                asked_at=asked_at,
                name=name,
            )

    async def _sender(self, session: AsyncSession, tenant_id: UUID) -> Sender | None:
        try:
            return (await self._senders.defaults(session, tenant_id)).get(Channel.WHATSAPP)
        except ProviderMisconfigured:  # what waits for it says so, with what to do
            return None
