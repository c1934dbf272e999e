"""Checks that keep a credential from breaking a URL or a header."""

from collections.abc import Iterable, Mapping

from app.channels.base import missing_credentials


def problems(
    credentials: Mapping[str, str],
    *,
    required: frozenset[str],
    in_path: Iterable[str] = (),
    in_header: Iterable[str] = (),
) -> list[str]:
    """What is wrong, a sentence each naming the field: missing, or unfit for the place where it is used."""
    found = missing_credentials(required, credentials)
    for name in in_path:
        value = credentials.get(name, "")
        if value and not (value.isascii() and value.isalnum()):
            found.append(f"credentials.{name} must consist of letters and digits")
    for name in in_header:
        if credentials.get(name) and not_plain(credentials[name]):
            found.append(f"credentials.{name} must be printable ASCII without spaces")
    return found


def not_plain(value: str) -> bool:
    """Whether it is empty, or holds spaces, control characters or anything beyond ASCII."""
    return not value or not value.isascii() or not value.isprintable() or " " in value
