"""What people write: into their conversation, and what it means for the campaigns they are in."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.domain.keywords import Keyword, classify
from app.domain.status import Channel, MessageType
from app.repositories import inbound
from app.repositories.inbound import Received
from app.repositories.webhook_events import StoredEvent
from app.services.projections.people import is_written


class Meaning(StrEnum):
    REPLY = "reply"
    REACTION = "reaction"  # noticed us, said nothing
    STOP = "stop"
    START = "start"
    HELP = "help"


TYPES = {
    "media": MessageType.MEDIA,
    "image": MessageType.MEDIA,
    "video": MessageType.MEDIA,
    "document": MessageType.MEDIA,
    "sticker": MessageType.MEDIA,
    "location": MessageType.LOCATION,
    "audio": MessageType.AUDIO,
}
KEYWORDS = {Keyword.STOP: Meaning.STOP, Keyword.START: Meaning.START, Keyword.HELP: Meaning.HELP}


def meaning_of(event: StoredEvent) -> Meaning:
    """What a person's message means. Where the provider has judged it already, that counts."""
    if event.kind is EventKind.OPTED_OUT:
        return Meaning.STOP
    if event.kind is EventKind.OPTED_IN:
        return Meaning.START
    if event.data.get("opt_out_type") == "HELP":
        return Meaning.HELP
    if event.text("message_type") == "reaction":
        return Meaning.REACTION
    keyword = classify(event.text("text"))
    return KEYWORDS[keyword] if keyword else Meaning.REPLY


async def meanings_of(
    session: AsyncSession, tenant_id: UUID, events: Sequence[StoredEvent], people: dict[UUID, list[UUID]]
) -> dict[UUID, Meaning]:
    """What each message means. Anybody can write somebody else's address into a mail, so a START by mail counts only in
    answer to what that person got from us; a STOP always does."""
    meanings = {event.id: meaning_of(event) for event in events if is_written(event)}
    claimed = {
        event.id: event.text("context_id")
        for event in events
        if event.channel is Channel.EMAIL and meanings.get(event.id) is Meaning.START
    }
    written_to = await inbound.pairs_written_to(session, tenant_id, set(claimed.values()) - {""})
    for id, context in claimed.items():
        if not any((context, contact) in written_to for contact in people.get(id, [])):
            meanings[id] = Meaning.REPLY
    return meanings


async def project_conversations(
    session: AsyncSession,
    tenant_id: UUID,
    events: Sequence[StoredEvent],
    people: dict[UUID, list[UUID]],
    meanings: dict[UUID, Meaning],
) -> None:
    """Store each message in its writer's conversation. The message has the event's id, so a repeat changes nothing."""
    received = [
        _received(event, people[event.id][0], meanings[event.id])
        for event in events
        if is_written(event) and people.get(event.id)
    ]
    new = await inbound.add_messages(session, tenant_id, received)
    await inbound.mark_answered(
        session, [message for message in received if message.id in new and meanings[message.id] is Meaning.REPLY]
    )


def _received(event: StoredEvent, contact_id: UUID, meaning: Meaning) -> Received:
    kind = event.text("message_type")
    payload = {
        "text": event.text("text"),
        "kind": kind,
        "context_id": event.text("context_id"),
        "profile_name": event.text("profile_name"),
        "data": event.data,
        "occurred_at": event.at,
    }
    return Received(
        id=event.id,
        received_at=event.received_at,
        at=event.at,
        contact_id=contact_id,
        channel=event.channel,
        type=TYPES.get(kind, MessageType.TEXT),
        address=event.text("address"),
        payload={name: value for name, value in payload.items() if value},
        settings_id=event.settings_id,
        provider=event.provider,
        provider_message_id=event.text("provider_message_id"),
        context_id=event.text("context_id"),
        opens_window=event.channel is Channel.WHATSAPP and meaning is not Meaning.REACTION,
    )
