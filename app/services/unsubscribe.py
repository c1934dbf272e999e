"""Unsubscribe links: what they show and what they do."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import clock
from app.domain.consent import is_opted_out
from app.domain.status import Channel, StopReason, SuppressionReason
from app.errors import NotFound
from app.models import Contact, Tenant
from app.repositories import consents as consent_rows
from app.repositories import messages
from app.services import consents
from app.services.stops import StoppedSequence, stop_recipients
from app.tokens import UnsubscribeToken


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """Whose link it is; `address` is the one that the message went to, empty when nothing is known of it any more."""

    tenant_name: str
    channel: Channel
    address: str
    opted_out: bool


async def look_up(session: AsyncSession, token: UnsubscribeToken) -> Subscription:
    """Raises NotFound when the contact never was in this tenant."""
    tenant = await session.get(Tenant, token.tenant_id)
    contact = await session.get(Contact, token.contact_id)
    if tenant is None or contact is None:
        raise NotFound("This unsubscribe link is not valid any more.")
    message = await messages.get(session, token.tenant_id, token.message_id)
    current = (contact.email if token.channel is Channel.EMAIL else contact.phone) or ""
    allowed = await consent_rows.of_contacts(session, token.tenant_id, [token.contact_id])
    return Subscription(
        tenant_name=tenant.name,
        channel=token.channel,
        address=(message.address if message else "") or current,
        opted_out=any(
            is_opted_out(consent.opt_in_at_utc, consent.opt_out_at_utc)
            for consent in allowed
            if consent.channel is token.channel
        ),
    )


async def unsubscribe(
    session: AsyncSession, token: UnsubscribeToken, *, source: str
) -> tuple[Subscription, list[StoppedSequence]]:
    """Record the opt-out and stop the contact's sequences; again is the same. Signal the sequences after the commit."""
    found = await look_up(session, token)
    at = await clock(session)  # the undo must be later, whichever process takes it
    await consents.record_opt_out(
        session,
        token.tenant_id,
        token.contact_id,
        token.channel,
        at=at,
        source=source,
        reason=SuppressionReason.UNSUBSCRIBE,
        address=found.address,
        meta={"message_id": str(token.message_id)},
    )
    stopped = await stop_recipients(session, token.tenant_id, token.contact_id, StopReason.OPTED_OUT, at)
    return found, stopped


async def subscribe_again(session: AsyncSession, token: UnsubscribeToken) -> Subscription:
    """Take an unsubscribe back: an opt-in, from now on. What was stopped stays stopped. Raises NotFound."""
    found = await look_up(session, token)
    at = await clock(session)
    await consents.record_opt_in(
        session,
        token.tenant_id,
        token.contact_id,
        token.channel,
        at=at,
        source="unsubscribe_page",
        meta={"message_id": str(token.message_id)},
    )
    if found.address:  # the contact may have another by now
        await consent_rows.lift(session, token.channel, found.address, at=at)
    return found


def mask_address(address: str) -> str:
    """`ana@example.com` → `a…@example.com`, `+351912345678` → `…678`: enough for its owner to know it."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}" if at else f"…{address[-3:]}" if address else ""
