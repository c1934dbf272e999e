"""A tenant's own e-mail layout: MJML with Liquid, compiled to HTML once and filled per contact."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mrml
from liquid import BoundTemplate
from liquid.exceptions import LiquidError

from app.domain.pointers import Problems
from app.domain.template.active import why_html
from app.domain.template.liquid import FILTER_ERRORS, one_newline, parse_text
from app.domain.template.markup import ATTRIBUTE, END_ATTRIBUTE, MARKUP
from app.domain.template.scan import Scan, scan
from app.errors import InvalidInput

MAX_MJML = 200_000  # characters
POSITION = re.compile(r" at position (\d+):\d+$")
ROOT = re.compile(r"<mjml\b", re.IGNORECASE)
HEAD = re.compile(r"<mj-head\b[^>]*(?<!/)>", re.IGNORECASE)
BODY = re.compile(r"<mj-body\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """`names` are the variables that it reads."""

    pointer: str
    names: tuple[str, ...]
    template: BoundTemplate

    def render(self, context: Mapping[str, Any]) -> str:
        """HTML. Raises InvalidInput when a value cannot stand where it should, or a limit is reached."""
        try:
            return self.template.render(context)
        except LiquidError as error:
            detail = f"The template cannot be rendered: {error.message}."
        except FILTER_ERRORS as error:
            detail = f"The template cannot be rendered: {error}."
        raise InvalidInput.at(self.pointer, detail)


def parse_layout(source: str, pointer: str, declared: frozenset[str], problems: Problems) -> Layout | None:
    """None when anything is wrong with it; what, is in `problems`."""
    before = len(problems.errors)
    text = parse_text(source, pointer, declared | {"blocks"}, problems, most=MAX_MJML)
    if len(problems.errors) > before:
        return None
    template, reasons = _compiled(one_newline(source))
    for reason in reasons:
        problems.add(pointer, f"MJML: {reason}.")
    return Layout(pointer, text.names, template) if template is not None else None


@lru_cache(maxsize=64)  # a single send compiles its template anew; the layout is the same each time
def _compiled(source: str) -> tuple[BoundTemplate | None, tuple[str, ...]]:
    """The HTML as a Liquid template, or the reasons why there is none."""
    found = scan(source)
    if found.problems:
        return None, tuple(found.problems)
    if not ROOT.match(found.mjml.lstrip()):
        return None, ("line 1: it must begin with <mjml>",)
    written = _in_its_language(found)
    try:
        html = mrml.to_html(written, render_options=mrml.RenderOptions(disable_comments=False, fonts={})).content
    except OSError as error:  # all that the library raises
        return None, (_located(str(error), written),)
    reason = _lost(html, found) or why_html(_without_fonts(html, found.fonts), input_too=found.presses)
    if reason:
        return None, (reason,)
    try:
        return MARKUP.from_string(_with_liquid(html, found)), ()
    except LiquidError as error:
        return None, (f"Liquid: {str(error.message).rstrip('.')}",)


def _in_its_language(found: Scan) -> str:
    """The MJML with language and direction of the message, where it has none of its own."""
    if found.has_lang:
        return found.mjml
    lang, direction = found.slots.add("{{ blocks.lang }}"), found.slots.add("{{ blocks.dir }}")
    written = ROOT.sub(f'<mjml lang="{lang}" dir="{direction}"', found.mjml, count=1)
    if "direction=" in written:
        return written
    # MJML writes the direction into every column, left to right unless it is told otherwise
    whole = (
        f'<mj-attributes><mj-section direction="{direction}" /><mj-column direction="{direction}" /></mj-attributes>'
    )
    if HEAD.search(written):
        return HEAD.sub(lambda head: head[0] + whole, written, count=1)
    return BODY.sub(lambda body: f"<mj-head>{whole}</mj-head>{body[0]}", written, count=1)


def _located(error: str, mjml: str) -> str:
    """The library's words, with a line in place of its position in the bytes."""
    position = POSITION.search(error)
    reason = POSITION.sub("", error).replace(" in root template", "")
    if position is None:
        return reason
    before = mjml.encode()[: int(position[1])]
    return f"line {before.count(10) + 1}: {reason}"


def _lost(html: str, found: Scan) -> str | None:
    """What the layout engine left out would be missing in every message."""
    there = set(found.slots.within(html))
    lost = next((liquid for slot, liquid in found.slots.liquid.items() if slot not in there), None)
    return f"{lost} stands where MJML drops it" if lost is not None else None


def _without_fonts(html: str, fonts: list[str]) -> str:
    """Without what mj-font became, which is no worse than an image."""
    for href in fonts:
        html = html.replace(f'<link href="{href}" rel="stylesheet" type="text/css">', "")
        html = html.replace(f"@import url({href});", "")
    return html


def _with_liquid(html: str, found: Scan) -> str:
    """The slots replaced by their Liquid, the values of attributes wrapped in the tag that checks them."""
    for slot, attribute in found.attributes.items():
        value = found.slots.liquid[slot]
        found.slots.liquid[slot] = f"{{% {ATTRIBUTE} {attribute} %}}{value}{{% {END_ATTRIBUTE} %}}"
    html = re.sub(rf"<!--({found.slots.prefix}\d+z)-->", r"\1", html)
    return found.slots.fill(html)
