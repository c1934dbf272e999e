"""Making tenants, and what they decide."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any
from uuid import UUID

import phonenumbers
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.contact_file.cells import normalize_lang
from app.domain.merge_patch import merge_patch
from app.domain.pointers import Problems, child
from app.domain.tenant_rules import TenantRules
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
    name, timezone = _name(name), _timezone(timezone)
    region = _region(default_region) if default_region else ""
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


async def get(session: AsyncSession, tenant_id: UUID) -> Tenant:
    return await session.get_one(Tenant, tenant_id, populate_existing=True)


async def update(session: AsyncSession, tenant_id: UUID, patch: dict[str, Any]) -> Tenant:
    """In the tenant's transaction: apply a JSON merge patch to its data and its rules.

    Raises InvalidInput that names every bad field; then nothing is changed.
    """
    tenant = await session.get_one(Tenant, tenant_id, with_for_update=True, populate_existing=True)
    problems = Problems()
    columns = {}
    for name, read in COLUMNS.items():
        if name in patch:
            try:
                columns[name] = read(patch[name] or "")
            except InvalidInput as error:
                problems.errors += error.errors
    rules = {name: value for name, value in patch.items() if name in RULES}
    by_country = rules.get("quiet_hours_by_country") or {}
    for country in by_country:
        if country.upper() not in phonenumbers.SUPPORTED_REGIONS:
            pointer = child("/quiet_hours_by_country", country)
            problems.add(pointer, f"{country!r} is no country: use two letters such as PT.")
    if by_country:
        rules["quiet_hours_by_country"] = {country.upper(): value for country, value in by_country.items()}
    merged = merge_patch(tenant.settings_json, rules)
    try:
        TenantRules.parse(merged)
    except InvalidInput as error:
        problems.errors += error.errors
    problems.raise_any()
    for name, value in columns.items():
        setattr(tenant, name, value)
    tenant.settings_json = merged
    await session.flush()
    await session.refresh(tenant)
    return tenant


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


def _name(value: str) -> str:
    name = value.strip()
    if not name or "\0" in name:
        raise InvalidInput.at("/name", "A tenant needs a name.")
    return name


def _timezone(value: str) -> str:
    try:
        return normalize_timezone(value)
    except ValueError as error:
        raise InvalidInput.at("/timezone", str(error)) from None


def _region(value: str) -> str:
    if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInput.at("/default_region", f"{value!r} is no region: use two letters such as PT.")
    return value.upper()


def _lang(value: str) -> str:
    lang = normalize_lang(value)
    if not lang:
        raise InvalidInput.at("/default_lang", f"{value!r} is not a language such as pt or pt_BR.")
    return lang


COLUMNS: dict[str, Callable[[str], str]] = {
    "name": _name,
    "timezone": _timezone,
    "default_region": lambda value: _region(value) if value else "",
    "default_lang": _lang,
}
RULES = frozenset({"quiet_hours", "quiet_hours_by_country", "frequency_caps", "soft_bounces", "keyword_replies"})


def slugify(name: str) -> str:
    """`Café Açaí & Co` → `cafe-acai-co`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].rstrip("-") or "tenant"
