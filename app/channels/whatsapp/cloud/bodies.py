"""A message's content as the Cloud API's own objects, one for each type."""

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.interactive import is_interactive
from app.domain.status import MessageType
from app.errors import MessageRejected, UnsupportedFeature

MEDIA_KINDS = frozenset({"image", "video", "document", "audio", "sticker"})
CAPTIONED = frozenset({"image", "video", "document"})
Content = Mapping[str, Any]


def _text(content: Content) -> tuple[str, dict[str, Any]]:
    body = _required(content, "body")
    if is_interactive(content):
        return "interactive", _interactive(content, body)
    if "header" in content or "footer" in content:
        raise UnsupportedFeature("WhatsApp shows header and footer only beside buttons, a list or a link.")
    return "text", {"body": body, "preview_url": bool(content.get("preview_url"))}


def _interactive(content: Content, body: str) -> dict[str, Any]:
    """https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-list-messages"""
    kind, action = _action(content)
    parts: dict[str, Any] = {"type": kind, "body": {"text": body}, "action": action}
    if header := content.get("header"):
        parts["header"] = {"type": "text", "text": header}
    if footer := content.get("footer"):
        parts["footer"] = {"text": footer}
    return parts


def _action(content: Content) -> tuple[str, dict[str, Any]]:
    """Our word for what can be pressed, as Meta's."""
    if buttons := content.get("buttons"):
        replies = [{"type": "reply", "reply": {"id": it["id"], "title": it["title"]}} for it in buttons]
        return "button", {"buttons": replies}
    if choices := content.get("list"):
        return "list", {"button": choices["button"], "sections": choices["sections"]}
    link = _required(content, "cta_url")  # UNCONFIRMED in Meta's published description of its API
    return "cta_url", {"name": "cta_url", "parameters": {"display_text": link["title"], "url": link["url"]}}


def _template(content: Content) -> tuple[str, dict[str, Any]]:
    template = {"name": _required(content, "name"), "language": {"code": _required(content, "language")}}
    if components := content.get("components"):
        template["components"] = components
    return "template", template


def _media(content: Content) -> tuple[str, dict[str, Any]]:
    kind = _required(content, "kind")
    if kind not in MEDIA_KINDS:
        raise UnsupportedFeature(f"content.kind must be one of {', '.join(sorted(MEDIA_KINDS))}, not {kind!r}.")
    given = {name: content[name] for name in ("id", "link", "caption", "filename") if content.get(name)}
    if ("id" in given) == ("link" in given):
        raise MessageRejected("Media needs exactly one of content.id and content.link.")
    if "caption" in given and kind not in CAPTIONED:
        raise UnsupportedFeature(f"WhatsApp shows no caption with media of kind {kind}.")
    if "filename" in given and kind != "document":
        raise UnsupportedFeature(f"WhatsApp shows no file name with media of kind {kind}.")
    return kind, given


def _audio(content: Content) -> tuple[str, dict[str, Any]]:
    return _media({**content, "kind": "audio"})


def _location(content: Content) -> tuple[str, dict[str, Any]]:
    place = {name: _required(content, name) for name in ("latitude", "longitude")}
    return "location", place | {name: content[name] for name in ("name", "address") if content.get(name)}


BODIES: dict[MessageType, Callable[[Content], tuple[str, dict[str, Any]]]] = {
    MessageType.TEXT: _text,
    MessageType.TEMPLATE: _template,
    MessageType.MEDIA: _media,
    MessageType.AUDIO: _audio,
    MessageType.LOCATION: _location,
}


def _required(content: Content, name: str) -> Any:
    value = content.get(name)
    if value is None or value == "":
        raise MessageRejected(f"content.{name} is missing.")
    return value
