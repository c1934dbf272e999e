"""`core_schema.whatsapp`: the template that Meta approved, and the values of its placeholders."""

import re
from typing import Any

from app.domain.pointers import Problems, child
from app.domain.template.parts import MEDIA_TYPES
from app.domain.template.sources import (
    Source,
    TemplateButtonSource,
    WhatsAppSource,
    as_list,
    as_object,
    as_source,
    one_of,
)

KEYS = ("name", "language", "header", "body", "buttons")
BUTTON_KEYS = {"url": ("type", "index", "text"), "quick_reply": ("type", "index", "payload")}
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8})*")
TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")
MOST_PLACEHOLDERS, MOST_BUTTONS = 100, 10


def parse_whatsapp(value: Any, pointer: str, problems: Problems) -> WhatsAppSource | None:
    if value is None:
        return None
    item = as_object(value, pointer, problems)
    problems.unknown_keys(item, KEYS, pointer)
    name, language = item.get("name"), item.get("language")
    if not isinstance(name, str) or not TEMPLATE_NAME.fullmatch(name):
        problems.add(child(pointer, "name"), "The template needs its approved name: lower-case letters, digits and _.")
    if not isinstance(language, str) or not LANGUAGE.fullmatch(language):
        problems.add(child(pointer, "language"), "The template needs the language it was approved in, such as en_US.")
    header, media, filename = _header(item.get("header"), child(pointer, "header"), problems)
    body = item.get("body")
    body_at = child(pointer, "body")
    named = list(body) if isinstance(body, dict) else []
    values = list(body.values()) if isinstance(body, dict) else as_list(body, body_at, problems, most=MOST_PLACEHOLDERS)
    if len(named) > MOST_PLACEHOLDERS:
        problems.add(body_at, f"There are {len(named)}; at most {MOST_PLACEHOLDERS} are allowed.")
    keys: list[str | int] = [*named] or [*range(len(values))]
    return WhatsAppSource(
        name=str(name),
        language=str(language),
        header=header,
        header_media=media,
        header_filename=filename,
        body=tuple(as_source(text, child(body_at, key), problems) for key, text in zip(keys, values, strict=True)),
        body_names=tuple(named),
        buttons=_buttons(item.get("buttons"), child(pointer, "buttons"), problems),
    )


def _header(value: Any, pointer: str, problems: Problems) -> tuple[Source | None, str, str]:
    """`["text"]` or `{"type": "image", "link": "…"}`, as source, media kind and file name."""
    if value is None or value == []:
        return None, "", ""
    if isinstance(value, list):
        if len(value) != 1:
            problems.add(pointer, "A header has at most one placeholder.")
        return as_source(value[0], child(pointer, 0), problems), "", ""
    item = as_object(value, pointer, problems)
    problems.unknown_keys(item, ("type", "link", "filename"), pointer)
    type_ = one_of(item.get("type"), MEDIA_TYPES, child(pointer, "type"), "The type of a header", problems)
    filename = item.get("filename")
    if filename is not None and not (isinstance(filename, str) and filename.strip() and type_ == "document"):
        problems.add(child(pointer, "filename"), "A file name is text, and only a document has one.")
    link = as_source(item.get("link"), child(pointer, "link"), problems)
    return link, type_ or "image", filename if isinstance(filename, str) else ""


def _buttons(value: Any, pointer: str, problems: Problems) -> tuple[TemplateButtonSource, ...]:
    buttons = []
    for position, item in enumerate(as_list(value, pointer, problems, most=MOST_BUTTONS)):
        at = child(pointer, position)
        wanted = item.get("type", "url") if isinstance(item, dict) else None
        what = "The type of a button with a placeholder"
        type_ = one_of(wanted, tuple(BUTTON_KEYS), child(at, "type"), what, problems)
        if type_ is None:
            continue
        problems.unknown_keys(item, BUTTON_KEYS[type_], at)
        index = item.get("index", position)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= 9:
            problems.add(child(at, "index"), "index must be the place of the button in the template, 0 to 9.")
            continue
        key = "text" if type_ == "url" else "payload"
        buttons.append(
            TemplateButtonSource(type=type_, index=index, value=as_source(item.get(key), child(at, key), problems))
        )
    return tuple(buttons)
