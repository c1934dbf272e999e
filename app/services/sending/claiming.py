"""Claim what may leave now, within what the senders have room for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import OutboundMessage
from app.domain.status import CampaignStatus, Channel, MessageType
from app.repositories import outbox
from app.repositories.outbox import Candidate
from app.repositories.sender_troubles import Trouble
from app.services.limits import Permit, Room
from app.services.senders import Sender
from app.services.sending import caps, pairs, quotas, rooms
from app.services.sending.campaign import LaunchedCampaign
from app.services.sending.choosing import Choice, Chooser
from app.services.sending.rendering import frozen_request, stored_payload
from app.services.sending.shortening import draft_of
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
    permit: Permit | None = None  # where the sender has a limit
    pair: pairs.Turn | None = None  # where it has one per recipient
    counted_on: date | None = None  # where it has a quota: the day it was counted on


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What one claim did. `examined` recipients were decided; nobody was left when it is 0 and `wait` is None. `short`
    is a channel whose sender had no room."""

    examined: int
    outgoing: list[Outgoing] = field(default_factory=list)
    wait: timedelta | None = None
    short: Channel | None = None
    status: CampaignStatus = CampaignStatus.RUNNING
    standings: dict[UUID, outbox.Standing] = field(default_factory=dict)
    channels: dict[UUID, str] = field(default_factory=dict)
    trouble: Trouble | None = None  # a refused sender, for which some were put off


