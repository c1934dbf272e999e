"""What the send endpoint refuses about a request: the first thing that is wrong with it."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import orjson

from app.simulator.accounts import Account
from app.simulator.refusal import Refusal

MAX_RECIPIENTS, MAX_TAGS, MAX_OPTION_BYTES = 1_000, 3, 16 * 1024
MAX_MESSAGE_BYTES = 25 * 1024 * 1024
MAX_DELAY_SECONDS = 3 * 86_400
ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]+@[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9])?\.[A-Za-z0-9\-]+")
REFERENCE = re.compile(r"%recipient\.([A-Za-z0-9_\-]+)%")
YES_OR_NO = frozenset({"yes", "no", "true", "false"})
SWITCHES = ("o:dkim", "o:tracking-opens", "o:testmode", "o:require-tls", "o:skip-verification")

Pairs = Sequence[tuple[str, str]]


def refuse(status: int, message: str) -> Refusal:
    return Refusal(status, status, {"message": message}, throttled=status == 429)


@dataclass(frozen=True, slots=True)
class Mail:
    """A request that was found to be in order, and what of it each person gets."""

    sender: str
    to: tuple[str, ...]
    copies: tuple[str, ...]  # cc and bcc
    parts: Mapping[str, str]  # subject, text and html
    headers: Mapping[str, str]
    variables: Mapping[str, str]
    tags: tuple[str, ...]
    people: Mapping[str, Mapping[str, Any]]  # recipient-variables; empty: everybody gets the same mail

    def rendered(self, value: str, address: str) -> str:
        own = self.people.get(address, {})
        return REFERENCE.sub(lambda found: str(own.get(found[1], found[0])), value)


def check_form(account: Account, form: Pairs, files: int, file_bytes: int) -> Mail:
    """Raises Refusal."""
    first = dict(reversed(form))
    options = [(name, value) for name, value in form if name[:2] in ("o:", "h:", "v:")]
    for name in ("from", "to"):
        if not first.get(name, "").strip():
            raise refuse(400, f"{name} parameter is missing")
    sender = _addresses("from", [first["from"]])[0]
    to = _addresses("to", [value for name, value in form if name == "to"])
    copies = [
        address
        for wanted in ("cc", "bcc")
        if (values := [value for name, value in form if name == wanted])
        for address in _addresses(wanted, values)
    ]
    if len(to) + len(copies) > MAX_RECIPIENTS:
        raise refuse(400, f"to parameter has too many recipients (max {MAX_RECIPIENTS})")
    _check_content(first, files)
    _check_options(options)
    if sum(len(name) + len(value.encode()) for name, value in form) + file_bytes > MAX_MESSAGE_BYTES:
        raise refuse(413, "Request Entity Too Large")
    _check_sender(account, sender)
    return Mail(
        sender=first["from"],
        to=tuple(to),
        copies=tuple(copies),
        parts={name: first.get(name, "") for name in ("subject", "text", "html")},
        headers={name[2:]: value for name, value in options if name.startswith("h:")},
        variables={name[2:]: value for name, value in options if name.startswith("v:")},
        tags=tuple(value for name, value in options if name == "o:tag"),
        people=_people(first.get("recipient-variables", "")),
    )


def _addresses(name: str, values: Sequence[str]) -> list[str]:
    """The bare addresses, lower-case."""
    found = [address for _, address in getaddresses(list(values))]
    if not found or not all(ADDRESS.fullmatch(address) for address in found):
        raise refuse(400, f"'{name}' parameter is not a valid address. please check documentation")
    return [address.lower() for address in found]


def _check_content(first: Mapping[str, str], files: int) -> None:
    if not any(first.get(name) for name in ("text", "html", "amp-html", "template")) and not files:
        raise refuse(400, "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified")
    if first.get("html") and first.get("template"):
        raise refuse(400, "'html' and 'template' parameters are mutually exclusive")


def _check_options(options: Pairs) -> None:
    if sum(len(name) + len(value.encode()) for name, value in options) > MAX_OPTION_BYTES:
        raise refuse(400, "The o:, h: and v: parameters may not exceed 16KB together")
    if sum(name == "o:tag" for name, _ in options) > MAX_TAGS:
        raise refuse(400, f"Too many tags (max {MAX_TAGS})")
    for name, value in options:
        if name == "o:deliverytime":
            _check_delivery_time(value)
        elif name in SWITCHES and value not in YES_OR_NO:
            raise refuse(400, f"{name} parameter must be yes or no")


def _check_delivery_time(value: str) -> None:
    try:
        at = parsedate_to_datetime(value).timestamp()
    except ValueError:
        raise refuse(400, "o:deliverytime parameter is not a valid RFC 2822 date") from None
    if at - time.time() > MAX_DELAY_SECONDS:
        raise refuse(400, "o:deliverytime parameter is more than 3 days in the future")


def _check_sender(account: Account, sender: str) -> None:
    """The domain itself, one above or below it, or one that was set up beside it."""
    domain, own = sender.rpartition("@")[2], account.credentials["domain"].lower()
    related = domain == own or own.endswith(f".{domain}") or domain.endswith(f".{own}")
    if not related and domain not in {entry.lower() for entry in account.verified_senders}:
        raise refuse(400, f"Domain {domain} is not allowed to send: the sender is not of {own}")


def _people(value: str) -> dict[str, dict[str, Any]]:
    if not value:
        return {}
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(own, dict) for own in read.values()):
        raise refuse(400, "'recipient-variables' parameter is not a valid JSON object")
    if any(isinstance(item, dict | list) for own in read.values() for item in own.values()):
        raise refuse(400, "'recipient-variables' parameter may hold scalar values only")
    return {address.lower(): own for address, own in read.items()}
