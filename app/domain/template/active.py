"""What does not belong into an e-mail: content that acts by itself when somebody opens it."""

import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser

ELEMENTS = frozenset(
    "applet base button embed fieldset form frame frameset iframe input link math mj-html-attributes mj-include object"
    " option param portal script select svg template textarea".split()
)
ADDRESSES = frozenset(
    "action background background-url cite data dynsrc formaction href icon longdesc lowsrc manifest ping poster src"
    " srcset thumbnails-src xlink:href".split()
)
ONLY_ACTIVE = frozenset({"srcdoc", "formaction", "action", "ping", "xlink:href", "srcset", "manifest"})
SCHEMES = frozenset({"http", "https", "mailto", "tel", "sms"})
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060\ufeff]")
IN_CSS = re.compile(
    r"expression\s*\(|behaviou?r\s*:|-moz-binding|@import|javascript\s*:|vbscript\s*:|\\", re.IGNORECASE
)
URL_IN_CSS = re.compile(r"url\s*\(\s*['\"]?([^)'\"]*)", re.IGNORECASE)


def why_element(name: str, attributes: Sequence[tuple[str, str | None]]) -> str | None:
    """What is active about a start tag, in words; None when nothing is."""
    if name in ELEMENTS:
        return f"<{name}> is not allowed in an e-mail"
    for key, value in attributes:
        key, text = key.lower(), value or ""
        if key.startswith("on"):
            return f"the event handler {key} of <{name}> is not allowed in an e-mail"
        if key in ONLY_ACTIVE:
            return f"the attribute {key} of <{name}> is not allowed in an e-mail"
        if key == "http-equiv" and text.strip().lower() in {"refresh", "set-cookie"}:
            return f"<{name} http-equiv={text.strip()!r}> is not allowed in an e-mail"
        if key == "style" and (reason := why_css(text)):
            return f"{reason} (style of <{name}>)"
        if key in ADDRESSES and (reason := why_address(text)):
            return f"{reason} ({key} of <{name}>)"
    return None


def why_address(value: str) -> str | None:
    """Only what begins with an allowed scheme, or with no scheme at all, is harmless."""
    plain = INVISIBLE.sub("", unescape(value)).lower()
    scheme = SCHEME.match(plain)
    if scheme and scheme[1] not in SCHEMES:
        return f"an address of the kind {scheme[1]}: is not allowed in an e-mail"
    return None


def why_css(css: str) -> str | None:
    found = IN_CSS.search(unescape(css))
    if found:
        return f"{found[0]!r} in CSS is not allowed in an e-mail"
    return next((reason for url in URL_IN_CSS.findall(unescape(css)) if (reason := why_address(url))), None)


def why_html(html: str, *, input_too: bool = False) -> str | None:
    """The first active thing in a page, as a mail program would read it; None when there is none. With `input_too` it
    may have check boxes."""
    reader = _Reader(frozenset({"input"}) if input_too else frozenset())
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:  # what the reader of the standard library makes of <![x and its like
        return "a declaration (<!…) that is not HTML is not allowed in an e-mail"
    return reader.reason


class _Reader(HTMLParser):
    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.allowed = allowed
        self.reason: str | None = None
        self._css = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self._css = tag == "style"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = "" if tag in self.allowed else tag
        self.reason = self.reason or why_element(name, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._css = False

    def handle_data(self, data: str) -> None:
        if self._css:
            self.reason = self.reason or why_css(data)

    def handle_comment(self, data: str) -> None:
        """Outlook reads what stands in a conditional comment."""
        if "<" in data:
            self.reason = self.reason or why_html(
                re.sub(r"^\[if[^\]]*\]>|<!\[endif\]$", "", data.strip()), input_too="input" in self.allowed
            )
