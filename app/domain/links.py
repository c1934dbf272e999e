"""Links in texts and in HTML: found as a reader would see them, and put in another's place."""

import re
from collections.abc import Mapping
from enum import StrEnum
from html import escape, unescape
from urllib.parse import urlsplit

from app.domain.status import Channel, Purpose

LINK = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
HREF = re.compile(r"(?<=\shref=\")[^\"]+(?=\")", re.IGNORECASE)
LONGEST = 2_048  # characters; what is longer stays as it is
SCHEMES = frozenset({"http", "https"})
# what ends a sentence rather than an address
TRAILING = ".,;:!?'”’»…"
PAIRS = {")": "(", "]": "[", "}": "{"}
# the one provider that tracks nothing by itself
UNTRACKED = frozenset({"smtp"})


class Shortening(StrEnum):
    """Which links of a message become short ones."""

    NEVER = "never"
    IF_SHORTER = "if_shorter"
    ALWAYS = "always"  # clicks are wanted, whatever the length


def sms_shortening(purpose: Purpose, wanted: bool | None) -> Shortening:
    """`wanted` None, nobody said: a campaign wants its clicks counted, a code or a receipt only has to be short."""
    if wanted is None:
        return Shortening.ALWAYS if purpose is Purpose.MARKETING else Shortening.IF_SHORTER
    return Shortening.ALWAYS if wanted else Shortening.NEVER


def email_shortening(purpose: Purpose, wanted: bool | None, provider: str) -> Shortening:
    """E-mail providers count clicks by themselves; `wanted` None leaves it to them where they do."""
    if wanted is None:
        wanted = provider in UNTRACKED and purpose is Purpose.MARKETING
    return Shortening.ALWAYS if wanted else Shortening.NEVER


def is_web_address(url: str) -> bool:
    """Whether a browser may be sent there."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False


def links_in(text: str) -> list[str]:
    """The links of a plain text, in order, without what follows them in a sentence."""
    if "://" not in text:
        return []
    return [link for found in LINK.findall(text) if len(found) <= LONGEST and is_web_address(link := _trimmed(found))]


def links_in_html(html: str) -> list[str]:
    """The addresses that its anchors lead to."""
    found = (unescape(href).strip() for href in HREF.findall(html))
    return [link for link in found if len(link) <= LONGEST and is_web_address(link)]


def replaced(text: str, links: Mapping[str, str]) -> str:
    """A plain text with these of its links in place of the old ones."""

    def swap(found: re.Match[str]) -> str:
        if len(found[0]) > LONGEST:
            return found[0]
        link = _trimmed(found[0])
        return links.get(link, link) + found[0][len(link) :]

    return LINK.sub(swap, text)


def replaced_in_html(html: str, links: Mapping[str, str]) -> str:
    """The same for the targets of anchors; what the anchors say stays."""

    def swap(found: re.Match[str]) -> str:
        new = links.get(unescape(found[0]).strip())
        return found[0] if new is None else escape(new)

    return HREF.sub(swap, html)


def eligible(link: str, channel: Channel, shortening: Shortening, public_url: str, short_length: int) -> bool:
    """Whether a short link takes the place of this one.

    Of our own links only the one to unsubscribe by in an SMS is made short: it is longer than the message may be.
    """
    if link.startswith(f"{public_url}/r/"):
        return False
    if link.startswith(f"{public_url}/u/"):
        return channel is Channel.SMS
    if shortening is Shortening.IF_SHORTER:
        return len(link) > short_length
    return shortening is Shortening.ALWAYS


def _trimmed(link: str) -> str:
    """`(see https://x.org/a_(b)).` → `https://x.org/a_(b)`."""
    while link:
        last = link[-1]
        if last in TRAILING or (last in PAIRS and link.count(last) > link.count(PAIRS[last])):
            link = link[:-1]
            continue
        break
    return link
