"""A template as WhatsApp message: the approved one, or what may be said within 24 hours of the person's last word."""

from collections.abc import Mapping
from typing import Any

from app.domain import interactive
from app.domain.status import MessageType
from app.domain.template import content as parts
from app.domain.template.content import Attached, Content, Link, WhatsAppTemplate
from app.domain.template.liquid import Text
from app.domain.template.variables import MissingVariable

LONGEST_CAPTION = 1_024


def render_template(template: WhatsAppTemplate, context: Mapping[str, Any]) -> dict[str, Any]:
    """Name, language and the Cloud API's component objects, one for each part that has placeholders."""
    components: list[dict[str, Any]] = []
    if template.header is not None:
        parameter = _header(template, _parameter(template.header, context))
        components.append({"type": "header", "parameters": [parameter]})
    if template.body:
        parameters = [{"type": "text", "text": _parameter(text, context)} for text in template.body]
        for name, named in zip(template.body_names, parameters, strict=False):
            named["parameter_name"] = name
        components.append({"type": "body", "parameters": parameters})
    for sub_type, index, text in template.buttons:
        key = "text" if sub_type == "url" else "payload"
        components.append(
            {
                "type": "button",
                "sub_type": sub_type,
                "index": str(index),
                "parameters": [{"type": key, key: _parameter(text, context)}],
            }
        )
    return {"name": template.name, "language": template.language, "components": components}


def render_session(content: Content, context: Mapping[str, Any]) -> tuple[MessageType, dict[str, Any]]:
    """Media with a caption, an interactive message, or text with the addresses of the buttons: the first that fits."""
    header, footer = parts.block(content, "header", context), parts.block(content, "footer", context)
    body, links = parts.body(content, context), parts.links(content, context)
    attached = parts.attached(content, context)
    text = parts.paragraphs(header, body, parts.lines_of(links), footer)
    if attached is not None:
        if len(text) <= LONGEST_CAPTION:
            return MessageType.MEDIA, _media(attached, text)
        return MessageType.TEXT, {"body": parts.paragraphs(text, attached.url)}
    pressed = _interactive(header, body, footer, links, _replies(content, context))
    return MessageType.TEXT, pressed or {"body": text}


def _replies(content: Content, context: Mapping[str, Any]) -> list[dict[str, str]]:
    replies = []
    for button in content.buttons:
        if button.type == "quick_reply":
            title = parts.label(button, context)
            id = parts.one_line(button.value.render(context)) if button.value else ""
            replies.append({"id": id or title, "title": title})
    return replies


def _interactive(
    header: str, body: str, footer: str, links: list[Link], replies: list[dict[str, str]]
) -> dict[str, Any] | None:
    """Reply buttons, beside which links stay in the text; or one button with a link. None when neither fits."""
    pressed: dict[str, Any]
    if replies:
        pressed, body = {"buttons": replies}, parts.paragraphs(body, parts.lines_of(links))
    elif len(links) == 1 and links[0].url:
        pressed = {"cta_url": {"title": links[0].text, "url": links[0].target}}
    else:
        return None
    frame = {name: text for name, text in (("header", header), ("footer", footer)) if text}
    if any("\n" in text for text in frame.values()):
        frame, body = {}, parts.paragraphs(header, body, footer)
    message = {"body": body, **pressed, **frame}
    if frame and not interactive.fits(message):
        message = {"body": parts.paragraphs(header, body, footer), **pressed}
    return message if interactive.fits(message) else None


def _media(attached: Attached, caption: str) -> dict[str, Any]:
    media = {"kind": attached.type, "link": attached.url, "caption": caption}
    return {**media, "filename": attached.filename} if attached.filename else media


def _header(template: WhatsAppTemplate, value: str) -> dict[str, Any]:
    if not template.header_media:
        return {"type": "text", "text": value}
    media = {"link": value}
    if template.header_filename:
        media["filename"] = template.header_filename
    return {"type": template.header_media, template.header_media: media}


def _parameter(text: Text, context: Mapping[str, Any]) -> str:
    """One line, because WhatsApp refuses parameters with line breaks, tabs or many spaces; and never empty."""
    value = parts.one_line(text.render(context))
    if not value:
        name = text.names[0] if text.names else text.source
        raise MissingVariable(name, f"{text.source} is empty for this contact, and WhatsApp refuses empty parameters.")
    return value
