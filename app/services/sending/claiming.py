"""Claim what may leave now, within what the senders have room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import OutboundMessage
from app.domain.status import CampaignStatus, Channel, MessageType
from app.domain.template import Rendered
from app.repositories import outbox, rate_buckets
from app.repositories.outbox import Candidate
from app.repositories.sender_troubles import Trouble
from app.services.senders import Sender
from app.services.sending.campaign import LaunchedCampaign
from app.services.sending.choosing import Choice, Chooser
from app.services.sending.troubles import hold_back

NO_TROUBLES: Mapping[UUID, Trouble] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A claimed message, the sender it leaves by and how often it was tried before."""

    id: UUID
    contact_id: UUID
    sender: Sender
    message: OutboundMessage
    attempts: int = 1
    repeat_until: datetime | None = None  # until then the provider knows the same request again
    doubtful: bool = False  # an earlier request may have been accepted
    probe: bool = False  # finds out whether a refused sender was mended


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What one claim did. `examined` recipients were decided; nobody was left when it is 0 and `wait` is None."""

    examined: int
    outgoing: list[Outgoing] = field(default_factory=list)
    wait: timedelta | None = None
    status: CampaignStatus = CampaignStatus.RUNNING
    standings: dict[UUID, outbox.Standing] = field(default_factory=dict)
    channels: dict[UUID, str] = field(default_factory=dict)
    trouble: Trouble | None = None  # a refused sender, for which some were put off


async def claim_chunk(
    session: AsyncSession,
    chooser: Chooser,
    candidates: Sequence[Candidate],
    *,
    claim_token: UUID,
    troubles: Mapping[UUID, Trouble] = NO_TROUBLES,
) -> Chunk:
    """Decide each candidate, lease room from the senders and claim the messages that may leave now.

    Candidates for whom a sender has no room are left as they were; `wait` says when there is.
    """
    campaign, step = chooser.campaign, chooser.step
    choices = [chooser.choose(row) for row in candidates]
    trouble = None
    if troubles:
        trouble = await hold_back(session, candidates, choices, chooser.senders, troubles, chooser.now)
    kept, wait = await _lease(session, campaign.tenant_id, choices, chooser.senders)
    owned = await outbox.claim(
        session,
        [choice.claim for choice in kept if choice.claim],
        tenant_id=campaign.tenant_id,
        campaign_id=campaign.id,
        step=step.position,
        purpose=campaign.purpose.value,
        template_id=step.template_id,
        claim_token=claim_token,
    )
    await outbox.abandon(session, [choice.stale for choice in kept if choice.stale], claim_token)
    await outbox.give_up(
        session, [choice.repeated for choice in kept if choice.repeated and choice.repeated not in owned]
    )
    await outbox.withdraw(session, {id: reason for choice in kept for id, reason in choice.withdrawn.items()})
    await outbox.place(session, campaign.id, step.position, [choice.standing for choice in kept])
    await outbox.add_decisions(
        session, campaign.tenant_id, campaign.id, [verdict for choice in kept for verdict in choice.verdicts]
    )
    return Chunk(
        examined=len(kept),
        outgoing=[
            _outgoing(campaign, choice, choice.claim, choice.rendered, chooser.senders, owned[choice.claim.id])
            for choice in kept
            if choice.claim and choice.rendered and choice.claim.id in owned
        ],
        wait=wait,
        status=chooser.status,
        standings={choice.standing.contact_id: choice.standing for choice in kept},
        channels={choice.standing.contact_id: choice.channel for choice in kept},
        trouble=trouble,
    )


def _outgoing(
    campaign: LaunchedCampaign,
    choice: Choice,
    claim: outbox.Claim,
    rendered: Rendered,
    senders: Mapping[Channel, Sender],
    owned: Row[Any],
) -> Outgoing:
    sender = senders[Channel(claim.channel)]
    message = OutboundMessage(
        reference=claim.id,
        tenant_id=campaign.tenant_id,
        settings_id=sender.settings_id,
        channel=sender.channel,
        type=MessageType(owned.frozen["type"]) if owned.frozen else rendered.type,
        to=claim.address,
        purpose=campaign.purpose,
        content=owned.frozen["content"] if owned.frozen else rendered.content,
    )
    return Outgoing(
        id=claim.id,
        contact_id=claim.contact_id,
        sender=sender,
        message=message,
        attempts=owned.attempts,
        repeat_until=owned.repeat_until,
        doubtful=owned.doubtful,
        probe=choice.probe,
    )


async def _lease(
    session: AsyncSession, tenant_id: UUID, choices: list[Choice], senders: Mapping[Channel, Sender]
) -> tuple[list[Choice], timedelta | None]:
    """The choices for which there is room, in order, and how long the first of the others has to wait."""
    wanted: dict[str, int] = {}
    for choice in choices:
        if choice.claim:
            wanted[choice.claim.channel] = wanted.get(choice.claim.channel, 0) + 1
    room: dict[str, int] = {}
    wait: timedelta | None = None
    for channel, want in sorted(wanted.items()):  # one order for all, or two leases of two channels wait in a circle
        sender = senders[Channel(channel)]
        lease = await rate_buckets.lease(
            session,
            tenant_id=tenant_id,
            settings_id=sender.settings_id,
            per_second=sender.per_second,
            want=want,
        )
        room[channel] = lease.granted
        if lease.granted < want:
            wait = lease.wait if wait is None else min(wait, lease.wait)
    kept = []
    for choice in choices:
        if choice.claim:
            if room[choice.claim.channel] == 0:
                continue
            room[choice.claim.channel] -= 1
        kept.append(choice)
    return kept, wait
