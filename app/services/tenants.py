"""Making tenants."""

import re
import unicodedata
from uuid import UUID

import phonenumbers
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.zones import normalize_timezone
from app.errors import InvalidInput
from app.ids import new_id
from app.models import Tenant
from app.repositories import tenants

LONGEST_SLUG = 48


async def create(
    session: AsyncSession, *, name: str, timezone: str = "UTC", default_region: str = "", default_lang: str = "en"
) -> Tenant:
    """Make a tenant, in a system transaction. Its slug comes from the name, numbered when that is taken.

    Raises InvalidInput on an empty name, an unknown time zone or an unknown region.
    """
    name = name.strip()
    if not name or "\0" in name:
        raise InvalidInput.at("/name", "A tenant needs a name.")
    try:
        timezone = normalize_timezone(timezone)
    except ValueError as error:
        raise InvalidInput.at("/timezone", str(error)) from None
    region = default_region.upper()
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInput.at("/default_region", f"{default_region!r} is no region: use two letters such as PT.")
    stem = slugify(name)
    for attempt in range(1, 10_000):
        slug = stem if attempt == 1 else f"{stem}-{attempt}"
        tenant = Tenant(
            id=new_id(), name=name, slug=slug, timezone=timezone, default_region=region, default_lang=default_lang
        )
        values = tenant.model_dump(exclude={"tenant_id", "created_at", "updated_at"})
        if await tenants.insert_if_free(session, values):
            return tenant
    raise InvalidInput.at("/name", f"Too many tenants are called {name!r}; choose another name.")


async def limit(session: AsyncSession, tenant_id: UUID, *, per_day: int | None) -> Tenant:
    """In the tenant's transaction: set how many messages it may send in a day of its time zone; None lifts that."""
    tenant = await session.get_one(Tenant, tenant_id, with_for_update=True)
    limits = {**tenant.settings_json.get("limits", {}), "messages_per_day": per_day}
    tenant.settings_json = {
        **tenant.settings_json,
        "limits": {name: value for name, value in limits.items() if value is not None},
    }
    await session.flush()
    return tenant


def slugify(name: str) -> str:
    """`Café Açaí & Co` → `cafe-acai-co`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].rstrip("-") or "tenant"
