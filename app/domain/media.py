"""What a file may be for WhatsApp: its kind by its type, and how large each kind may be.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
"""

from app.errors import InvalidInput, TooLarge

KIB, MIB = 1_024, 1_048_576
KINDS = {
    "image/jpeg": "image",
    "image/png": "image",
    "audio/aac": "audio",
    "audio/amr": "audio",
    "audio/mpeg": "audio",
    "audio/mp4": "audio",
    "audio/ogg": "audio",
    "video/mp4": "video",
    "video/3gpp": "video",
    "image/webp": "sticker",
}
MOST = {"image": 5 * MIB, "audio": 16 * MIB, "video": 16 * MIB, "document": 100 * MIB, "sticker": 500 * KIB}
MOST_OF_STILL_STICKER = 100 * KIB
LARGEST = max(MOST.values())
NOT_DOCUMENTS = ("image", "audio", "video")
HEAD = 32  # bytes that `check` looks at


def kind_of(mime_type: str) -> str:
    """The kind of media. Raises InvalidInput for pictures, sounds and films that WhatsApp does not show."""
    kind = KINDS.get(mime_type)
    if kind is None and mime_type.partition("/")[0] in NOT_DOCUMENTS:
        known = ", ".join(known for known, kind in KINDS.items() if kind != "document")
        raise InvalidInput.at("/file", f"WhatsApp takes no {mime_type}; it takes {known}, and documents of any type.")
    return kind or "document"


def check(kind: str, size: int, head: bytes) -> None:
    """Raises TooLarge naming the limit of the kind, and InvalidInput for an empty file."""
    if size == 0:
        raise InvalidInput.at("/file", "The file is empty.")
    most = MOST_OF_STILL_STICKER if kind == "sticker" and not is_animated(head) else MOST[kind]
    if size > most:
        raise TooLarge(f"A {kind} has at most {most:,} bytes, and this one has {size:,}.")


def is_animated(webp: bytes) -> bool:
    """By the flags of the extended format (RFC 9649); the simple formats hold one picture."""
    return webp[:4] == b"RIFF" and webp[8:16] == b"WEBPVP8X" and len(webp) > 20 and bool(webp[20] & 0b10)
