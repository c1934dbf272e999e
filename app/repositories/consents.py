"""Consents and suppressions: upserts that never move a time backwards."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.domain.consent import is_opted_out
from app.domain.status import Channel, OptOutScope, SuppressionReason
from app.ids import new_id
from app.models import Consent, Contact, Event, EventSource, Suppression

# what a new opt-in lifts; a bounce or a complaint is not the contact's to take back
LIFTED_BY_OPT_IN = (SuppressionReason.STOP, SuppressionReason.UNSUBSCRIBE)
LASTING = (SuppressionReason.BOUNCE, SuppressionReason.COMPLAINT, SuppressionReason.INVALID)


async def upsert(
    session: AsyncSession,
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    *,
    opt_in_at: datetime | None = None,
    opt_out_at: datetime | None = None,
    source: str,
    meta: dict[str, Any],
) -> tuple[datetime | None, datetime | None]:
    """Merge into the consent row; the later time of each kind stays. Returns both times as they are now."""
    statement = insert(Consent).values(
        id=new_id(),
        tenant_id=tenant_id,
        contact_id=contact_id,
        channel=channel,
        opt_in_at_utc=opt_in_at,
        opt_out_at_utc=opt_out_at,
        source=source,
        meta_json=meta,
    )
    new = statement.excluded
    # an older report than what is known changes nothing, so it must not rename the source either
    is_news = func.coalesce(
        func.greatest(new.opt_in_at_utc, new.opt_out_at_utc)
        >= func.greatest(col(Consent.opt_in_at_utc), col(Consent.opt_out_at_utc)),
        True,
    )
    merged = statement.on_conflict_do_update(
        index_elements=["contact_id", "channel"],
        set_={
            "opt_in_at_utc": func.greatest(col(Consent.opt_in_at_utc), new.opt_in_at_utc),
            "opt_out_at_utc": func.greatest(col(Consent.opt_out_at_utc), new.opt_out_at_utc),
            "source": case((is_news, new.source), else_=col(Consent.source)),
            "meta_json": case((is_news, new.meta_json), else_=col(Consent.meta_json)),
        },
    ).returning(col(Consent.opt_in_at_utc), col(Consent.opt_out_at_utc))
    row = (await session.execute(merged)).one()
    return row[0], row[1]


async def refuses_all(session: AsyncSession, contact_id: UUID, channel: Channel) -> bool:
    """Whether the contact has said no on the channel, and not to marketing alone."""
    query = select(Consent).where(col(Consent.contact_id) == contact_id, col(Consent.channel) == channel)
    row = (await session.execute(query)).scalar_one_or_none()
    if row is None or not is_opted_out(row.opt_in_at_utc, row.opt_out_at_utc):
        return False
    return row.meta_json.get("scope") != OptOutScope.MARKETING


async def add_event(
    session: AsyncSession,
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    *,
    kind: str,
    at: datetime,
    source: str,
    meta: dict[str, Any],
) -> None:
    """One row per contact, channel, kind and instant: the same report told twice stays one."""
    event = insert(Event).values(
        id=uuid5(contact_id, f"{kind}/{channel}/{at.isoformat()}"),
        tenant_id=tenant_id,
        contact_id=contact_id,
        source=EventSource(channel.value),
        kind=kind,
        occurred_at=at,
        payload_json={"channel": channel.value, "source": source, **({"meta": meta} if meta else {})},
    )
    await session.execute(event.on_conflict_do_nothing(index_elements=["id"]))


async def suppress(
    session: AsyncSession, tenant_id: UUID, channel: Channel, address: str, *, reason: SuppressionReason, source: str
) -> None:
    """Suppress the address; a lasting reason that already holds is not weakened."""
    statement = insert(Suppression).values(
        id=new_id(), tenant_id=tenant_id, channel=channel, address=address, reason=reason, source=source
    )
    keeps = col(Suppression.lifted_at).is_(None) & col(Suppression.reason).in_(LASTING)
    await session.execute(
        statement.on_conflict_do_update(
            constraint="uq_suppressions_tenant_channel_address",
            set_={
                "reason": case((keeps, col(Suppression.reason)), else_=statement.excluded.reason),
                "source": case((keeps, col(Suppression.source)), else_=statement.excluded.source),
                "lifted_at": None,
            },
        )
    )


async def lift(session: AsyncSession, channel: Channel, address: str, *, at: datetime) -> None:
    await session.execute(
        update(Suppression)
        .where(
            col(Suppression.channel) == channel,
            col(Suppression.address) == address,
            col(Suppression.lifted_at).is_(None),
            col(Suppression.reason).in_(LIFTED_BY_OPT_IN),
        )
        .values(lifted_at=at)
    )


async def address_of(session: AsyncSession, tenant_id: UUID, contact_id: UUID, channel: Channel) -> str:
    """The contact's address on the channel, or empty."""
    column = col(Contact.email) if channel is Channel.EMAIL else col(Contact.phone)
    query = select(column).where(col(Contact.tenant_id) == tenant_id, col(Contact.id) == contact_id)
    return (await session.execute(query)).scalar_one_or_none() or ""


async def of_contacts(session: AsyncSession, tenant_id: UUID, contact_ids: list[UUID]) -> list[Consent]:
    query = (
        select(Consent)
        .where(col(Consent.tenant_id) == tenant_id, col(Consent.contact_id).in_(contact_ids))
        .order_by(col(Consent.channel))
    )
    return list((await session.execute(query)).scalars())
