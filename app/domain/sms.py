"""How many parts an SMS takes: GSM 03.38 where every character is in it, else UCS-2; and text made to fit GSM."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from anyascii import anyascii

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


def outside_gsm(text: str) -> tuple[str, ...]:
    """The characters that force UCS-2, each once, in the order in which they come."""
    return tuple(dict.fromkeys(char for char in text if char not in GSM_ALL))


def to_gsm(text: str) -> str:
    """The text in letters of GSM 03.38 alone: é and ñ, which it has, stay; ã becomes a, ’ becomes '. Emoji go."""
    if GSM_ALL.issuperset(text):
        return text
    return EMOJI.sub(_gap, unicodedata.normalize("NFC", text).translate(_LETTERS))


class _Letters(dict[int, str]):
    """What each character becomes, looked up once."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char not in GSM_ALL:
            plain = anyascii(char)
            is_emoji = SPELLED_OUT.fullmatch(plain) or REGIONAL_A <= char <= REGIONAL_Z
            char = GONE if is_emoji else "".join(UNSAID.get(letter, letter) for letter in plain)
        self[code] = char
        return char


# ASCII, and still not in the alphabet
UNSAID = {"`": "'", "\t": " ", **{chr(code): "" for code in range(32) if chr(code) not in GSM_ALL | {"\t"}}, "\x7f": ""}
SPELLED_OUT = re.compile(":[^: ]+:")  # anyascii's word for an emoji, which nobody writes
REGIONAL_A, REGIONAL_Z = "\U0001f1e6", "\U0001f1ff"  # two of them are a flag
GONE = "\0"
EMOJI = re.compile(f" ?(?:{GONE} ?)+")
_LETTERS = _Letters()


def _gap(found: re.Match[str]) -> str:
    """One of the spaces around an emoji stays, none at either end of a line."""
    starts = found.start() == 0 or found.string[found.start() - 1] == "\n"
    ends = found.end() == len(found.string) or found.string[found.end()] == "\n"
    return " " if " " in found[0] and not starts and not ends else ""
