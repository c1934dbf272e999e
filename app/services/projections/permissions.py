"""What reports and messages say about what we may send: opt-outs, opt-ins, complaints, dead addresses."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.replies import OWN_WORD
from app.domain.status import Channel, OptOutScope, StopReason, SuppressionReason
from app.repositories import consents as consent_rows
from app.repositories import recipient_limits
from app.repositories.deliveries import Sent
from app.repositories.webhook_events import StoredEvent
from app.services import consents, stops
from app.services.projections.conversations import Meaning
from app.services.projections.signals import Effects, StopSequence
from app.services.stops import Stop


async def project_permissions(
    session: AsyncSession,
    tenant_id: UUID,
    events: Sequence[StoredEvent],
    people: dict[UUID, list[UUID]],
    sent: dict[UUID, Sent],
    meanings: dict[UUID, Meaning],
    effects: Effects,
) -> None:
    """In the order in which it happened: who says STOP and then START wants to be written to."""
    wanted: list[tuple[Stop, UUID]] = []
    for event in sorted(events, key=lambda event: (event.at, event.received_at)):
        contacts = people.get(event.id, [])
        address = event.text("address") or (sent[event.id].address if event.id in sent else "")
        reason = _refusal(event, meanings.get(event.id))
        if reason in OWN_WORD:
            await _opt_out(session, tenant_id, event, contacts, address, reason)
            wanted += [(_stop(contact, StopReason.OPTED_OUT, event), event.id) for contact in contacts]
        elif reason is not None and address:
            await consent_rows.suppress(
                session, tenant_id, event.channel, address, reason=reason, source=event.provider
            )
        elif _is_opt_in(event, meanings.get(event.id)):
            await _opt_in(session, tenant_id, event, contacts, address)
        elif meanings.get(event.id) is Meaning.REPLY:
            wanted += [(_stop(contact, StopReason.REPLIED, event), event.id) for contact in contacts[:1]]
    await _stop_all(session, tenant_id, wanted, effects)


def _refusal(event: StoredEvent, meaning: Meaning | None) -> SuppressionReason | None:
    """Why the address must not be used again, if the event says so."""
    if event.kind is EventKind.COMPLAINED:
        return SuppressionReason.COMPLAINT
    if suppress := event.text("suppress"):
        return SuppressionReason(suppress)
    if event.kind is EventKind.OPTED_OUT or meaning is Meaning.STOP:
        return SuppressionReason.UNSUBSCRIBE if event.channel is Channel.EMAIL else SuppressionReason.STOP
    return None


def _is_opt_in(event: StoredEvent, meaning: Meaning | None) -> bool:
    return event.kind is EventKind.OPTED_IN or meaning is Meaning.START


async def _opt_out(
    session: AsyncSession,
    tenant_id: UUID,
    event: StoredEvent,
    contacts: Sequence[UUID],
    address: str,
    reason: SuppressionReason,
) -> None:
    scope = OptOutScope(event.data.get("scope", OptOutScope.ALL))
    address = "" if scope is OptOutScope.MARKETING else address
    for contact_id in contacts:
        await consents.record_opt_out(
            session,
            tenant_id,
            contact_id,
            event.channel,
            scope=scope,
            at=_at_the_latest(event),
            source=event.provider,
            reason=reason,
            address=address,
            meta=_words(event),
        )
    if not contacts and address:
        await consent_rows.suppress(session, tenant_id, event.channel, address, reason=reason, source=event.provider)


async def project_limits(session: AsyncSession, events: Sequence[StoredEvent], sent: dict[UUID, Sent]) -> None:
    """Persons for whom the provider takes no marketing for a while, whoever sends it."""
    untils: dict[UUID, datetime] = {}
    for event in events:
        seconds, message = event.data.get("limited_seconds"), sent.get(event.id)
        if seconds and message is not None and event.channel is Channel.WHATSAPP:
            until = event.at + timedelta(seconds=seconds)
            untils[message.contact_id] = max(until, untils.get(message.contact_id, until))
    await recipient_limits.limit(session, untils)


def _at_the_latest(event: StoredEvent) -> datetime:
    """Most providers tell whole seconds, cut off: a no must not look older than a yes in the same second."""
    end = event.at.replace(microsecond=999_999) if event.at.microsecond == 0 else event.at
    return min(end, event.received_at)


async def _opt_in(
    session: AsyncSession, tenant_id: UUID, event: StoredEvent, contacts: Sequence[UUID], address: str
) -> None:
    for contact_id in contacts:
        await consents.record_opt_in(
            session,
            tenant_id,
            contact_id,
            event.channel,
            at=event.at,
            source=event.provider,
            meta=_words(event),
        )
    if not contacts and address:
        await consent_rows.lift(session, event.channel, address, at=event.at)


def _words(event: StoredEvent) -> dict[str, str]:
    """What the person wrote or the provider said, and the report it came in: the proof of a consent."""
    told = {"text": event.text("text")[:1_000], "address": event.text("address"), "report": event.kind.value}
    return {name: value for name, value in {**told, "webhook_event_id": str(event.id)}.items() if value}


async def _stop_all(
    session: AsyncSession, tenant_id: UUID, wanted: Sequence[tuple[Stop, UUID]], effects: Effects
) -> None:
    causes: dict[tuple[UUID, StopReason], list[UUID]] = {}
    for stop, event_id in wanted:
        causes.setdefault((stop.contact_id, stop.reason), []).append(event_id)
    for stopped in await stops.stop_many(session, tenant_id, [stop for stop, _ in wanted]):
        effects.add(StopSequence(stopped), causes[stopped.contact_id, stopped.reason])


def _stop(contact_id: UUID, reason: StopReason, event: StoredEvent) -> Stop:
    return Stop(contact_id=contact_id, reason=reason, at=event.at)
