"""Addresses that must not be used, put on the list and taken off it by hand."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.emails import normalize_email
from app.domain.phone import normalize_phone
from app.domain.status import Channel, SuppressionReason
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Suppression, Tenant
from app.repositories import consents
from app.repositories import suppressions as rows
from app.schemas.suppressions import SuppressionCreate

# The person's own word, or that the address is none: whoever lifts these has to say that it is meant.
LASTING = frozenset({SuppressionReason.COMPLAINT, SuppressionReason.BOUNCE, SuppressionReason.STOP})


async def create(session: AsyncSession, tenant: Tenant, wanted: SuppressionCreate) -> Suppression:
    """Suppress the address. One that is suppressed already is answered as it is; a stronger reason stays. Raises
    InvalidInput for an address that is none of the channel."""
    try:
        address = (
            normalize_email(wanted.address)
            if wanted.channel is Channel.EMAIL
            else normalize_phone(wanted.address, tenant.default_region)
        )
    except ValueError as error:
        raise InvalidInput.at("/address", str(error)) from None
    await consents.suppress(
        session, tenant.id, wanted.channel, address, reason=wanted.reason, source=wanted.source or "api"
    )
    return await rows.of_address(session, tenant.id, wanted.channel, address)


async def lift(session: AsyncSession, tenant_id: UUID, suppression_id: UUID, *, force: bool) -> None:
    """Let the address be used again; what the contact allowed is untouched. Again is the same.

    Raises NotFound, and Conflict for a bounce, a complaint or a STOP without `force`.
    """
    found = await rows.get(session, tenant_id, suppression_id)
    if found is None:
        raise NotFound(f"There is no suppression {suppression_id}.")
    if found.lifted_at is not None:
        return
    if found.reason in LASTING and not force:
        raise Conflict(
            f"This address is suppressed because of a {found.reason}: writing to it may break the law or the sender's "
            "reputation. Give force=true if the person asked for it."
        )
    await rows.lift(session, tenant_id, suppression_id)
