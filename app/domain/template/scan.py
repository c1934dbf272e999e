"""A walk over MJML before it is compiled: what is wrong with it, and where Liquid may stand in it.

Liquid is hidden behind slots (one word each) first, so that quotes and angle brackets in it mean nothing here.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from app.domain.template.active import why_css, why_element, why_html
from app.domain.template.markup import TAGS, is_link

LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
TAG_NAME = re.compile(r"\{%-?\s*(\w*)")
MARKUP = re.compile(
    r"<!--(?P<comment>.*?)-->|<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9:_-]*)(?P<rest>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.DOTALL,
)
ATTRIBUTE = re.compile(r"([^\s\"'=<>/]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
VOID = frozenset("area br col hr img input meta param source wbr".split())
# between these elements Liquid can choose and repeat, but text would stand beside the layout
CONTAINERS = frozenset(
    "mj-body mj-wrapper mj-section mj-group mj-column mj-hero mj-navbar mj-social mj-accordion mj-accordion-element"
    " mj-carousel".split()
)
HEAD = frozenset("mjml mj-head mj-attributes mj-style style".split())  # no Liquid directly in these
KNOWN = CONTAINERS | frozenset(
    "mjml mj-head mj-attributes mj-style mj-title mj-preview mj-font mj-breakpoint mj-all mj-class mj-text mj-button"
    " mj-image mj-divider mj-spacer mj-table mj-raw mj-navbar-link mj-social-element mj-accordion-title"
    " mj-accordion-text mj-carousel-image mj-include mj-html-attributes".split()
)
MAX_COMMENT, MAX_DEPTH, MOST_PROBLEMS = 4_000, 61, 20
RELATIVE = frozenset({"mj-navbar-link"})  # to the base-url of the bar
PRESSED = frozenset({"mj-accordion", "mj-carousel", "mj-navbar"})
WITH_VALUES = ("href", "src", "alt", "title")  # attributes whose value may hold Liquid
BLOCKS = {"if": "endif", "unless": "endunless", "case": "endcase", "for": "endfor"}
INSIDE = {"elsif": ("if",), "else": ("if", "unless", "case", "for"), "when": ("case",)}


@dataclass(slots=True)
class Slots:
    """Words that stand for Liquid; none of them is in the source."""

    prefix: str
    liquid: dict[str, str] = field(default_factory=dict)
    added: int = 0

    def add(self, liquid: str) -> str:
        slot = f"{self.prefix}{self.added}z"
        self.liquid[slot] = liquid
        self.added += 1
        return slot

    def take(self, text: str, *, keep: bool = True) -> str:
        """The text with its Liquid back in place, or without it; its slots are no longer looked for."""

        def taken(found: re.Match[str]) -> str:
            liquid = self.liquid.pop(found[0])
            return liquid if keep else ""

        return re.sub(rf"{self.prefix}\d+z", taken, text)

    def without(self, text: str) -> str:
        return re.sub(rf"{self.prefix}\d+z", "", text)

    def fill(self, text: str) -> str:
        return re.sub(rf"{self.prefix}\d+z", lambda found: self.liquid[found[0]], text)

    def within(self, text: str) -> list[str]:
        return re.findall(rf"{self.prefix}\d+z", text)


@dataclass(slots=True)
class Scan:
    """The MJML with slots. `problems` are sentences that begin with the line."""

    slots: Slots
    mjml: str = ""
    attributes: dict[str, str] = field(default_factory=dict)  # slot: the attribute of which it is the value
    problems: list[str] = field(default_factory=list)
    has_lang: bool = False
    fonts: list[str] = field(default_factory=list)
    presses: bool = False  # MJML makes check boxes of some elements


def scan(source: str) -> Scan:
    return _Scanner(source).run()


class _Scanner:
    def __init__(self, source: str) -> None:
        prefix = "relayslot"
        while prefix in source:
            prefix += "q"
        self.found = Scan(slots=Slots(prefix))
        self.masked = LIQUID.sub(self._hide, source)
        self.open: list[tuple[str, int, int]] = []  # name, line, number of the element
        self.blocks: list[tuple[str, int, int]] = []  # Liquid block, line, number of the element around it
        self.elements = self.line = 0

    def run(self) -> Scan:
        if (unclosed := self._unclosed_comment()) >= 0:
            self._problem("a comment is never closed", self.masked[:unclosed].count("\n") + 1)
            return self.found
        written, at, self.line = [], 0, 1
        for markup in MARKUP.finditer(self.masked):
            written.append(self._text(self.masked[at : markup.start()]))
            written.append(self._markup(markup))
            self.line += markup[0].count("\n")
            at = markup.end()
        written.append(self._text(self.masked[at:]))
        for name, line, _ in self.open:
            self._problem(f"<{name}> is never closed", line)
        self.found.mjml = "".join(written)
        return self.found

    def _unclosed_comment(self) -> int:
        """Where one begins, or -1. Looked for first: the walk would look for the end of each anew."""
        start = self.masked.find("<!--")
        while start >= 0:
            end = self.masked.find("-->", start + 4)
            if end < 0:
                return start
            start = self.masked.find("<!--", end + 3)
        return -1

    def _problem(self, reason: str, line: int | None = None) -> None:
        if len(self.found.problems) < MOST_PROBLEMS:
            self.found.problems.append(f"line {line or self.line}: {reason}")

    def _hide(self, liquid: re.Match[str]) -> str:
        # the lines are kept, so that those after it keep their numbers
        return self.found.slots.add(liquid[0]) + "\n" * liquid[0].count("\n")

    def _markup(self, markup: re.Match[str]) -> str:
        if markup["comment"] is not None:
            return self._comment(markup["comment"])
        name = markup["name"].lower()
        if markup["close"]:
            self._close(name)
            return markup[0]
        rest: str = markup["rest"]
        self._check_element(name, markup[0])
        written = f"<{markup['name']}{self._attributes(name, rest)}>"
        if not rest.endswith("/") and name not in VOID:
            self.elements += 1
            self.open.append((name, self.line, self.elements))
            if len(self.open) == MAX_DEPTH:  # far deeper, and the compiler's stack would overflow and end the process
                self._problem(f"elements are nested more than {MAX_DEPTH - 1} deep")
        return written

    def _comment(self, text: str) -> str:
        """Only Outlook's conditional ones are kept."""
        if not text.lstrip().startswith("["):
            return "\n" * self.found.slots.take(text, keep=False).count("\n")
        if self.found.slots.within(text):
            self._problem("Liquid cannot stand in a conditional comment")
        if len(text) > MAX_COMMENT:  # the reader's time grows with the square of what is left open in it
            self._problem(f"a conditional comment has at most {MAX_COMMENT:,} characters")
        elif reason := why_html(f"<!--{text}-->"):
            self._problem(reason)
        return f"<!--{text}-->"

    def _check_element(self, name: str, whole: str) -> None:
        if name.startswith("mj") and name not in KNOWN:
            self._problem(f"<{name}> is no element of MJML that is known here")
        if self.found.slots.within(name):
            self._problem("Liquid cannot make the name of an element")
        reader = _Attributes()
        reader.feed(self.found.slots.without(whole))  # what Liquid adds to an address is checked when it is rendered
        if reason := why_element(name, reader.attributes):
            self._problem(reason)
        for key, value in reader.attributes:
            if key in {"href", "src"} and name not in RELATIVE and not self._may_be_whole(value or "", whole):
                self._problem(f"{value!r} ({key} of <{name}>) is not a whole address, with https://")
        if name == "mj-font":
            self.found.fonts.extend(value or "" for key, value in reader.attributes if key == "href")
        self.found.presses = self.found.presses or name in PRESSED
        if name == "mjml":
            self.found.has_lang = any(key == "lang" for key, _ in reader.attributes)

    def _may_be_whole(self, value: str, whole: str) -> bool:
        """Whether the address is one from every mailbox; one with Liquid is checked when it is rendered."""
        return is_link(value.strip()) or value.startswith("#") or bool(self.found.slots.within(whole))

    def _attributes(self, name: str, rest: str) -> str:
        def write(attribute: re.Match[str]) -> str:
            value = attribute[2][1:-1]
            if not self.found.slots.within(value):
                return attribute[0]
            if attribute[1].lower() not in WITH_VALUES or name in HEAD:
                allowed = ", ".join(WITH_VALUES)
                self._problem(f"Liquid cannot stand in {attribute[1]} of <{name}>; it can in {allowed}")
                return attribute[0]
            for slot in self.found.slots.within(value):
                if self.found.slots.liquid[slot].startswith("{%"):
                    self._check_tag(self.found.slots.liquid[slot], element=-1)
            slot = self.found.slots.add(self.found.slots.take(value))
            self.found.attributes[slot] = attribute[1].lower()
            return f'{attribute[1]}="{slot}"'

        bare = ATTRIBUTE.sub("", rest)
        if self.found.slots.within(bare):
            self._problem(f"Liquid in <{name}> must stand in the quoted value of an attribute")
        elif "=" in bare:
            self._problem(f"the attributes of <{name}> need quotes around their values")
        return ATTRIBUTE.sub(write, rest)

    def _close(self, name: str) -> None:
        if name in VOID:
            return
        if not self.open:
            self._problem(f"</{name}> closes nothing")
        elif self.open[-1][0] != name:
            self._problem(f"</{name}> closes <{self.open[-1][0]}> of line {self.open[-1][1]}")
            if name in (known for known, _, _ in self.open):
                while self.open.pop()[0] != name:
                    pass
        else:
            self.open.pop()

    def _text(self, text: str) -> str:
        """Text between two tags, with its slots made ready for where they stand."""
        parent, _, element = self.open[-1] if self.open else ("", 0, 0)
        if "<" in text:
            self._problem("a < opens no element; write &lt;", self.line + text[: text.index("<")].count("\n"))
        if parent in {"mj-style", "style"} and (reason := why_css(text)):
            self._problem(reason)
        begins = self.line
        for slot in self.found.slots.within(text):
            self.line = begins + text[: text.index(slot)].count("\n")
            text = text.replace(slot, self._slot(slot, parent, element), 1)
        self.line = begins + text.count("\n")
        return text

    def _slot(self, slot: str, parent: str, element: int) -> str:
        liquid = self.found.slots.liquid[slot]
        if not parent or parent in HEAD:
            self._problem(f"Liquid cannot stand in <{parent}>" if parent else "Liquid cannot stand outside <mjml>")
        is_tag = liquid.startswith("{%")
        if is_tag:
            self._check_tag(liquid, element)
        if parent not in CONTAINERS:
            return slot
        if not is_tag:
            self._problem(f"a value cannot stand in <{parent}>; put it into <mj-text>")
        return f"<!--{slot}-->"

    def _check_tag(self, liquid: str, element: int) -> None:
        """Known tags alone, and a block ends in the element in which it began: else half an element could go."""
        opening = TAG_NAME.match(liquid)
        tag = opening[1] if opening else ""
        if tag not in TAGS:
            self._problem(f"the Liquid tag {tag!r} is not allowed in MJML")
        elif tag in BLOCKS:
            self.blocks.append((tag, self.line, element))
        elif tag.startswith("end") or tag in INSIDE:
            if not self.blocks:
                return  # Liquid itself says so
            block, line, around = self.blocks[-1]
            if around != element:
                self._problem(f"{{% {tag} %}} stands in another element than {{% {block} %}} of line {line}")
            if tag.startswith("end"):
                self.blocks.pop()


class _Attributes(HTMLParser):
    """The attributes of one tag, with their entities resolved."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes = attrs
