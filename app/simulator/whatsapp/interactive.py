"""What the Cloud API refuses in an interactive message: reply buttons, a list of rows, or a button with a link."""

from typing import Any

from app.simulator.whatsapp.errors import refuse

VARIANTS = ("button", "list", "cta_url", "flow", "product", "product_list", "catalog_message")
MAX_BODY = {"button": 1_024, "cta_url": 1_024, "list": 4_096}
MAX_SIDE = 60  # header and footer
MAX_ROWS = 10


def check_interactive(value: Any, kind: str) -> None:
    if not isinstance(value, dict):
        raise refuse(131008, f"Parameter '{kind}' is required for type {kind}.")
    variant, action = value.get("type"), value.get("action")
    if variant not in VARIANTS:
        raise refuse(100, f"Param interactive['type'] is not supported - got {variant!r}.")
    if not isinstance(action, dict):
        raise refuse(131008, "Parameter 'interactive.action' is required.")
    if variant in MAX_BODY:
        _words("interactive.body.text", _inside(value.get("body"), "text"), MAX_BODY[variant])
        _sides(value)
        ACTIONS[variant](action)


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _sides(value: dict[str, Any]) -> None:
    if "footer" in value:
        _words("interactive.footer.text", _inside(value["footer"], "text"), MAX_SIDE)
    if "header" not in value:
        return
    form = _inside(value["header"], "type")
    if form == "text":
        _words("interactive.header.text", _inside(value["header"], "text"), MAX_SIDE)
    elif form not in ("image", "video", "document") or value["type"] == "list":
        raise refuse(131009, f"Parameter 'interactive.header.type' can't be {form!r} here.")


def _words(name: str, value: Any, most: int) -> None:
    if not isinstance(value, str) or not value.strip():
        raise refuse(131008, f"Parameter '{name}' is required.")
    if len(value) > most:
        raise refuse(131009, f"Parameter '{name}' is at most {most} characters long.")


def _buttons(action: dict[str, Any]) -> None:
    buttons = action.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise refuse(131009, "Parameter 'interactive.action.buttons' must have 1 to 3 buttons.")
    ids, titles = set(), set()
    for button in buttons:
        reply = _inside(button, "reply")
        if _inside(button, "type") != "reply":
            raise refuse(131009, "Parameter 'interactive.action.buttons.type' must be reply.")
        _words("reply.title", _inside(reply, "title"), 20)
        _words("reply.id", _inside(reply, "id"), 256)
        ids.add(reply["id"])
        titles.add(reply["title"])
    if len(ids) != len(buttons) or len(titles) != len(buttons):
        raise refuse(131009, "The ids and the titles of reply buttons must be unique.")


def _rows(action: dict[str, Any]) -> None:
    _words("interactive.action.button", action.get("button"), 20)
    sections = action.get("sections")
    if not isinstance(sections, list) or not 1 <= len(sections) <= 10:
        raise refuse(131009, "Parameter 'interactive.action.sections' must have 1 to 10 sections.")
    ids: list[str] = []
    for section in sections:
        rows = _inside(section, "rows")
        if not isinstance(rows, list) or not rows:
            raise refuse(131008, "Each section needs 'rows'.")
        if len(sections) > 1 or "title" in section:
            _words("section.title", section.get("title"), 24)
        for row in rows:
            _words("row.id", _inside(row, "id"), 200)
            _words("row.title", row.get("title"), 24)
            if "description" in row:
                _words("row.description", row["description"], 72)
            ids.append(row["id"])
    if len(ids) > MAX_ROWS:
        raise refuse(131009, f"A list has at most {MAX_ROWS} rows in all sections.")
    if len(set(ids)) != len(ids):
        raise refuse(131009, "The ids of rows must be unique.")


def _link(action: dict[str, Any]) -> None:
    parameters = action.get("parameters")
    if action.get("name") != "cta_url":
        raise refuse(131008, "Parameter 'interactive.action.name' must be cta_url.")
    _words("parameters.display_text", _inside(parameters, "display_text"), 20)
    url = _inside(parameters, "url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise refuse(131009, "Parameter 'interactive.action.parameters.url' is not a valid URL.")


ACTIONS = {"button": _buttons, "list": _rows, "cta_url": _link}
