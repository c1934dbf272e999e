"""Mailboxes as headers and providers' parameters want them."""

SPECIALS = frozenset("()<>[]:;@,.")


def mailbox(name: str, address: str) -> str:
    """`Name <address>`; the name in quotes where it has a meaning of its own in a header."""
    plain = "".join(character for character in name if character.isprintable() and character not in '"\\')
    if not plain:
        return address
    return f'"{plain}" <{address}>' if set(plain) & SPECIALS else f"{plain} <{address}>"
