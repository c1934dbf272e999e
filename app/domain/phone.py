"""Phone numbers: E.164, their country and the zones they may be in.

phonenumbers takes some 40 µs per number; imports bring millions. A number that is already written as E.164 and matches
the numbering plan of its country is taken as it is, which is what the library would answer.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_number
from phonenumbers.tzdata import TIMEZONE_DATA

E164 = re.compile(r"\+[1-9]\d{6,14}")
CALLING_CODES = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
_CODES = {str(code): code for code in CALLING_CODES}
NO_COUNTRY = "001"  # the library's region for satellite phones and other numbers of no country
KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


def normalize_phone(raw: str, default_region: str) -> str:
    """`raw` as E.164 (`+351912345678`); a number without + is read as one of `default_region` (ISO 3166-1 alpha-2).

    Raises ValueError with a sentence for anything that is not a valid number.
    """
    text = raw.strip()
    return text if _is_plain(text) else _parse(text, default_region)


def phone_country(e164: str) -> str:
    """ISO 3166-1 alpha-2 of the number, or empty when it belongs to no country."""
    code = _calling_code(e164)
    regions = CALLING_CODES.get(code, ())
    if len(regions) < 2:
        return regions[0] if regions and regions[0] != NO_COUNTRY else ""
    digits = e164[1 + len(str(code)) :]
    prefix, plans = _numbering(code)
    if prefix is not None and prefix.match(digits):
        return _country_of(e164)
    return next((plan.region for plan in plans if plan.is_home_of(digits)), "") or _country_of(e164)


def phone_zones(e164: str) -> tuple[str, ...]:
    """Every IANA zone that the number may be in; none when it tells nothing."""
    zones = TIMEZONE_DATA.get(str(_calling_code(e164)), ())
    return _zones_of(e164) if len(zones) > 1 else tuple(zones)


def _parse(text: str, default_region: str) -> str:
    region = default_region.strip().upper() or None
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE and not text.startswith("+"):
            raise ValueError(
                f"{text!r} has no country code: write it with +, or give a default region such as PT."
            ) from None
        raise ValueError(f"{text!r} is not a phone number.") from None
    if number.extension:
        raise ValueError(f"{text!r} has an extension, which cannot get messages.")
    if not phonenumbers.is_valid_number(number):
        raise ValueError(f"{text!r} is not a valid phone number of country code +{number.country_code}.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


class _Plan(NamedTuple):
    """The numbers of one region. `leading` tells them apart from other regions of its code, where it is known."""

    region: str
    lengths: frozenset[int]
    numbers: re.Pattern[str]
    leading: re.Pattern[str] | None

    def has(self, digits: str) -> bool:
        return len(digits) in self.lengths and self.numbers.fullmatch(digits) is not None

    def is_home_of(self, digits: str) -> bool:
        return self.leading.match(digits) is not None if self.leading else self.has(digits)


def _is_plain(text: str) -> bool:
    """Whether `text` is E.164 of a plan that needs no rewriting; False only means: ask the library."""
    if E164.fullmatch(text) is None:
        return False
    code = _calling_code(text)
    digits = text[1 + len(str(code)) :]
    prefix, plans = _numbering(code)
    if prefix is not None and prefix.match(digits):
        return False
    for plan in plans:
        if plan.has(digits):
            return True
    return False


def _calling_code(e164: str) -> int:
    """Country calling codes are prefix-free: at most one of the three lengths is one. 0 when none is."""
    return _CODES.get(e164[1:2]) or _CODES.get(e164[1:3]) or _CODES.get(e164[1:4]) or 0


@lru_cache(maxsize=512)
def _numbering(code: int) -> tuple[re.Pattern[str] | None, tuple[_Plan, ...]]:
    """The prefix that people dial at home and may leave in, and the plan of each region."""
    prefix: re.Pattern[str] | None = None
    plans = []
    for region in CALLING_CODES.get(code, ()):
        meta = (
            PhoneMetadata.metadata_for_nongeo_region(code)
            if region == NO_COUNTRY
            else PhoneMetadata.metadata_for_region(region)
        )
        if meta is None or meta.general_desc is None:
            continue
        if meta.national_prefix_for_parsing and region == CALLING_CODES[code][0]:
            prefix = re.compile(meta.national_prefix_for_parsing)
        kinds = [getattr(meta, kind) for kind in KINDS]
        patterns = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
        if patterns:
            either = "|".join(f"(?:{pattern})" for pattern in patterns)
            numbers = re.compile(f"(?={meta.general_desc.national_number_pattern or ''}$)(?:{either})")
            leading = re.compile(meta.leading_digits) if meta.leading_digits else None
            plans.append(_Plan(region, frozenset(meta.general_desc.possible_length), numbers, leading))
    return prefix, tuple(plans)


@lru_cache(maxsize=65536)
def _country_of(e164: str) -> str:
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    except NumberParseException:
        return ""
    return "" if region in (None, NO_COUNTRY) else str(region)


@lru_cache(maxsize=65536)
def _zones_of(e164: str) -> tuple[str, ...]:
    try:
        zones = time_zones_for_number(phonenumbers.parse(e164))
    except NumberParseException:
        return ()
    return () if UNKNOWN_TIMEZONE in zones else tuple(zones)
