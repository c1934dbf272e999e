"""What came of a chunk, written down: sent, unknown, failed for good, or queued for another try."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import uniform
from time import monotonic
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import Receipt
from app.domain.bounces import is_soft
from app.domain.replies import OWN_WORD
from app.domain.status import Channel, MessageStatus, OptOutScope, Purpose, StopReason, SuppressionReason
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
)
from app.repositories import outbox, rate_buckets, recipient_limits, sender_troubles
from app.services import consents, soft_bounces, stops
from app.services.sending import quotas
from app.services.sending.campaign import LaunchedCampaign, Step
from app.services.sending.claiming import Outgoing
from app.services.soft_bounces import Bounced

# A provider that names a passing reason for this very message is asked again this often; an outage is never counted.
MAX_TRANSIENT_ATTEMPTS = 8


@dataclass(slots=True)
class Recorded:
    """What came of a chunk. `retry_at`: some go again then; `trouble`: their sender must be mended first."""

    sent: int = 0
    unknown: int = 0
    failed: int = 0
    retried: int = 0
    retry_at: datetime | None = None
    trouble: SendError | None = None


async def record(
    session: AsyncSession,
    campaign: LaunchedCampaign,
    step: Step,
    results: Sequence[tuple[Outgoing, Receipt | SendError]],
    *,
    claim_token: UUID,
    now: datetime,
) -> Recorded:
    """Write what the providers answered. Safe to repeat."""
    outcome = Recorded()
    accepted: dict[UUID, str] = {}
    refused: list[outbox.NotSent] = []
    contacts: dict[UUID, UUID] = {}
    for outgoing, result in results:
        contacts[outgoing.id] = outgoing.contact_id
        if isinstance(result, Receipt):
            accepted[outgoing.id] = result.provider_message_id
        else:
            refused.append(not_sent(outgoing, result, now))
            await note_sender(session, outgoing, result, now)
            if isinstance(result, ProviderMisconfigured):
                outcome.trouble = result
    await note_troubles(session, results)
    await outbox.mark_sent(session, accepted, [contacts[id] for id in accepted])
    written = await record_refused(session, [outgoing for outgoing, _ in results], refused, claim_token, now)
    again: dict[UUID, datetime | None] = {}
    for item in refused:
        if item.id not in written:
            continue
        if item.status is MessageStatus.UNKNOWN and item.next_at is None:
            outcome.unknown += 1
        elif item.status is MessageStatus.FAILED:
            outcome.failed += 1
            again[contacts[item.id]] = None  # the next channel, at once
        else:
            outcome.retried += 1
            again[contacts[item.id]] = item.next_at
            if item.next_at and (outcome.retry_at is None or item.next_at < outcome.retry_at):
                outcome.retry_at = item.next_at
    await outbox.decide_again(session, campaign.id, step.position, again)
    await note_limits(session, results, now)
    outcome.sent = len(accepted)
    return outcome


async def record_refused(
    session: AsyncSession,
    outgoings: Sequence[Outgoing],
    refused: Sequence[outbox.NotSent],
    claim_token: UUID,
    now: datetime,
) -> set[UUID]:
    """Write down what did not leave; the ids written. What will be claimed again is counted again then, and its pair is
    free until the provider's word."""
    again = {item.id: item for item in refused if item.status is MessageStatus.QUEUED}
    back = [outgoing for outgoing in outgoings if outgoing.id in again]
    days = {outgoing.counted_on for outgoing in back if outgoing.counted_on}
    for day in sorted(days):
        await quotas.lock(session, {item.sender.settings_id: item.sender for item in back}.values(), day)
    written = await outbox.mark_not_sent(session, refused, claim_token)
    free_ats = {}
    for outgoing in back:
        if outgoing.id not in written:
            continue
        if outgoing.counted_on is not None:
            await quotas.give_back(session, outgoing.sender, outgoing.counted_on, 1)
        if outgoing.pair is not None and monotonic() < outgoing.pair.taken_until:
            free_ats[outgoing.contact_id] = again[outgoing.id].next_at or now
    await outbox.pace_pairs(session, free_ats)
    await _note_bounces(session, outgoings, [item for item in refused if item.id in written], now)
    return written


async def _note_bounces(
    session: AsyncSession, outgoings: Sequence[Outgoing], refused: Sequence[outbox.NotSent], now: datetime
) -> None:
    """E-mails that were given up though the mail server only said: not now."""
    given_up = {item.id for item in refused if item.status is MessageStatus.FAILED and is_soft("", item.code, "")}
    mails = [item for item in outgoings if item.id in given_up and item.sender.channel is Channel.EMAIL]
    if mails:
        bounced = {it.id: Bounced(address=it.message.to, provider=it.sender.provider, at=now) for it in mails}
        await soft_bounces.note(session, mails[0].sender.tenant_id, bounced)


async def note_limits(
    session: AsyncSession, results: Sequence[tuple[Outgoing, Receipt | SendError]], now: datetime
) -> None:
    """Persons for whom the provider takes no marketing for a while. Last of all: projections too lock contacts after
    messages."""
    await recipient_limits.limit(
        session,
        {
            outgoing.contact_id: now + error.limited
            for outgoing, error in results
            if isinstance(error, MessageRejected) and error.limited and outgoing.sender.channel is Channel.WHATSAPP
        },
    )


