"""How many parts an SMS takes: GSM 03.38 where every character is in it, UCS-2 otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")  # an escape and a code: two septets
GSM_ALL = GSM | GSM_EXTENDED


class SmsEncoding(StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentCount:
    """`units` are septets in GSM-7 and UTF-16 code units in UCS-2; a text that is empty is one segment."""

    encoding: SmsEncoding
    units: int
    segments: int


def segments(text: str) -> SegmentCount:
    """Encoding, length and number of parts (concatenated with an 8-bit reference)."""
    if GSM_ALL.issuperset(text):
        extended = sum(map(text.count, GSM_EXTENDED))
        units = len(text) + extended
        costs: Iterable[int] = (2 if char in GSM_EXTENDED else 1 for char in text)
        return _count(SmsEncoding.GSM7, units, costs, single=160, part=153)
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    costs = (2 if char > "\uffff" else 1 for char in text)
    return _count(SmsEncoding.UCS2, units, costs, single=70, part=67)


def _count(encoding: SmsEncoding, units: int, costs: Iterable[int], *, single: int, part: int) -> SegmentCount:
    """A pair is never split between two parts, so the parts are packed, not divided."""
    if units <= single:
        return SegmentCount(encoding=encoding, units=units, segments=1)
    parts, room = 1, part
    for cost in costs:
        if cost > room:
            parts, room = parts + 1, part
        room -= cost
    return SegmentCount(encoding=encoding, units=units, segments=parts)
