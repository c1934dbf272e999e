"""What every e-mail provider of the sandbox looks for in a mail: what a person could press."""

import re
from collections.abc import Mapping

LIST_UNSUBSCRIBE = re.compile(r"<(https?://[^>]+)>")
HREF = re.compile(r"""href=["'](https?://[^"']+)["']""")


def one_click_url(headers: Mapping[str, str]) -> str:
    """The URL of RFC 8058: only where the second header allows a POST without a question."""
    lower = {name.lower(): value for name, value in headers.items()}
    found = LIST_UNSUBSCRIBE.search(lower.get("list-unsubscribe", ""))
    offered = lower.get("list-unsubscribe-post", "").replace(" ", "").lower() == "list-unsubscribe=one-click"
    return found[1] if found and offered else ""


def first_link(html: str) -> str:
    found = HREF.search(html)
    return found[1] if found else "https://www.example.org/"
