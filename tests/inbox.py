"""One tenant's webhooks in a test: providers report, the reports are stored, and then projected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from sqlalchemy import select
from sqlmodel import SQLModel, col

from app.channels.base import WebhookRequest
from app.channels.http import provider_client
from app.db import Sessions
from app.domain.status import Channel
from app.models import ChannelSetting, Consent, Contact, Event, Message, Suppression, Tenant, WebhookEvent
from app.repositories import webhook_events
from app.secrets import Vault
from app.services.projections import PendingSignal, project
from app.services.senders import Senders
from app.services.webhooks import WebhookIntake
from app.settings import Settings
from tests import factories, providers
from tests.providers import Post

RowType = TypeVar("RowType", bound=SQLModel)


class Inbox:
    def __init__(self, sessions: Sessions, tenant: Tenant, settings: Settings, intake: WebhookIntake) -> None:
        self.sessions, self.tenant_id, self.settings, self.intake = sessions, tenant.id, settings, intake
        self.senders: dict[Channel, ChannelSetting] = {}

    async def open(self) -> None:
        """A sender on each channel."""
        vault = Vault(self.settings.keys)
        makers = {
            (Channel.WHATSAPP, "whatsapp_cloud"): providers.whatsapp_credentials(),
            (Channel.SMS, "twilio"): providers.twilio_credentials(),
            (Channel.EMAIL, "sendgrid"): providers.sendgrid_credentials(),
        }
        async with self.sessions.begin(self.tenant_id) as session:
            for (channel, provider), credentials in makers.items():
                self.senders[channel] = await factories.make_channel_setting(
                    session, self.tenant_id, vault, channel, provider, credentials
                )

    async def whatsapp(self, *statuses: dict[str, Any], messages: list[dict[str, Any]] | None = None) -> None:
        sender = self.senders[Channel.WHATSAPP]
        value = providers.whatsapp_value(sender.account, statuses=list(statuses), messages=messages)
        await self.receive(Channel.WHATSAPP, providers.whatsapp_post(sender.id, value))

    async def sms(self, fields: dict[str, str], *, ref: UUID | str = "") -> None:
        sender = self.senders[Channel.SMS]
        await self.receive(Channel.SMS, providers.twilio_post(self.settings.public_url, sender.id, fields, ref=ref))

    async def sms_from(self, phone: str, text: str, **changes: str) -> None:
        await self.sms(providers.twilio_inbound(self.senders[Channel.SMS].account, phone, text, **changes))

    async def email(self, event: str, email: str, *, message_id: UUID | str, **changes: Any) -> None:
        sender = self.senders[Channel.EMAIL]
        item = providers.sendgrid_event(event, email, message_id=message_id, settings_id=sender.id, **changes)
        await self.receive(Channel.EMAIL, providers.sendgrid_post(sender.id, item))

    async def receive(self, channel: Channel, post: Post) -> None:
        path, _, query = post.path.partition("?")
        request = WebhookRequest(
            method="POST",
            url=self.settings.public_url + post.path,
            headers=post.headers,
            query=dict(parse_qsl(query)),
            body=post.body,
        )
        await self.intake.receive(channel, self.senders[channel].id, request)

    async def project(self, *, times: int = 1) -> list[PendingSignal]:
        """Project what waits, `times` times over, and mark it processed; the signals of the last time."""
        signals: list[PendingSignal] = []
        async with self.sessions.system() as holding:
            events = [
                event for event in await webhook_events.take(holding, 10_000) if event.tenant_id == self.tenant_id
            ]
            for _ in range(times):
                async with self.sessions.begin(self.tenant_id) as session:
                    signals = await project(session, self.tenant_id, events, self.settings)
            await webhook_events.mark_processed(holding, [event.id for event in events])
        return signals

    async def rows(self, model: type[RowType], **where: Any) -> list[RowType]:
        async with self.sessions.begin(self.tenant_id) as session:
            conditions = [col(getattr(model, name)) == value for name, value in where.items()]
            query = select(model).where(*conditions).order_by(col(model.created_at))  # type: ignore[attr-defined]
            return list((await session.execute(query)).scalars())

    async def message(self, id: UUID) -> Message:
        (row,) = await self.rows(Message, id=id)
        return row

    async def contact(self, **where: Any) -> Contact:
        (row,) = await self.rows(Contact, **where)
        return row

    async def consent(self, contact_id: UUID, channel: Channel) -> Consent | None:
        rows = await self.rows(Consent, contact_id=contact_id, channel=channel)
        return rows[0] if rows else None

    async def suppression(self, address: str) -> Suppression | None:
        rows = await self.rows(Suppression, address=address)
        return rows[0] if rows else None

    async def facts(self, kind: str) -> list[Event]:
        return await self.rows(Event, kind=kind)

    async def stored(self) -> list[WebhookEvent]:
        return await self.rows(WebhookEvent)


@asynccontextmanager
async def open_inbox(sessions: Sessions, tenant: Tenant, settings: Settings) -> AsyncIterator[Inbox]:
    http = provider_client(concurrency=1, timeout_seconds=1)
    senders = Senders(settings, http, Vault(settings.keys))
    async with WebhookIntake(sessions, senders) as intake:
        inbox = Inbox(sessions, tenant, settings, intake)
        await inbox.open()
        yield inbox
    await http.aclose()
