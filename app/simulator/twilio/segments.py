"""How many parts an SMS takes."""

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")


def segment_count(text: str) -> int:
    """Parts of 160 (153 when several) septets, or of 70 (67) UTF-16 units when a character is outside GSM 03.38."""
    if all(character in GSM or character in GSM_EXTENSION for character in text):
        widths = [2 if character in GSM_EXTENSION else 1 for character in text]
        return _pack(widths, single=160, part=153)
    return _pack([2 if ord(character) > 0xFFFF else 1 for character in text], single=70, part=67)


def _pack(widths: list[int], single: int, part: int) -> int:
    """A character of two units is never split between two parts, so they are packed rather than divided."""
    if sum(widths) <= single:
        return 1
    parts, room = 1, part
    for width in widths:
        if width > room:
            parts, room = parts + 1, part
        room -= width
    return parts
