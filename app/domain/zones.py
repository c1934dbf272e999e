"""IANA time zones, and the ones a contact may be in."""

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from app.domain.phone import phone_zones


@lru_cache(maxsize=1)
def known_zones() -> dict[str, str]:
    """Every zone of this machine's IANA data, by its name in lower case."""
    return {name.lower(): name for name in available_timezones()}


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of that exact IANA name. Raises ZoneInfoNotFoundError or ValueError."""
    return ZoneInfo(name)


def is_zone(name: str) -> bool:
    return known_zones().get(name.lower()) == name


def normalize_timezone(raw: str) -> str:
    """The IANA name as the data spells it (`europe/lisbon` → `Europe/Lisbon`). Raises ValueError with a sentence."""
    name = known_zones().get(raw.strip().lower())
    if name is None:
        raise ValueError(f"{raw!r} is not an IANA time zone such as Europe/Lisbon.")
    return name


def contact_zones(timezone: str, phone: str, tenant_timezone: str) -> tuple[str, ...]:
    """The contact's own zone, else every zone its number may be in, else the tenant's, else UTC. Never empty."""
    if timezone and is_zone(timezone):
        return (timezone,)
    zones = tuple(name for name in phone_zones(phone) if is_zone(name)) if phone else ()
    if zones:
        return zones
    return (tenant_timezone,) if is_zone(tenant_timezone) else ("UTC",)
