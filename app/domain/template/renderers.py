"""One content to each channel: e-mail with HTML, plain text, and the components of a WhatsApp template."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.template.layout import Shape, fill, unsubscribe_label
from app.domain.template.liquid import Text
from app.domain.template.variables import MissingVariable
from app.errors import InvalidInput

LINK = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
SUBJECT_LENGTH = 78


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    """`type` url or phone; `target` is the address or the number."""

    type: str
    text: Text
    target: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatsAppTemplate:
    name: str
    language: str
    header: Text | None
    header_media: str
    header_filename: str
    body: tuple[Text, ...]
    body_names: tuple[str, ...]
    buttons: tuple[tuple[str, int, Text], ...]  # sub_type, index, value


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """One language of a template, parsed."""

    lang: str
    texts: Mapping[str, Text]
    buttons: tuple[Button, ...]
    whatsapp: WhatsAppTemplate | None


def render_text(content: Content, context: Mapping[str, Any], *, whole: bool) -> str:
    """Body and the targets of the buttons; with `whole` also header and footer."""
    body = _body(content, context)
    links = "\n".join(f"{text}: {target}" for text, target in _buttons(content, context))
    if not whole:
        return f"{body}\n{links}" if links else body
    return "\n\n".join(
        part
        for part in (_optional(content, "header", context), body, links, _optional(content, "footer", context))
        if part
    )


def render_email(content: Content, context: Mapping[str, Any]) -> dict[str, Any]:
    """Subject, text part and HTML part. The visible unsubscribe link is there when the context brings its address."""
    header = _optional(content, "header", context)
    body = _body(content, context)
    footer = _optional(content, "footer", context)
    preheader = _line(_optional(content, "preheader", context))
    buttons = _buttons(content, context)
    # a subject is one line: a line break in a name must not start a new mail header
    subject = _line(_optional(content, "subject", context)) or _shorten(_line(header or body.split("\n")[0]))
    unsubscribe = str(context.get("unsubscribe_url") or "")
    label = unsubscribe_label(content.lang)
    values = {
        "lang": content.lang.replace("_", "-") or "und",
        "subject": subject,
        "preheader": preheader,
        "header": header,
        "body": body,
        "footer": footer,
        "unsubscribetext": label,
        "unsubscribelink": unsubscribe,
    }
    for place, (button, (text, target)) in enumerate(zip(content.buttons, buttons, strict=True)):
        values[f"buttontext{place}"] = text
        values[f"buttonlink{place}"] = f"tel:{target}" if button.type == "phone" else target
    shape = Shape(
        preheader=preheader != "",
        header=header != "",
        buttons=len(buttons),
        footer=footer != "",
        unsubscribe=unsubscribe != "",
    )
    links = "\n".join(f"{text}: {target}" for text, target in buttons)
    goodbye = f"{label}: {unsubscribe}" if unsubscribe else ""
    text_part = "\n\n".join(part for part in (header, body, links, footer, goodbye) if part)
    return {"subject": subject, "text": text_part, "html": fill(shape, values)}


def render_whatsapp(template: WhatsAppTemplate, context: Mapping[str, Any]) -> dict[str, Any]:
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


def _header(template: WhatsAppTemplate, value: str) -> dict[str, Any]:
    if not template.header_media:
        return {"type": "text", "text": value}
    media = {"link": value}
    if template.header_filename:
        media["filename"] = template.header_filename
    return {"type": template.header_media, template.header_media: media}


def _parameter(text: Text, context: Mapping[str, Any]) -> str:
    """One line, because WhatsApp refuses parameters with line breaks, tabs or many spaces; and never empty."""
    value = _line(text.render(context))
    if not value:
        name = text.names[0] if text.names else text.source
        raise MissingVariable(name, f"{text.source} is empty for this contact, and WhatsApp refuses empty parameters.")
    return value


def _optional(content: Content, name: str, context: Mapping[str, Any]) -> str:
    text = content.texts.get(name)
    return text.render(context).strip() if text is not None else ""


def _body(content: Content, context: Mapping[str, Any]) -> str:
    text = content.texts["body"]
    body = text.render(context).strip()
    if not body:
        raise InvalidInput.at(text.pointer, "The body renders to nothing.")
    return body


def _buttons(content: Content, context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Text and target of each. Raises InvalidInput for an address that is no http link."""
    rendered = []
    for button in content.buttons:
        target = button.target.render(context).strip()
        if button.type == "url" and not LINK.fullmatch(target):
            raise InvalidInput.at(button.target.pointer, f"{target!r} is not an http or https address.")
        rendered.append((_line(button.text.render(context)), target))
    return rendered


def _line(text: str) -> str:
    return " ".join(text.split())


def _shorten(text: str) -> str:
    return text if len(text) <= SUBJECT_LENGTH else text[: SUBJECT_LENGTH - 1].rstrip() + "…"
