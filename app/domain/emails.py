"""E-mail addresses: one spelling per mailbox, and only addresses that mail servers take."""

import re

# RFC 5321 without quoted local parts and address literals, which no mailbox of a person has
ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
LOCAL = re.compile(rf"{ATOM}(?:\.{ATOM})*")
DOMAIN = re.compile(rf"(?:{LABEL}\.)+(?!\d+$){LABEL}")


def normalize_email(raw: str) -> str:
    """The address in lower case, without surrounding space. Raises ValueError with a sentence when it is none."""
    address = raw.strip().lower()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError(f"{raw!r} is not an e-mail address: it needs a name, an @ and a domain.")
    if len(local) > 64 or len(domain) > 253:
        raise ValueError(f"{raw[:40]!r}… is not an e-mail address: it is too long.")
    if not LOCAL.fullmatch(local):
        raise ValueError(
            f"{raw!r} is not an e-mail address: the part before the @ has characters that are not allowed."
        )
    if not DOMAIN.fullmatch(domain):
        raise ValueError(f"{raw!r} is not an e-mail address: {domain!r} is not a domain name.")
    return address
