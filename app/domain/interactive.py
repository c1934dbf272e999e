"""What a person can press in a WhatsApp message: reply buttons, a list, or one link. Shape and Meta's limits.

https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/interactive-reply-buttons-messages
"""

from collections.abc import Mapping
from typing import Any

from app.domain.pointers import Problems, child
from app.errors import FieldError

KINDS = ("buttons", "list", "cta_url")  # a message has at most one of them
PARTS = (*KINDS, "header", "footer")
MOST_BUTTONS, LONGEST_TITLE, LONGEST_ID = 3, 20, 256
MOST_SECTIONS, MOST_ROWS = 10, 10  # rows of all sections together
LONGEST_SECTION, LONGEST_ROW_ID, LONGEST_ROW, LONGEST_DESCRIPTION = 24, 200, 24, 72
LONGEST_HEADER = LONGEST_FOOTER = 60
LONGEST_BODY = {"buttons": 1_024, "cta_url": 1_024, "list": 4_096}


def is_interactive(content: Mapping[str, Any]) -> bool:
    return any(kind in content for kind in KINDS)


def fits(content: Mapping[str, Any]) -> bool:
    """Whether a rendered message (see OutboundMessage.content) may leave as an interactive one."""
    parts = {name: value for name, value in content.items() if name in PARTS}
    return is_interactive(parts) and not problems_of(parts, content["body"])


def problems_of(content: Mapping[str, Any], body: str, pointer: str = "/content") -> list[FieldError]:
    """What WhatsApp would refuse of `content`, whose words are `body`; empty when it may leave as it is."""
    found = Problems()
    found.unknown_keys(dict(content), PARTS, pointer)
    kinds = [kind for kind in KINDS if kind in content]
    if len(kinds) != 1:
        found.add(pointer, f"Give exactly one of {', '.join(KINDS)}.")
    for kind in kinds:
        CHECKS[kind](content[kind], child(pointer, kind), found)
        if len(body) > LONGEST_BODY[kind]:
            found.add("/text", f"The text of a message with {kind} has at most {LONGEST_BODY[kind]:,} characters.")
    for part, most in (("header", LONGEST_HEADER), ("footer", LONGEST_FOOTER)):
        if part in content:
            _words(content[part], child(pointer, part), most, found)
    return found.errors


def _buttons(value: Any, pointer: str, found: Problems) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_BUTTONS:
        found.add(pointer, f"buttons must be a list of 1 to {MOST_BUTTONS} buttons.")
        return
    _choices(value, pointer, ("id", "title"), {"id": LONGEST_ID, "title": LONGEST_TITLE}, set(), found)
    titles = [item["title"] for item in value if isinstance(item, dict) and isinstance(item.get("title"), str)]
    if len(set(titles)) < len(titles):
        found.add(pointer, "Each button needs a title of its own.")


def _list(value: Any, pointer: str, found: Problems) -> None:
    if not isinstance(value, dict):
        found.add(pointer, "list must be an object with button and sections.")
        return
    found.unknown_keys(value, ("button", "sections"), pointer)
    _words(value.get("button"), child(pointer, "button"), LONGEST_TITLE, found)
    sections, at = value.get("sections"), child(pointer, "sections")
    if not isinstance(sections, list) or not 1 <= len(sections) <= MOST_SECTIONS:
        found.add(at, f"sections must be a list of 1 to {MOST_SECTIONS} sections.")
        return
    seen: set[str] = set()
    count = sum(_section(section, child(at, n), len(sections) > 1, seen, found) for n, section in enumerate(sections))
    if count > MOST_ROWS:
        found.add(at, f"A list has at most {MOST_ROWS} rows in all its sections together.")


def _section(value: Any, pointer: str, needs_title: bool, seen: set[str], found: Problems) -> int:
    """The number of its rows."""
    if not isinstance(value, dict):
        found.add(pointer, "A section must be an object with title and rows.")
        return 0
    found.unknown_keys(value, ("title", "rows"), pointer)
    if needs_title or "title" in value:
        _words(value.get("title"), child(pointer, "title"), LONGEST_SECTION, found)
    rows, at = value.get("rows"), child(pointer, "rows")
    if not isinstance(rows, list) or not rows:
        found.add(at, "rows must be a list of at least one row.")
        return 0
    limits = {"id": LONGEST_ROW_ID, "title": LONGEST_ROW}
    _choices(rows, at, ("id", "title", "description"), limits, seen, found)
    for n, row in enumerate(rows):
        if isinstance(row, dict) and "description" in row:
            _words(row["description"], child(child(at, n), "description"), LONGEST_DESCRIPTION, found)
    return len(rows)


def _choices(
    items: list[Any], pointer: str, allowed: tuple[str, ...], limits: dict[str, int], seen: set[str], found: Problems
) -> None:
    """Objects with an id and a title; the ids are added to `seen` and must be new there."""
    for n, item in enumerate(items):
        at = child(pointer, n)
        if not isinstance(item, dict):
            found.add(at, "This must be an object with id and title.")
            continue
        found.unknown_keys(item, allowed, at)
        for name, most in limits.items():
            _words(item.get(name), child(at, name), most, found)
        id = item.get("id")
        if isinstance(id, str):
            if id in seen:
                found.add(child(at, "id"), f"The id {id!r} is there already.")
            seen.add(id)


def _link(value: Any, pointer: str, found: Problems) -> None:
    if not isinstance(value, dict):
        found.add(pointer, "cta_url must be an object with title and url.")
        return
    found.unknown_keys(value, ("title", "url"), pointer)
    _words(value.get("title"), child(pointer, "title"), LONGEST_TITLE, found)
    url = value.get("url")
    if not isinstance(url, str) or not url.lower().startswith(("https://", "http://")):
        found.add(child(pointer, "url"), "url must be an http or https address.")


def _words(value: Any, pointer: str, most: int, found: Problems) -> None:
    if not isinstance(value, str) or not value.strip():
        found.add(pointer, "This must be text, and not empty.")
    elif len(value) > most:
        found.add(pointer, f"This has at most {most} characters, not {len(value)}.")


CHECKS = {"buttons": _buttons, "list": _list, "cta_url": _link}
