"""The shape of a core schema: checked key by key, so that each mistake is named where it is."""

import re
from dataclasses import dataclass
from typing import Any

from app.domain.pointers import Problems, child
from app.domain.template.liquid import ALWAYS_THERE
from app.domain.template.variables import A_VALUE, TYPES, Variable, is_of_type

TOP_KEYS = ("variables", "blocks", "i18n", "whatsapp")
TEXT_BLOCKS = ("subject", "preheader", "header", "body", "footer")
BLOCK_KEYS = (*TEXT_BLOCKS, "buttons")
BUTTON_KEYS = {"url": ("type", "text", "url"), "phone": ("type", "text", "phone"), "quick_reply": ("type", "text")}
WHATSAPP_KEYS = ("name", "language", "header", "body", "buttons")
HEADER_MEDIA = ("image", "video", "document")
TEMPLATE_BUTTON_KEYS = {"url": ("type", "index", "text"), "quick_reply": ("type", "index", "payload")}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LIQUID_WORDS = frozenset({"nil", "null", "true", "false", "empty", "blank", "and", "or", "contains", "forloop"})
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8})*")
TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Liquid source and where it stands in the schema."""

    text: str
    pointer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ButtonSource:
    type: str
    text: Source
    target: Source | None = None  # the address or number; a quick reply has none


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateButtonSource:
    type: str
    index: int
    value: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class WhatsAppSource:
    """A template approved by Meta: only the values of its placeholders are ours."""

    name: str
    language: str
    header: Source | None = None
    header_media: str = ""  # image, video or document; empty means text
    header_filename: str = ""
    body: tuple[Source, ...] = ()
    body_names: tuple[str, ...] = ()  # for a template with named placeholders
    buttons: tuple[TemplateButtonSource, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """The content in one language, before compilation."""

    texts: dict[str, Source]
    buttons: tuple[ButtonSource, ...] = ()
    whatsapp: WhatsAppSource | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreSchema:
    variables: tuple[Variable, ...]
    default: Version
    i18n: dict[str, Version]  # whole, with what the default version gives them


def parse_core_schema(value: Any, problems: Problems, pointer: str = "/core_schema") -> CoreSchema | None:
    """None when the shape leaves nothing to compile; the mistakes are in `problems`."""
    if not isinstance(value, dict):
        problems.add(pointer, "core_schema must be an object with at least blocks.body.")
        return None
    problems.unknown_keys(value, TOP_KEYS, pointer)
    variables = _variables(value.get("variables"), child(pointer, "variables"), problems)
    blocks_at = child(pointer, "blocks")
    blocks = _object(value.get("blocks"), blocks_at, problems)
    problems.unknown_keys(blocks, BLOCK_KEYS, blocks_at)
    texts, buttons = _blocks(blocks, blocks_at, problems)
    if "body" not in texts and not isinstance(blocks.get("body"), str):
        problems.add(child(blocks_at, "body"), "blocks.body is required: the text of the message.")
    elif "body" in texts and not texts["body"].text.strip():
        problems.add(child(blocks_at, "body"), "blocks.body must not be empty.")
    whatsapp_value = value.get("whatsapp")
    whatsapp = _whatsapp(whatsapp_value, child(pointer, "whatsapp"), problems)
    default = Version(texts=texts, buttons=buttons or (), whatsapp=whatsapp)
    i18n = {}
    i18n_at = child(pointer, "i18n")
    for lang, override in _object(value.get("i18n") or {}, i18n_at, problems).items():
        at = child(i18n_at, lang)
        if not LANGUAGE.fullmatch(lang):
            problems.add(at, f"{lang!r} is not a language such as pt or pt_BR.")
        i18n[lang] = _version(override, at, default, whatsapp_value, problems)
    return CoreSchema(variables=variables, default=default, i18n=i18n)


def _version(value: Any, pointer: str, default: Version, whatsapp: Any, problems: Problems) -> Version:
    override = _object(value, pointer, problems)
    problems.unknown_keys(override, (*BLOCK_KEYS, "whatsapp"), pointer)
    texts, buttons = _blocks(override, pointer, problems)
    if "body" in texts and not texts["body"].text.strip():
        problems.add(child(pointer, "body"), "The body must not be empty.")
    own = override.get("whatsapp")
    if isinstance(own, dict) and isinstance(whatsapp, dict):
        own = {**whatsapp, **own}
    return Version(
        texts={**default.texts, **texts},
        buttons=default.buttons if buttons is None else buttons,
        whatsapp=default.whatsapp if own is None else _whatsapp(own, child(pointer, "whatsapp"), problems),
    )


def _object(value: Any, pointer: str, problems: Problems) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if value is not None:
        problems.add(pointer, "This must be an object.")
    return {}


def _list(value: Any, pointer: str, problems: Problems) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is not None:
        problems.add(pointer, "This must be a list.")
    return []


def _source(value: Any, pointer: str, problems: Problems) -> Source:
    if not isinstance(value, str) or not value.strip():
        problems.add(pointer, "This must be text, and not empty.")
    return Source(text=value if isinstance(value, str) else "", pointer=pointer)


def _variables(value: Any, pointer: str, problems: Problems) -> tuple[Variable, ...]:
    variables: dict[str, Variable] = {}
    for position, item in enumerate(_list(value, pointer, problems)):
        at = child(pointer, position)
        if not isinstance(item, dict):
            problems.add(at, "A variable must be an object with at least a name.")
            continue
        problems.unknown_keys(item, ("name", "type", "required", "default"), at)
        name, type_, required = item.get("name"), item.get("type", "string"), item.get("required", False)
        default = item.get("default")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.add(child(at, "name"), "A variable needs a name of letters, digits and _.")
            continue
        if name in ALWAYS_THERE or name in LIQUID_WORDS or name in variables:
            problems.add(child(at, "name"), f"The name {name!r} is taken.")
        if type_ not in TYPES:
            problems.add(child(at, "type"), f"The type must be one of {', '.join(TYPES)}.")
        elif default is not None and not is_of_type(default, type_):
            problems.add(child(at, "default"), f"The default must be {A_VALUE[type_]}.")
        if not isinstance(required, bool):
            problems.add(child(at, "required"), "required must be true or false.")
        variables[name] = Variable(name=name, type=str(type_), required=required is True, default=default)
    return tuple(variables.values())


def _blocks(
    value: dict[str, Any], pointer: str, problems: Problems
) -> tuple[dict[str, Source], tuple[ButtonSource, ...] | None]:
    """The texts that are there, and the buttons or None when the key is absent."""
    texts = {}
    for name in TEXT_BLOCKS:
        text = value.get(name)
        if isinstance(text, str):
            texts[name] = Source(text=text, pointer=child(pointer, name))
        elif text is not None:
            problems.add(child(pointer, name), f"{name} must be text.")
    if value.get("buttons") is None:
        return texts, None
    at = child(pointer, "buttons")
    items = _list(value["buttons"], at, problems)
    buttons = (_button(item, child(at, position), problems) for position, item in enumerate(items))
    return texts, tuple(button for button in buttons if button is not None)


def _button(value: Any, pointer: str, problems: Problems) -> ButtonSource | None:
    item = _object(value, pointer, problems)
    type_ = item.get("type", "url")
    if type_ not in BUTTON_KEYS:
        problems.add(child(pointer, "type"), f"The type of a button must be one of {', '.join(BUTTON_KEYS)}.")
        return None
    problems.unknown_keys(item, BUTTON_KEYS[type_], pointer)
    text = _source(item.get("text"), child(pointer, "text"), problems)
    if type_ == "quick_reply":
        return ButtonSource(type=type_, text=text)
    return ButtonSource(type=type_, text=text, target=_source(item.get(type_), child(pointer, type_), problems))


def _whatsapp(value: Any, pointer: str, problems: Problems) -> WhatsAppSource | None:
    if value is None:
        return None
    item = _object(value, pointer, problems)
    problems.unknown_keys(item, WHATSAPP_KEYS, pointer)
    name, language = item.get("name"), item.get("language")
    if not isinstance(name, str) or not TEMPLATE_NAME.fullmatch(name):
        problems.add(child(pointer, "name"), "The template needs its approved name: lower-case letters, digits and _.")
    if not isinstance(language, str) or not LANGUAGE.fullmatch(language):
        problems.add(child(pointer, "language"), "The template needs the language it was approved in, such as en_US.")
    header, media, filename = _header(item.get("header"), child(pointer, "header"), problems)
    body = item.get("body")
    body_at = child(pointer, "body")
    named = list(body) if isinstance(body, dict) else []
    values = list(body.values()) if isinstance(body, dict) else _list(body, body_at, problems)
    keys: list[str | int] = [*named] or [*range(len(values))]
    return WhatsAppSource(
        name=str(name),
        language=str(language),
        header=header,
        header_media=media,
        header_filename=filename,
        body=tuple(_source(text, child(body_at, key), problems) for key, text in zip(keys, values, strict=True)),
        body_names=tuple(named),
        buttons=_template_buttons(item.get("buttons"), child(pointer, "buttons"), problems),
    )


def _header(value: Any, pointer: str, problems: Problems) -> tuple[Source | None, str, str]:
    """`["text"]` or `{"type": "image", "link": "…"}`, as source, media kind and file name."""
    if value is None or value == []:
        return None, "", ""
    if isinstance(value, list):
        if len(value) != 1:
            problems.add(pointer, "A header has at most one placeholder.")
        return _source(value[0], child(pointer, 0), problems), "", ""
    item = _object(value, pointer, problems)
    problems.unknown_keys(item, ("type", "link", "filename"), pointer)
    if item.get("type") not in HEADER_MEDIA:
        problems.add(child(pointer, "type"), f"The type of a header must be one of {', '.join(HEADER_MEDIA)}.")
    filename = item.get("filename", "")
    if not isinstance(filename, str) or (filename and item.get("type") != "document"):
        problems.add(child(pointer, "filename"), "A file name is text, and only a document has one.")
    return _source(item.get("link"), child(pointer, "link"), problems), str(item.get("type")), str(filename)


def _template_buttons(value: Any, pointer: str, problems: Problems) -> tuple[TemplateButtonSource, ...]:
    buttons = []
    for position, item in enumerate(_list(value, pointer, problems)):
        at = child(pointer, position)
        type_ = item.get("type", "url") if isinstance(item, dict) else None
        if type_ not in TEMPLATE_BUTTON_KEYS:
            allowed = ", ".join(TEMPLATE_BUTTON_KEYS)
            problems.add(child(at, "type"), f"The type of a button with a placeholder must be one of {allowed}.")
            continue
        problems.unknown_keys(item, TEMPLATE_BUTTON_KEYS[type_], at)
        index = item.get("index", position)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= 9:
            problems.add(child(at, "index"), "index must be the place of the button in the template, 0 to 9.")
            continue
        key = "text" if type_ == "url" else "payload"
        value_source = _source(item.get(key), child(at, key), problems)
        buttons.append(TemplateButtonSource(type=type_, index=index, value=value_source))
    return tuple(buttons)
