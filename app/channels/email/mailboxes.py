"""Senders and recipients as they stand in mail: `Name <address>`.

By hand: the standard library's parser recurses into comments, which strangers can nest as deep as they like.
"""

import re

from app.channels.email.replies import decoded

MOST_CHARACTERS = 1_000
SPECIALS = frozenset("()<>[]:;@,.")
ADDRESS = re.compile(r"[^\s<>@,;:()\"]{1,64}@[^\s<>@,;:()\"]{1,255}")


def mailbox(value: str) -> tuple[str, str]:
    """The name and the address, in lower case, of one mailbox; both empty when there is none, or several."""
    name, bracket, rest = value[:MOST_CHARACTERS].strip().rpartition("<")
    address, _, after = rest.partition(">")
    address = address.strip().lower()
    if (bracket and after.strip()) or not ADDRESS.fullmatch(address):
        return "", ""
    if ">" in name:  # the end of another mailbox
        return "", ""
    return decoded(name.strip()).strip('" '), address


def written(name: str, address: str) -> str:
    """`Name <address>`; the name in quotes where it has a meaning of its own in a header."""
    plain = "".join(character for character in name if character.isprintable() and character not in '"\\')
    if not plain:
        return address
    return f'"{plain}" <{address}>' if set(plain) & SPECIALS else f"{plain} <{address}>"