def requests(outgoing: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Who shares a request. Whatever goes to a provider once more, or may have to, goes alone, under its own key."""
    alone: list[list[Outgoing]] = []
    together: dict[tuple[UUID, MessageType], list[Outgoing]] = {}
    for item in outgoing:
        if item.sender.batch > 1 and item.repeat_until is None and not item.doubtful:
            together.setdefault((item.sender.settings_id, item.message.type), []).append(item)
        else:
            alone.append([item])
    for items in together.values():
        size = items[0].sender.batch
        alone += [items[start : start + size] for start in range(0, len(items), size)]
    return alone


async def claim_chunk(
    session: AsyncSession,
    chooser: Chooser,
    candidates: Sequence[Candidate],
    *,
    claim_token: UUID,
    room: Room,
    troubles: Mapping[UUID, Trouble] = NO_TROUBLES,
) -> Chunk:
    """Decide each candidate and claim the messages that may leave now, within the limits of their senders.

    Candidates for whom a sender has no room are left as they were; `wait` says when there is.
    """
    campaign, step = chooser.campaign, chooser.step
    rows = {row.contact_id: row for row in candidates}
    if campaign.fallback_after is not None:
        await outbox.lock_superseded(session, campaign.id, step.position, candidates)
    sent = await caps.look(
        session, chooser.rules, campaign.purpose, list(rows), chooser.now, campaign_id=campaign.id, step=step.position
    )
    chooser = replace(chooser, sent=sent) if sent else chooser
    choices = [chooser.choose(row) for row in candidates]
    trouble = None
    if troubles:
        trouble = await hold_back(session, candidates, choices, chooser.senders, troubles, step.position, chooser.now)
    found = await rooms.assign(session, choices, chooser, room)
    kept = found.kept
    allowance = await _within_quotas(session, chooser, rows, kept)
    turns = await _take_pairs(session, chooser, rows, kept)
    await _shorten_links(session, chooser, kept)
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
    claimed = [choice for choice in kept if choice.claim and choice.rendered and choice.claim.id in owned]
    if allowance is not None:
        await _give_back(session, chooser.senders, allowance, claimed)
    await outbox.abandon(session, [choice.stale for choice in kept if choice.stale], claim_token)
    await outbox.give_up(
        session, [choice.repeated for choice in kept if choice.repeated and choice.repeated not in owned]
    )
    needless = {id: reason for choice in claimed for id, reason in choice.put_off.items()}
    refused = {id: reason for choice in kept for id, reason in choice.withdrawn.items()}
    await outbox.withdraw(session, needless | refused)
    await outbox.place(session, campaign.id, step.position, [choice.standing for choice in kept])
    await outbox.add_decisions(
        session, campaign.tenant_id, campaign.id, [verdict for choice in kept for verdict in choice.verdicts]
    )
    return Chunk(
        examined=len(kept),
        outgoing=[
            _outgoing(campaign, choice, chooser.senders, owned, turns, allowance.day if allowance else None)
            for choice in claimed
        ],
        wait=found.wait,
        short=found.short,
        status=chooser.status,
        standings={choice.standing.contact_id: choice.standing for choice in kept},
        channels={choice.standing.contact_id: choice.channel for choice in kept},
        trouble=trouble,
    )


async def _within_quotas(
    session: AsyncSession, chooser: Chooser, rows: Mapping[UUID, Candidate], choices: Sequence[Choice]
) -> quotas.Allowance | None:
    """Count the messages of this day; those that no quota is left for are held until the next."""
    wanted = Counter(Channel(choice.claim.channel) for choice in choices if choice.claim)
    allowance = await quotas.take(session, chooser.senders, wanted, chooser.now)
    if allowance is None:
        return None
    left = dict(allowance.counts)
    for choice in choices:
        if choice.claim is None or (channel := Channel(choice.claim.channel)) not in left:
            continue
        if left[channel]:
            left[channel] -= 1
        else:
            chooser.hold(choice, rows[choice.standing.contact_id], quota_until=allowance.until)
    return allowance


async def _give_back(
    session: AsyncSession, senders: Mapping[Channel, Sender], allowance: quotas.Allowance, claimed: Sequence[Choice]
) -> None:
    """What was counted and yet not claimed: another attempt was faster, or the recipient has to wait."""
    used = Counter(choice.channel for choice in claimed)
    for sender in quotas.limited(senders[channel] for channel in allowance.counts):
        unused = allowance.counts[sender.channel] - used[sender.channel.value]
        await quotas.give_back(session, sender, allowance.day, unused)


async def _take_pairs(
    session: AsyncSession, chooser: Chooser, rows: Mapping[UUID, Candidate], choices: Sequence[Choice]
) -> Mapping[UUID, pairs.Turn]:
    """Take the pair of sender and recipient; those who were written to a moment ago are held until it is free."""
    wanted = {
        choice.claim.contact_id: chooser.senders[Channel(choice.claim.channel)] for choice in choices if choice.claim
    }
    turns, busy = await pairs.take(session, chooser.campaign.tenant_id, wanted)
    for choice in choices if busy else ():
        if choice.claim and choice.claim.contact_id in busy:
            contact_id = choice.claim.contact_id
            chooser.hold(choice, rows[contact_id], pair_free_at=busy[contact_id])
    return turns


async def _shorten_links(session: AsyncSession, chooser: Chooser, choices: Sequence[Choice]) -> None:
    """Put short links into what is about to be claimed."""
    campaign = chooser.campaign
    drafts = [
        draft_of(
            choice.claim.id, choice.rendered, Channel(choice.claim.channel), campaign.purpose, choice.claim.provider
        )
        for choice in choices
        if choice.claim and choice.rendered
    ]
    changed = await chooser.renderer.shortener.shorten(session, campaign.tenant_id, drafts)
    for choice in choices if changed else ():
        if choice.claim and (rendered := changed.get(choice.claim.id)):
            frozen = frozen_request(rendered) if choice.claim.frozen else None
            choice.rendered = rendered
            choice.claim = replace(choice.claim, payload=stored_payload(rendered), frozen=frozen)


def _outgoing(
    campaign: LaunchedCampaign,
    choice: Choice,
    senders: Mapping[Channel, Sender],
    rows: Mapping[UUID, Row[Any]],
    turns: Mapping[UUID, pairs.Turn],
    counted_on: date | None,
) -> Outgoing:
    claim, rendered = choice.claim, choice.rendered
    assert claim is not None
    assert rendered is not None
    sender, owned = senders[Channel(claim.channel)], rows[claim.id]
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
        permit=choice.permit,
        pair=turns.get(claim.contact_id),
        counted_on=counted_on,
    )
