"""What a tenant has decided for all its messages, as `tenants.settings_json` holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any

import orjson

from app.domain.frequency import FrequencyCap, parse_caps
from app.domain.keywords import Keyword
from app.domain.pointers import Problems, child
from app.domain.quiet_hours import QuietRules
from app.errors import InvalidInput

LONGEST_REPLY = 480  # three SMS, or a little less than one page of WhatsApp
MOST_BOUNCES = 100
LONGEST_BOUNCE_DAYS = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftBounces:
    """So many messages that bounced softly within the period, with none delivered in between, end an address."""

    count: int = 5
    period: timedelta = timedelta(days=14)


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantRules:
    quiet: QuietRules = field(default_factory=lambda: QuietRules(by_country={}))
    caps: tuple[FrequencyCap, ...] = ()
    soft_bounces: SoftBounces = SoftBounces()
    replies: Mapping[Keyword, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> "TenantRules":
        """Raises InvalidInput that names every bad field."""
        problems = Problems()
        quiet = QuietRules(by_country={})
        try:
            quiet = QuietRules.parse(settings.get("quiet_hours"), settings.get("quiet_hours_by_country"))
        except InvalidInput as error:
            problems.errors += error.errors
        caps = parse_caps(settings.get("frequency_caps"), "/frequency_caps", problems)
        bounces = _soft_bounces(settings.get("soft_bounces") or {}, "/soft_bounces", problems)
        replies = _replies(settings.get("keyword_replies") or {}, "/keyword_replies", problems)
        problems.raise_any()
        return cls(quiet=quiet, caps=caps, soft_bounces=bounces, replies=replies)


@lru_cache(maxsize=1024)
def rules_of(settings: str) -> TenantRules:
    """The rules of `tenants.settings_json` as text; most claims of a tenant bring the same."""
    return TenantRules.parse(orjson.loads(settings))


def _soft_bounces(value: Mapping[str, Any], pointer: str, problems: Problems) -> SoftBounces:
    count, days = value.get("count", SoftBounces().count), value.get("days", SoftBounces().period.days)
    for name, number, most in (("count", count, MOST_BOUNCES), ("days", days, LONGEST_BOUNCE_DAYS)):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            problems.add(child(pointer, name), f"{name} must be a whole number from 1 to {most}.")
            return SoftBounces()
    return SoftBounces(count=count, period=timedelta(days=days))


def _replies(value: Mapping[str, Any], pointer: str, problems: Problems) -> dict[Keyword, str]:
    replies = {}
    for name, words in value.items():
        if name not in set(Keyword):
            problems.add(child(pointer, name), f"Unknown keyword {name!r}; there are {', '.join(Keyword)}.")
        elif not isinstance(words, str) or not words.strip() or len(words) > LONGEST_REPLY or "\0" in words:
            problems.add(child(pointer, name), f"{name} must be a text of at most {LONGEST_REPLY} characters.")
        else:
            replies[Keyword(name)] = words
    return replies
