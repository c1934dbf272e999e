"""From stored provider reports to our own rows.

A projection may be repeated and its events may come in any order: it only moves statuses forward, keeps the earliest
time of each kind, and inserts rows under ids that are made from the event. What workflows have to be told is worked out
from the rows, not from what changed, so a repeat answers the same signals.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.models import EventSource
from app.repositories import events as facts
from app.repositories.deliveries import Sent
from app.repositories.events import Fact
from app.repositories.webhook_events import StoredEvent
from app.services.projections.answers import project_answers
from app.services.projections.bounces import project_bounces
from app.services.projections.conversations import Meaning, meanings_of, project_conversations
from app.services.projections.people import find_people, is_written, learn_numbers
from app.services.projections.permissions import project_limits, project_permissions
from app.services.projections.signals import Effects, PendingSignal
from app.services.projections.statuses import find_messages, project_statuses
from app.services.projections.templates import project_templates
from app.settings import Settings

__all__ = ["PendingSignal", "project"]

# Kinds that are about a message of ours; a person's own message (`is_written`) never is.
ABOUT_OURS = frozenset(
    {
        EventKind.ACCEPTED,
        EventKind.SENT,
        EventKind.DELIVERED,
        EventKind.READ,
        EventKind.CLICKED,
        EventKind.FAILED,
        EventKind.DEFERRED,
        EventKind.OPTED_OUT,
        EventKind.OPTED_IN,
        EventKind.COMPLAINED,
    }
)
ABOUT_PEOPLE = frozenset({EventKind.INBOUND, EventKind.OPTED_OUT, EventKind.OPTED_IN, EventKind.COMPLAINED})
KEPT_FACTS = frozenset({EventKind.CLICKED, EventKind.DEFERRED, EventKind.COMPLAINED, EventKind.TEMPLATE_STATUS})
FACT_DETAILS = ("error_code", "error_detail")


async def project(
    session: AsyncSession, tenant_id: UUID, events: Sequence[StoredEvent], settings: Settings
) -> list[PendingSignal]:
    """Apply events of one tenant, in bulk. The signals are to be sent once the transaction is committed."""
    effects = Effects()
    reports = [event for event in events if event.kind in ABOUT_OURS and not is_written(event)]
    sent = await find_messages(session, tenant_id, reports)
    await project_statuses(session, tenant_id, reports, sent, effects, settings)
    await learn_numbers(session, reports, sent)
    await project_templates(session, tenant_id, events)
    await project_limits(session, reports, sent)
    await project_bounces(session, tenant_id, reports, sent)

    personal = [event for event in events if event.kind in ABOUT_PEOPLE or event.text("suppress")]
    if personal:
        people = await find_people(session, tenant_id, personal, sent)
        meanings = await meanings_of(session, tenant_id, personal, people)
        await project_conversations(session, tenant_id, personal, people, meanings)
        await project_permissions(session, tenant_id, personal, people, sent, meanings, effects)
        await project_answers(session, tenant_id, personal, people, meanings)
        effects.facts += [_written_fact(event, meanings[event.id], people) for event in personal if is_written(event)]
    effects.facts += [_fact(event, sent.get(event.id)) for event in events if event.kind in KEPT_FACTS]
    await facts.add(session, tenant_id, effects.facts)
    return effects.signals


def _written_fact(event: StoredEvent, meaning: Meaning, people: dict[UUID, list[UUID]]) -> Fact:
    """That someone wrote; what, is in the conversation, or here when the writer cannot be a contact."""
    contacts = people.get(event.id)
    payload: dict[str, Any] = {"channel": event.channel, "meaning": meaning, "type": event.text("message_type")}
    if not contacts:
        payload |= {"address": event.text("address"), "text": event.text("text")}
    return Fact(
        id=uuid5(event.id, "inbound"),
        source=EventSource(event.channel.value),
        kind="help" if meaning is Meaning.HELP else "inbound",
        occurred_at=event.at,
        contact_id=contacts[0] if contacts else None,
        message_id=event.id if contacts else None,
        payload=payload,
    )


def _fact(event: StoredEvent, message: Sent | None) -> Fact:
    details = {name: value for name in FACT_DETAILS if (value := event.text(name))}
    return Fact(
        id=uuid5(event.id, event.kind),
        source=EventSource(event.channel.value),
        kind=event.kind.value,
        occurred_at=event.at,
        contact_id=message.contact_id if message else None,
        campaign_id=message.campaign_id if message else None,
        message_id=message.id if message else None,
        payload={"channel": event.channel, **details, **event.data},
    )