async def note_sender(session: AsyncSession, outgoing: Outgoing, error: SendError, now: datetime) -> None:
    """What an answer means beyond its message: a limit slows the whole sender, a dead address is not used again, and
    who has opted out at the provider has opted out here. Before any message is locked: it stops recipients."""
    if isinstance(error, RateLimited) and not error.recipient_only:
        await rate_buckets.block(
            session,
            tenant_id=outgoing.sender.tenant_id,
            settings_id=outgoing.sender.settings_id,
            length=error.pause,
        )
    if isinstance(error, MessageRejected) and error.suppress in OWN_WORD:
        await _opt_out(session, outgoing, error, now)
    elif isinstance(error, MessageRejected) and error.suppress:
        await outbox.suppress(
            session,
            tenant_id=outgoing.sender.tenant_id,
            channel=outgoing.sender.channel.value,
            address=outgoing.message.to,
            reason=error.suppress,
            source=f"{outgoing.sender.provider} {error.provider_code}".strip(),
        )


async def _opt_out(session: AsyncSession, outgoing: Outgoing, error: MessageRejected, now: datetime) -> None:
    tenant_id, contact_id = outgoing.sender.tenant_id, outgoing.contact_id
    await consents.record_opt_out(
        session,
        tenant_id,
        contact_id,
        outgoing.sender.channel,
        at=now,
        source=f"{outgoing.sender.provider} {error.provider_code}".strip(),
        reason=SuppressionReason(error.suppress or SuppressionReason.STOP),
        address=outgoing.message.to,
        scope=OptOutScope.MARKETING if error.marketing_only else OptOutScope.ALL,
    )
    await stops.stop_recipients(session, tenant_id, contact_id, StopReason.OPTED_OUT, now)


async def note_troubles(session: AsyncSession, results: Sequence[tuple[Outgoing, Receipt | SendError]]) -> None:
    """What the answers say of the senders themselves: refused, or mended."""
    refused: dict[UUID, tuple[Outgoing, SendError]] = {}
    works: set[UUID] = set()
    for outgoing, answer in results:
        if isinstance(answer, ProviderMisconfigured):
            refused[outgoing.sender.settings_id] = outgoing, answer
        elif outgoing.probe and isinstance(answer, Receipt | MessageRejected):
            works.add(outgoing.sender.settings_id)
    for settings_id, (outgoing, error) in refused.items():
        code = error.provider_code or error.code
        tenant_id = outgoing.sender.tenant_id
        await sender_troubles.note(
            session, tenant_id=tenant_id, settings_id=settings_id, code=code, detail=error.detail
        )
    if works - refused.keys():
        await sender_troubles.clear(session, sorted(works - refused.keys()))


def not_sent(outgoing: Outgoing, error: SendError, now: datetime) -> outbox.NotSent:
    """What becomes of a message after this answer: unknown, failed for good, or queued for another try."""
    message_id, attempts = outgoing.id, outgoing.attempts
    code, detail = error.provider_code or error.code, error.detail
    # a repeat that came to nothing says nothing of the first request; only a refusal of the message itself does
    if isinstance(error, OutcomeUnknown) or (outgoing.doubtful and not isinstance(error, MessageRejected)):
        again = _repeat_at(outgoing, error, now)
        return outbox.NotSent(
            id=message_id,
            status=MessageStatus.UNKNOWN,
            code=code,
            detail=detail,
            next_at=again,
            may_repeat=again is not None,
        )
    if isinstance(error, ProviderMisconfigured):  # waits for the mend; not the message's fault
        return outbox.NotSent(
            id=message_id, status=MessageStatus.QUEUED, code=code, detail=detail, next_at=now, may_repeat=True
        )
    if isinstance(error, MessageRejected) and error.limited and outgoing.message.purpose is Purpose.MARKETING:
        # surely not accepted: over another channel at once, else over this one when the limit is over
        return outbox.NotSent(id=message_id, status=MessageStatus.QUEUED, code=code, detail=detail, next_at=now)
    gave_up = attempts >= MAX_TRANSIENT_ATTEMPTS and isinstance(error, ProviderUnavailable) and error.provider_code
    if not error.retryable or gave_up:
        return outbox.NotSent(id=message_id, status=MessageStatus.FAILED, code=code, detail=detail)
    return outbox.NotSent(
        id=message_id,
        status=MessageStatus.QUEUED,
        code=code,
        detail=detail,
        next_at=now + _pause(error, attempts),
        may_repeat=True,
    )


def _repeat_at(outgoing: Outgoing, error: SendError, now: datetime) -> datetime | None:
    """When the same request goes out once more; None where it would be another message, or could not tell."""
    if isinstance(error, OutcomeUnknown) and not error.repeat_settles:
        return None
    at = now if isinstance(error, ProviderMisconfigured) else now + _pause(error, outgoing.attempts)
    return at if outgoing.repeat_until is not None and at < outgoing.repeat_until else None


def _pause(error: SendError, attempts: int) -> timedelta:
    """What the provider asks for, else doubling from half a second to a minute, spread a little."""
    if error.retry_after is not None:
        return error.retry_after
    return timedelta(seconds=min(60.0, 0.5 * 2 ** min(attempts, 7)) * uniform(0.8, 1.2))
