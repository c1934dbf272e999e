"""What a person sent over WhatsApp: the one shape for every kind of inbound message."""

from dataclasses import dataclass, field
from typing import Any

from app.channels.base import EventKind
from app.channels.webhooks import mapping, text, without_empty

Object = dict[str, Any]

MEDIA = frozenset({"image", "video", "document", "sticker", "audio"})
# Not something a person wrote: a changed number, or an edited or deleted earlier message.
NOT_A_REPLY = frozenset({"system", "edit", "revoke"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    type: str
    text: str = ""
    kind: EventKind = EventKind.INBOUND
    context_id: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def content_of(message: Object) -> Content:
    """The content of an item of `messages`. Kinds that are not known are let through as `unknown`."""
    kind = text(message.get("type"))
    body = mapping(message.get(kind))
    if kind in MEDIA:
        return _media(kind, body)
    if kind in NOT_A_REPLY:
        return Content(type=kind, text=text(body.get("body")), kind=EventKind.UNKNOWN, data={kind: body})
    match kind:
        case "text":
            return Content(type="text", text=text(body.get("body")))
        case "location":
            return Content(type="location", text=text(body.get("name")), data={"location": body})
        case "reaction":
            return _reaction(body)
        case "button":
            return Content(type="button", text=text(body.get("text")), data={"payload": text(body.get("payload"))})
        case "interactive":
            return _interactive(body)
        case "contacts":
            return Content(type="contacts", data={"contacts": message.get("contacts")})
        case "order":
            return Content(type="order", text=text(body.get("text")), data={"order": body})
        case _:
            return Content(type="unknown", data={"type": kind, "errors": message.get("errors")})


def _media(kind: str, body: Object) -> Content:
    facts = {name: text(body.get(name)) for name in ("id", "mime_type", "sha256", "filename", "url")}
    media = without_empty(kind=kind, voice=body.get("voice"), animated=body.get("animated"), **facts)
    return Content(
        type="audio" if kind == "audio" else "media", text=text(body.get("caption")), data={"media": dict(media)}
    )


def _reaction(body: Object) -> Content:
    """Taken back, it says nothing any more."""
    emoji = text(body.get("emoji"))
    kind = EventKind.INBOUND if emoji else EventKind.UNKNOWN
    return Content(type="reaction", text=emoji, kind=kind, context_id=text(body.get("message_id")))


def _interactive(body: Object) -> Content:
    """A pressed button, a chosen row of a list, or an answered form (`nfm_reply`, UNCONFIRMED)."""
    kind = text(body.get("type"))
    reply = mapping(body.get(kind))
    pressed = text(reply.get("title")) or text(reply.get("body"))
    return Content(type="interactive", text=pressed, data={"payload": text(reply.get("id")), "reply": reply})
