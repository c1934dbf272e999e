"""One language of a template, parsed, and what every channel reads of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.template.liquid import Text, one_newline
from app.domain.template.markup import LINK
from app.domain.template.mjml import Layout
from app.errors import InvalidInput

PHONE = re.compile(r"\+?[0-9][0-9 ().\-/]{2,30}")
RIGHT_TO_LEFT = frozenset({"ar", "he", "iw", "fa", "ur"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    """`type` url, phone or quick_reply; `value` is the address, the number or what the reply sends back."""

    type: str
    text: Text
    value: Text | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    type: str
    url: Text
    filename: Text | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sms:
    body: Text | None
    transliterate: bool
    short_links: bool | None
    media: str


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
    lang: str
    texts: Mapping[str, Text]
    buttons: tuple[Button, ...]
    media: Media | None
    sms: Sms
    track_links: bool | None
    layout: Layout | None
    whatsapp: WhatsAppTemplate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A button that leads somewhere, rendered; `url` false is a telephone number."""

    text: str
    target: str
    url: bool

    @property
    def href(self) -> str:
        return self.target if self.url else "tel:" + re.sub(r"[^+0-9]", "", self.target)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """Media, rendered. `name` is what a link to it says."""

    type: str
    url: str
    filename: str

    @property
    def name(self) -> str:
        return self.filename or self.url.partition("?")[0].rstrip("/").rpartition("/")[2] or self.url


def direction(lang: str) -> str:
    """`rtl` for the languages that are written from right to left, `ltr` otherwise."""
    return "rtl" if re.split("[_-]", lang.lower(), maxsplit=1)[0] in RIGHT_TO_LEFT else "ltr"


def block(content: Content, name: str, context: Mapping[str, Any]) -> str:
    """The text of a block, empty when it is not there."""
    text = content.texts.get(name)
    return one_newline(text.render(context)).strip() if text is not None else ""


def body(content: Content, context: Mapping[str, Any]) -> str:
    return filled(content.texts["body"], context, "The body")


def filled(text: Text, context: Mapping[str, Any], what: str) -> str:
    """Raises InvalidInput when nothing is left of it."""
    rendered = one_newline(text.render(context)).strip()
    if not rendered:
        raise InvalidInput.at(text.pointer, f"{what} renders to nothing.")
    return rendered


def links(content: Content, context: Mapping[str, Any]) -> list[Link]:
    """The buttons that lead somewhere. Raises InvalidInput for an address that is no http link, or no number."""
    rendered = []
    for button in content.buttons:
        if button.type == "quick_reply" or button.value is None:
            continue
        target = button.value.render(context).strip()
        if button.type == "url" and not LINK.fullmatch(target):
            raise InvalidInput.at(button.value.pointer, f"{target!r} is not an http or https address.")
        if button.type == "phone" and not PHONE.fullmatch(target):
            raise InvalidInput.at(button.value.pointer, f"{target!r} is not a telephone number.")
        rendered.append(Link(text=label(button, context), target=target, url=button.type == "url"))
    return rendered


def label(button: Button, context: Mapping[str, Any]) -> str:
    return one_line(filled(button.text, context, "The text of the button"))


def attached(content: Content, context: Mapping[str, Any]) -> Attached | None:
    """Raises InvalidInput for an address that is no http link."""
    media = content.media
    if media is None:
        return None
    url = media.url.render(context).strip()
    if not LINK.fullmatch(url):
        raise InvalidInput.at(media.url.pointer, f"{url!r} is not an http or https address.")
    filename = one_line(filled(media.filename, context, "The file name")) if media.filename else ""
    return Attached(type=media.type, url=url, filename=filename)


def lines_of(links: list[Link]) -> str:
    """The buttons for a channel that has none."""
    return "\n".join(f"{link.text}: {link.target}" for link in links)


def paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def one_line(text: str) -> str:
    return " ".join(text.split())
