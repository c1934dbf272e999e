"""Reports about messages we sent: accepted, sent, delivered, read, clicked, failed.

They come in any order, more than once, and sometimes before the provider's answer to the send itself. All reports on a
message are folded into one change, which the table of allowed moves decides.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.contracts.message import MessageInput
from app.contracts.sequence import DeliveryFailed
from app.domain.status import MessageStatus, settle
from app.models import EventSource
from app.repositories import deliveries, events
from app.repositories.deliveries import Change, Sent
from app.repositories.events import Fact
from app.repositories.webhook_events import StoredEvent
from app.services.projections.signals import Effects, WakeMessage, WakeSequence
from app.services.sequences import sequence_plan
from app.settings import Settings

REPORTED = {
    EventKind.ACCEPTED: MessageStatus.SENT,
    EventKind.SENT: MessageStatus.SENT,
    EventKind.DELIVERED: MessageStatus.DELIVERED,
    EventKind.READ: MessageStatus.READ,
    EventKind.CLICKED: MessageStatus.DELIVERED,  # nobody clicks what did not arrive
    EventKind.FAILED: MessageStatus.FAILED,
}
OPEN = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING, MessageStatus.UNKNOWN})
ARRIVED = frozenset({MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ})
MOST_DETAIL = 1_000  # characters of a provider's words


async def find_messages(session: AsyncSession, tenant_id: UUID, reports: Sequence[StoredEvent]) -> dict[UUID, Sent]:
    """The message each event is about, by event id: by our reference, else by the provider's id. Locks them.

    A reference to another tenant's message, or to one of another channel, finds nothing.
    """
    references = {event.id: reference for event in reports if (reference := _uuid(event.text("reference")))}
    by_id = {row.id: row for row in await deliveries.lock_by_id(session, tenant_id, set(references.values()))}
    found = {event: by_id[reference] for event, reference in references.items() if reference in by_id}
    rest = {
        event.id: provider_id
        for event in reports
        if event.id not in found and (provider_id := event.text("provider_message_id"))
    }
    named = await deliveries.lock_by_provider_id(session, tenant_id, set(rest.values()))
    by_provider_id = {(row.channel, row.provider_message_id): row for row in named}
    for event in reports:
        key = (event.channel, rest.get(event.id, ""))
        if key in by_provider_id:
            # locked a second time under its other name: one row, one state
            row = by_provider_id[key]
            found[event.id] = by_id.get(row.id, row)
    channels = {event.id: event.channel for event in reports}
    return {event: row for event, row in found.items() if row.channel is channels[event]}


async def project_statuses(
    session: AsyncSession,
    tenant_id: UUID,
    reports: Sequence[StoredEvent],
    found: dict[UUID, Sent],
    effects: Effects,
    settings: Settings,
) -> None:
    by_message: dict[UUID, list[StoredEvent]] = {}
    for event in reports:
        if event.kind in REPORTED and event.id in found:
            by_message.setdefault(found[event.id].id, []).append(event)
    messages = {row.id: row for row in found.values()}
    changes = {id: _fold(messages[id], told) for id, told in by_message.items()}
    await deliveries.apply(session, [change for id, change in changes.items() if _is_news(messages[id], change)])
    await deliveries.mark_accepted(
        session, [id for id, change in changes.items() if change.was in OPEN and change.status in ARRIVED]
    )
    await _wake_failed(session, tenant_id, messages, changes, by_message, effects, settings)
    await _note_resolved(session, tenant_id, messages, changes, by_message, effects)


def _fold(message: Sent, told: Sequence[StoredEvent]) -> Change:
    status = settle(message.status, (REPORTED[event.kind] for event in told))
    failure = next((event for event in told if event.kind is EventKind.FAILED), None)
    failed = status is MessageStatus.FAILED and message.status is not MessageStatus.FAILED and failure is not None
    read_at = _first(told, EventKind.READ)
    clicked_at = _first(told, EventKind.CLICKED)
    delivered_at = _earliest(_first(told, EventKind.DELIVERED), read_at, clicked_at)
    sent_at = _earliest(_first(told, EventKind.ACCEPTED), _first(told, EventKind.SENT), delivered_at)
    return Change(
        id=message.id,
        was=message.status,
        status=status,
        provider_message_id=next(filter(None, (event.text("provider_message_id") for event in told)), ""),
        sent_at=sent_at,
        delivered_at=delivered_at,
        read_at=read_at,
        clicked_at=clicked_at,
        failed_at=failure.at if failed and failure else None,
        error_code=failure.text("error_code") if failed and failure else "",
        error_detail=failure.text("error_detail")[:MOST_DETAIL] if failed and failure else "",
    )


def _is_news(message: Sent, change: Change) -> bool:
    """Whether it changes the row; most `sent` reports repeat what the provider's answer said."""
    return (
        change.status is not message.status
        or (not message.provider_message_id and bool(change.provider_message_id))
        or (message.sent_at is None and change.sent_at is not None)
        or _is_earlier(change.delivered_at, message.delivered_at)
        or _is_earlier(change.read_at, message.read_at)
        or _is_earlier(change.clicked_at, message.clicked_at)
    )


