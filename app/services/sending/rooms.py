"""Which of the choices have room now: a permit of their sender, and a sender that is not told to pause."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.status import Channel
from app.repositories import outbox, rate_buckets
from app.services.limits import Permit, Room
from app.services.senders import Sender
from app.services.sending.choosing import Choice, Chooser


@dataclass(slots=True)
class Found:
    """The choices for which there is room, in order; else when to come back, and a channel that had none."""

    kept: list[Choice] = field(default_factory=list)
    wait: timedelta | None = None
    short: Channel | None = None


async def assign(session: AsyncSession, choices: list[Choice], chooser: Chooser, room: Room) -> Found:
    """Give a permit to each choice that has a message to claim."""
    wanted = Counter(Channel(choice.claim.channel) for choice in choices if choice.claim)
    senders = [chooser.senders[channel] for channel in wanted]
    pauses = await pauses_of(session, senders, room)
    permits: dict[Channel, list[Permit] | None] = {
        sender.channel: [] if sender.settings_id in pauses else room.take(sender, wanted[sender.channel])
        for sender in senders
    }
    found = Found()
    later: dict[UUID, timedelta] = {}
    for choice in choices:
        if choice.claim is None:
            found.kept.append(choice)
            continue
        channel = Channel(choice.claim.channel)
        available = permits[channel]
        if available is None:
            found.kept.append(choice)
        elif available:
            choice.permit = available.pop(0)
            found.kept.append(choice)
        else:
            sender = chooser.senders[channel]
            wait = pauses.get(sender.settings_id) or room.return_in(sender)
            later[choice.claim.contact_id] = wait
            found.wait = wait if found.wait is None else min(found.wait, wait)
            found.short = channel
    if chooser.step.position == 0:  # the others must not stand before those for whom there is room
        ats = {id: chooser.now + wait for id, wait in later.items()}
        await outbox.look_later(session, chooser.campaign.id, ats)
    return found


async def pauses_of(session: AsyncSession, senders: list[Sender], room: Room) -> dict[UUID, timedelta]:
    """The senders that were told to pause, by whichever process, and for how long."""
    if not senders:
        return {}
    pauses = await rate_buckets.blocked(session, [sender.settings_id for sender in senders])
    for sender in senders:
        if sender.settings_id in pauses:
            room.limits.block(sender, pauses[sender.settings_id])
    return pauses
