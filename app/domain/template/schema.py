"""The shape of a core schema: checked key by key, so that each mistake is named where it is.

`core_schema.json` beside this file says the same as a JSON Schema.
"""

import re
from typing import Any

from app.domain.pointers import Problems, child
from app.domain.template.liquid import ALWAYS_THERE
from app.domain.template.parts import parse_button, parse_email, parse_media, parse_sms
from app.domain.template.sources import (
    ButtonSource,
    CoreSchema,
    EmailSource,
    MediaSource,
    SmsSource,
    Source,
    Version,
    as_flag,
    as_list,
    as_object,
    one_of,
)
from app.domain.template.variables import A_VALUE, TYPES, Variable, is_of_type
from app.domain.template.whatsapp_source import LANGUAGE, parse_whatsapp

TOP_KEYS = ("variables", "blocks", "i18n", "whatsapp", "sms", "email")
TEXT_BLOCKS = ("subject", "preheader", "header", "body", "footer")
BLOCK_KEYS = (*TEXT_BLOCKS, "buttons", "media")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TAKEN = frozenset(
    {*ALWAYS_THERE, "blocks"}
    | {"nil", "null", "true", "false", "empty", "blank", "and", "or", "not", "contains", "forloop", "tablerowloop"}
)
MOST_VARIABLES, MOST_LANGUAGES, MOST_BUTTONS = 100, 50, 10


def parse_core_schema(value: Any, problems: Problems, pointer: str = "/core_schema") -> CoreSchema | None:
    """None when the shape leaves nothing to compile; the mistakes are in `problems`."""
    if not isinstance(value, dict):
        problems.add(pointer, "core_schema must be an object with at least blocks.body.")
        return None
    problems.unknown_keys(value, TOP_KEYS, pointer)
    variables = _variables(value.get("variables"), child(pointer, "variables"), problems)
    blocks_at = child(pointer, "blocks")
    blocks = as_object(value.get("blocks"), blocks_at, problems)
    problems.unknown_keys(blocks, BLOCK_KEYS, blocks_at)
    texts, buttons, media = _blocks(blocks, blocks_at, problems)
    if "body" not in texts and not isinstance(blocks.get("body"), str):
        problems.add(child(blocks_at, "body"), "blocks.body is required: the text of the message.")
    default = Version(
        texts=texts,
        buttons=buttons or (),
        media=media,
        sms=parse_sms(value.get("sms"), SmsSource(), child(pointer, "sms"), problems),
        email=parse_email(value.get("email"), EmailSource(), child(pointer, "email"), problems),
        whatsapp=parse_whatsapp(value.get("whatsapp"), child(pointer, "whatsapp"), problems),
    )
    i18n = _languages(value.get("i18n"), child(pointer, "i18n"), default, value.get("whatsapp"), problems)
    return CoreSchema(variables=variables, default=default, i18n=i18n)


def _languages(value: Any, pointer: str, default: Version, whatsapp: Any, problems: Problems) -> dict[str, Version]:
    languages = as_object(value, pointer, problems)
    if len(languages) > MOST_LANGUAGES:
        problems.add(pointer, f"There are {len(languages)} languages; at most {MOST_LANGUAGES} are allowed.")
    i18n = {}
    seen: dict[str, str] = {}
    for lang, override in languages.items():
        at = child(pointer, lang)
        if not LANGUAGE.fullmatch(lang):
            problems.add(at, f"{lang!r} is not a language such as pt or pt_BR.")
        same = seen.setdefault(lang.replace("-", "_").lower(), lang)
        if same != lang:
            problems.add(at, f"{lang!r} and {same!r} are the same language.")
        i18n[lang] = _version(override, at, default, whatsapp, problems)
    return i18n


def _version(value: Any, pointer: str, default: Version, whatsapp: Any, problems: Problems) -> Version:
    """What the language says itself; for the rest, key by key, what the default says."""
    if value is None:
        problems.add(pointer, "This must be an object.")
    override = as_object(value, pointer, problems)
    problems.unknown_keys(override, (*BLOCK_KEYS, "sms", "email", "whatsapp"), pointer)
    texts, buttons, media = _blocks(override, pointer, problems)
    own = override.get("whatsapp")
    if isinstance(own, dict) and isinstance(whatsapp, dict):
        own = {**whatsapp, **own}
    return Version(
        texts={**default.texts, **texts},
        buttons=default.buttons if buttons is None else buttons,
        media=media or default.media,
        sms=parse_sms(override.get("sms"), default.sms, child(pointer, "sms"), problems),
        email=parse_email(override.get("email"), default.email, child(pointer, "email"), problems),
        whatsapp=default.whatsapp if own is None else parse_whatsapp(own, child(pointer, "whatsapp"), problems),
    )


def _variables(value: Any, pointer: str, problems: Problems) -> tuple[Variable, ...]:
    variables: dict[str, Variable] = {}
    for position, item in enumerate(as_list(value, pointer, problems, most=MOST_VARIABLES)):
        at = child(pointer, position)
        if not isinstance(item, dict):
            problems.add(at, "A variable must be an object with at least a name.")
            continue
        problems.unknown_keys(item, ("name", "type", "required", "default", "description"), at)
        name, default = item.get("name"), item.get("default")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.add(child(at, "name"), "A variable needs a name of letters, digits and _, at most 64 of them.")
            continue
        if name in TAKEN or name in variables:
            problems.add(child(at, "name"), f"The name {name!r} is taken.")
        type_ = one_of(item.get("type", "string"), TYPES, child(at, "type"), "The type", problems)
        if type_ and default is not None and not is_of_type(default, type_):
            problems.add(child(at, "default"), f"The default must be {A_VALUE[type_]}.")
        if not isinstance(item.get("description", ""), str):
            problems.add(child(at, "description"), "description must be text.")
        required = as_flag(item.get("required", False), child(at, "required"), problems)
        variables[name] = Variable(name=name, type=type_ or "string", required=required, default=default)
    return tuple(variables.values())


def _blocks(
    value: dict[str, Any], pointer: str, problems: Problems
) -> tuple[dict[str, Source], tuple[ButtonSource, ...] | None, MediaSource | None]:
    """The texts that are there, the buttons or None when the key is absent, and the media."""
    texts = {}
    for name in TEXT_BLOCKS:
        text = value.get(name)
        if isinstance(text, str):
            texts[name] = Source(text=text, pointer=child(pointer, name))
        elif text is not None:
            problems.add(child(pointer, name), f"{name} must be text.")
    if "body" in texts and not texts["body"].text.strip():
        problems.add(child(pointer, "body"), "The body must not be empty.")
    media = parse_media(value.get("media"), child(pointer, "media"), problems)
    if value.get("buttons") is None:
        return texts, None, media
    at = child(pointer, "buttons")
    items = as_list(value["buttons"], at, problems, most=MOST_BUTTONS)
    buttons = (parse_button(item, child(at, position), problems) for position, item in enumerate(items))
    return texts, tuple(button for button in buttons if button is not None), media
