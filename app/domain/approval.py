"""Whether a template of ours fits the one that the provider approved."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.pointers import child

APPROVED = "APPROVED"  # no other state may be sent
# They say that a template is back, not in which state: the provider has to be asked.
BACK = frozenset({"REINSTATED", "UNARCHIVED"})
PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
Component = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A `whatsapp` part of a core schema. `lang` is ours, empty for the default blocks; `part` was checked when the
    template was made."""

    lang: str
    pointer: str
    part: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """Name and language of the approved template."""
        return self.part["name"], self.part["language"]

    @property
    def body(self) -> list[str]:
        """The names of the values, which are numbers in a list."""
        body = self.part.get("body") or []
        return list(body) if isinstance(body, dict) else [str(n) for n in range(1, len(body) + 1)]

    @property
    def header(self) -> str:
        """`text`, or the kind of media; empty without any value."""
        header = self.part.get("header")
        if isinstance(header, dict):
            return str(header["type"])
        return "text" if header else ""

    @property
    def buttons(self) -> dict[int, str]:
        """The type of each button that gets a value, by its place."""
        given = self.part.get("buttons") or []
        return {button.get("index", place): button.get("type", "url") for place, button in enumerate(given)}


def uses_of(core_schema: Mapping[str, Any]) -> list[Use]:
    """The approved templates of every language, the default one first; a language without its own has the default's."""
    default = core_schema.get("whatsapp")
    found = [Use(lang="", pointer="/core_schema/whatsapp", part=default)] if default else []
    for lang, blocks in (core_schema.get("i18n") or {}).items():
        if own := (blocks or {}).get("whatsapp"):
            pointer = child(child("/core_schema/i18n", lang), "whatsapp")
            found.append(Use(lang=lang, pointer=pointer, part={**(default or {}), **own}))
    return found


def mismatches(use: Use, components: Sequence[Component]) -> list[str]:
    """Where our values don't fit the placeholders of the approved template, each with the pointer into our schema."""
    parts = {str(part.get("type", "")).upper(): part for part in components}
    return [
        *_body(use, parts.get("BODY", {})),
        *_header(use, parts.get("HEADER")),
        *_buttons(use, parts.get("BUTTONS", {})),
    ]


def placeholders(text: Any) -> list[str]:
    """Their names in order, each once."""
    return list(dict.fromkeys(PLACEHOLDER.findall(text))) if isinstance(text, str) else []


def _body(use: Use, body: Component) -> Iterator[str]:
    names, pointer = placeholders(body.get("text")), child(use.pointer, "body")
    numbered = all(name.isdecimal() for name in names)
    if not numbered and set(names) != set(use.body):
        yield f"{pointer}: the approved body has the placeholders {', '.join(names)}: give an object with these names."
    elif numbered and names and not all(name.isdecimal() for name in use.body):
        yield f"{pointer}: the approved body has {_count(len(names))} with numbers, not names: give a list."
    elif numbered and len(names) != len(use.body):
        yield f"{pointer}: the approved body has {_count(len(names))}, but {_values(len(use.body))} given."


def _header(use: Use, header: Component | None) -> Iterator[str]:
    pointer = child(use.pointer, "header")
    form = str(header.get("format", "TEXT")).lower() if header else "text"
    if form != "text":
        if use.header != form:
            yield f"{pointer}: the approved header is of type {form}: give that."
        return
    wanted = len(placeholders(header.get("text"))) if header else 0
    if use.header not in ("", "text"):
        yield f"{pointer}: the approved template has no {use.header} in its header."
    elif wanted != int(use.header != ""):
        yield f"{pointer}: the approved header has {_count(wanted)}, but {_values(1 - min(wanted, 1))} given."


def _buttons(use: Use, component: Component) -> Iterator[str]:
    listed = component.get("buttons")
    approved = [it for it in listed if isinstance(it, dict)] if isinstance(listed, list) else []
    pointer = child(use.pointer, "buttons")
    for index, button in enumerate(approved):
        if _type(button) == "URL" and placeholders(button.get("url")) and index not in use.buttons:
            yield f"{pointer}: the address of the approved button {index} has a placeholder: give its value."
    for index, kind in use.buttons.items():
        if (problem := _unfit(index, kind, approved[index] if index < len(approved) else None)) is not None:
            yield f"{pointer}: {problem}"


def _unfit(index: int, given: str, approved: Component | None) -> str | None:
    if approved is None:
        return f"the approved template has no button {index}."
    kind = _type(approved)
    if given == "quick_reply" and kind != "QUICK_REPLY":
        return f"the approved button {index} is of type {kind}, not QUICK_REPLY."
    if given == "url" and kind in ("QUICK_REPLY", "PHONE_NUMBER"):
        return f"the approved button {index} is of type {kind}, not URL."
    if given == "url" and kind == "URL" and not placeholders(approved.get("url")):
        return f"the address of the approved button {index} has no placeholder."
    return None  # codes (OTP, COPY_CODE) take theirs as a url button does


def _type(button: Component) -> str:
    return str(button.get("type", "")).upper()


def _count(number: int) -> str:
    return "1 placeholder" if number == 1 else f"{number or 'no'} placeholders"


def _values(number: int) -> str:
    return "1 value is" if number == 1 else f"{number or 'no'} values are"