async def _wake_failed(
    session: AsyncSession,
    tenant_id: UUID,
    messages: dict[UUID, Sent],
    changes: dict[UUID, Change],
    by_message: dict[UUID, list[StoredEvent]],
    effects: Effects,
    settings: Settings,
) -> None:
    """Have the next channel tried. Reckoned from the state, not from what changed now: told again, it wakes again."""
    failed = {
        id: [event.id for event in by_message[id] if event.kind is EventKind.FAILED]
        for id, change in changes.items()
        if change.status is MessageStatus.FAILED
    }
    failed = {id: event_ids for id, event_ids in failed.items() if event_ids}
    of_campaigns = [id for id in failed if messages[id].campaign_id is not None]
    plans = {}
    for id in await deliveries.to_wake(session, tenant_id, of_campaigns):
        message = messages[id]
        campaign_id = message.campaign_id
        assert campaign_id is not None
        if campaign_id not in plans:
            plans[campaign_id] = await sequence_plan(session, campaign_id, settings)
        input = plans[campaign_id].input(message.contact_id)
        effects.add(WakeSequence(input, DeliveryFailed(step=message.step)), failed[id])
    for id, event_ids in failed.items():
        if messages[id].campaign_id is None:
            effects.add(WakeMessage(MessageInput(tenant_id=tenant_id, message_id=messages[id].root_id)), event_ids)


async def _note_resolved(
    session: AsyncSession,
    tenant_id: UUID,
    messages: dict[UUID, Sent],
    changes: dict[UUID, Change],
    by_message: dict[UUID, list[StoredEvent]],
    effects: Effects,
) -> None:
    """An unknown send that a report proves: a fact of its own, and for a single send a reason to wake its workflow.

    Only the fact tells, when the report is looked at again, that this was the report that resolved it.
    """
    proofs: dict[UUID, tuple[UUID, StoredEvent]] = {}
    for id, change in changes.items():
        proof = next((event for event in by_message[id] if event.kind is not EventKind.FAILED), None)
        if proof is None or change.status not in ARRIVED:
            continue
        fact_id = uuid5(proof.id, "resolved")
        if change.was is MessageStatus.UNKNOWN:
            effects.facts.append(_resolved(fact_id, proof, messages[id]))
            if messages[id].campaign_id is None:
                effects.add(WakeMessage(MessageInput(tenant_id=tenant_id, message_id=messages[id].root_id)), [proof.id])
        elif messages[id].campaign_id is None:
            proofs[fact_id] = id, proof
    for fact_id in await events.known(session, tenant_id, list(proofs)):
        id, proof = proofs[fact_id]
        effects.add(WakeMessage(MessageInput(tenant_id=tenant_id, message_id=messages[id].root_id)), [proof.id])


def _resolved(fact_id: UUID, proof: StoredEvent, message: Sent) -> Fact:
    return Fact(
        id=fact_id,
        source=EventSource(proof.channel.value),
        kind="resolved",
        occurred_at=proof.at,
        contact_id=message.contact_id,
        campaign_id=message.campaign_id,
        message_id=message.id,
        payload={"was": MessageStatus.UNKNOWN.value, "by": proof.kind.value, "webhook_event_id": str(proof.id)},
    )


def _first(told: Iterable[StoredEvent], kind: EventKind) -> datetime | None:
    return min((event.at for event in told if event.kind is kind), default=None)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _is_earlier(reported: datetime | None, known: datetime | None) -> bool:
    return reported is not None and (known is None or reported < known)


def _uuid(reference: str) -> UUID | None:
    try:
        return UUID(reference) if reference else None
    except ValueError:
        return None
