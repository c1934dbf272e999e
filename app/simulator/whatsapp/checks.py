"""What the Cloud API refuses in the body of a message."""

import re
from collections.abc import Callable
from typing import Any

from app.simulator.whatsapp.errors import refuse
from app.simulator.whatsapp.interactive import check_interactive

FORMATTING = re.compile(r"[\s()+.\-]")
MEDIA = ("image", "video", "document", "audio", "sticker")
TYPES = (*MEDIA, "contacts", "interactive", "location", "reaction", "template", "text")
MAX_TEXT, MAX_CAPTION, MAX_REFERENCE = 4_096, 1_024, 512


def check_body(payload: Any) -> tuple[str, str]:
    """The digits of the recipient and the type of a well-formed message; templates are checked on their own."""
    if not isinstance(payload, dict):
        raise refuse(100, "The request body must be a JSON object.")
    if payload.get("messaging_product") != "whatsapp":
        raise refuse(100, "The parameter messaging_product is required and must be 'whatsapp'.")
    to = payload.get("to")
    if to is None:
        raise refuse(100, "The parameter to is required.")
    digits = FORMATTING.sub("", to) if isinstance(to, str) else ""
    if not digits.isascii() or not digits.isdecimal() or not 7 <= len(digits) <= 15 or digits[0] == "0":
        raise refuse(131009, "Recipient phone number 'to' is not a valid WhatsApp phone number.")
    kind = payload.get("type", "text")
    if kind not in TYPES:
        listed = ", ".join(sorted(name.upper() for name in TYPES))
        raise refuse(100, f"Param type must be one of {{{listed}}} - got {kind!r}.")
    reference = payload.get("biz_opaque_callback_data", "")
    if not isinstance(reference, str) or len(reference) > MAX_REFERENCE:
        raise refuse(100, f"Param biz_opaque_callback_data must be a string of at most {MAX_REFERENCE} characters.")
    context = payload.get("context")
    if context is not None and not (isinstance(context, dict) and isinstance(context.get("message_id"), str)):
        raise refuse(131008, "Parameter 'context.message_id' is required in a context.")
    if kind != "template":
        CHECKS[kind](payload.get(kind), kind)
    return digits, kind


def _object(value: Any, kind: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse(131008, f"Parameter '{kind}' is required for type {kind}.")
    return value


def _text(value: Any, kind: str) -> None:
    body = _object(value, kind).get("body")
    if not isinstance(body, str) or not body:
        raise refuse(131008, "Parameter 'text.body' is required for type text.")
    if len(body) > MAX_TEXT:
        raise refuse(100, f"Param text['body'] must be at most {MAX_TEXT} characters long.")
    if not isinstance(value.get("preview_url", False), bool):
        raise refuse(100, "Param text['preview_url'] must be a boolean.")


def _media(value: Any, kind: str) -> None:
    media = _object(value, kind)
    link, media_id = media.get("link"), media.get("id")
    if bool(link) == bool(media_id):
        raise refuse(131008 if not link else 100, f"Exactly one of {kind}['id'] and {kind}['link'] is required.")
    if link and not (isinstance(link, str) and link.startswith(("https://", "http://"))):
        raise refuse(100, f"Param {kind}['link'] is not a valid URI.")
    caption = media.get("caption")
    if caption is not None and (kind in ("audio", "sticker") or not isinstance(caption, str)):
        raise refuse(100, f"Unexpected key 'caption' on param {kind!r}.")
    if caption and len(caption) > MAX_CAPTION:
        raise refuse(100, f"Param {kind}['caption'] must be at most {MAX_CAPTION} characters long.")


def _location(value: Any, kind: str) -> None:
    place = _object(value, kind)
    for name, most in (("latitude", 90), ("longitude", 180)):
        try:
            degrees = float(place[name])
        except KeyError:
            raise refuse(131008, f"Parameter 'location.{name}' is required.") from None
        except (TypeError, ValueError):
            raise refuse(131009, f"Parameter 'location.{name}' must be a number.") from None
        if not -most <= degrees <= most:
            raise refuse(131009, f"Parameter 'location.{name}' is out of range.")


def _reaction(value: Any, kind: str) -> None:
    if not isinstance(_object(value, kind).get("message_id"), str):
        raise refuse(131008, "Parameter 'reaction.message_id' is required.")


def _contacts(value: Any, kind: str) -> None:
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(card, dict) and card.get("name") for card in value)
    ):
        raise refuse(131008, "Parameter 'contacts' must be a list of contacts, each with a name.")


CHECKS: dict[str, Callable[[Any, str], None]] = {
    **dict.fromkeys(MEDIA, _media),
    "text": _text,
    "location": _location,
    "interactive": check_interactive,
    "reaction": _reaction,
    "contacts": _contacts,
}
