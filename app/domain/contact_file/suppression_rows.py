"""One row of a suppression list → an address that must not be used, or the reason why not.

The lists of providers are taken as they export them: an address under any of the usual names, the reason in words.
"""

from dataclasses import dataclass
from typing import Any

from app.domain.contact_file.columns import check_names, trimmed
from app.domain.contact_file.types import BadCell, FileShape, RawRow, RejectedRow
from app.domain.csv_text import uncell
from app.domain.emails import normalize_email
from app.domain.phone import normalize_phone
from app.domain.status import Channel, SuppressionReason
from app.errors import InvalidInput

COLUMNS = ("channel", "address", "reason", "source")
ADDRESS_NAMES = {
    "address": "",
    "email": "email",
    "email_address": "email",
    "recipient": "",
    "phone": "phone",
    "phone_number": "phone",
    "number": "phone",
    "msisdn": "phone",
    "mobile": "phone",
}
REASON_NAMES = ("reason", "type", "status")
REASONS = {
    **{reason.value: reason for reason in SuppressionReason},
    **dict.fromkeys(("bounced", "hard bounce", "hard_bounce", "hardbounce", "bounces"), SuppressionReason.BOUNCE),
    **dict.fromkeys(
        ("complained", "spam", "spam report", "spam_report", "spamreport", "spam complaint", "abuse"),
        SuppressionReason.COMPLAINT,
    ),
    **dict.fromkeys(
        ("unsubscribed", "unsubscribes", "group unsubscribe", "global unsubscribe", "opted out", "opt out", "opt-out"),
        SuppressionReason.UNSUBSCRIBE,
    ),
    **dict.fromkeys(("stopped", "blocked", "do not contact", "dnc"), SuppressionReason.MANUAL),
    **dict.fromkeys(("invalid address", "unknown subscriber", "not a number"), SuppressionReason.INVALID),
}
LONGEST_SOURCE = 300


@dataclass(slots=True)
class SuppressionRow:
    """`channel` is a word of Channel, `address` normalized."""

    number: int
    end: int
    channel: str
    address: str
    reason: str
    source: str


def check_header(cells: list[str]) -> tuple[str, ...]:
    """The header without empty names at its end. Raises InvalidInput naming each bad column."""
    names = trimmed(cells)
    if not {_key(name) for name in names} & ADDRESS_NAMES.keys():
        found = ", ".join(repr(name[:40]) for name in names[:20]) or "nothing"
        raise InvalidInput.at(
            "/header",
            f"The first line must name a column with addresses ({', '.join(ADDRESS_NAMES)}); it names {found}. "
            f"Further columns that are read: channel, reason, source.",
        )
    return check_names(names)


def is_known(name: str) -> bool:
    return _key(name) in ADDRESS_NAMES or _key(name) in COLUMNS


class SuppressionParser:
    """`channel` and `reason` stand for what a row leaves open; without them such a row is rejected."""

    def __init__(self, shape: FileShape, *, default_region: str, channel: str, reason: str) -> None:
        self._names = tuple(map(_key, shape.header))
        self._region, self._channel, self._reason = default_region, channel, reason

    def parse(self, raw: RawRow) -> SuppressionRow | RejectedRow:
        if raw.problem:
            return RejectedRow(raw.number, raw.end, "", raw.problem)
        try:
            return self._row(raw, self._fields(raw.values))
        except BadCell as bad:
            return RejectedRow(raw.number, raw.end, bad.name, bad.reason[:LONGEST_SOURCE])

    def _fields(self, values: list[str] | dict[str, Any]) -> dict[str, str]:
        if isinstance(values, dict):
            return {_key(name): str(value).strip() for name, value in values.items() if value is not None}
        if any(cell.strip() for cell in values[len(self._names) :]):
            raise BadCell("", f"The row has {len(values)} cells, but the header names {len(self._names)} columns.")
        return {name: uncell(cell.strip()) for name, cell in zip(self._names, values, strict=False)}

    def _row(self, raw: RawRow, fields: dict[str, str]) -> SuppressionRow:
        name = next((name for name in ADDRESS_NAMES if fields.get(name)), "")
        if not name:
            raise BadCell("address", "The row has no address.")
        if "\0" in "".join(fields.values()):
            raise BadCell("", "The row has a NUL character.")
        address = fields[name]
        channel = self._channel_of(fields.get("channel", ""), ADDRESS_NAMES[name], address)
        try:
            address = normalize_email(address) if channel is Channel.EMAIL else normalize_phone(address, self._region)
        except ValueError as error:
            raise BadCell(name, str(error)) from None
        reason, words = self._reason_of(fields)
        source = fields.get("source", "") or words or "import"
        return SuppressionRow(raw.number, raw.end, channel.value, address, reason, source[:LONGEST_SOURCE])

    def _channel_of(self, given: str, kind: str, address: str) -> Channel:
        word = given.lower()
        if word and word not in set(Channel):
            raise BadCell("channel", f"{given[:40]!r} is no channel: use {', '.join(Channel)}.")
        if word:
            return Channel(word)
        if kind == "email" or "@" in address:
            return Channel.EMAIL
        if self._channel and self._channel != Channel.EMAIL:
            return Channel(self._channel)
        raise BadCell(
            "channel", "It is open whether the number is of SMS or WhatsApp: name it, or give default_channel."
        )

    def _reason_of(self, fields: dict[str, str]) -> tuple[str, str]:
        """The reason, and the words that said something else."""
        given = next((fields[name] for name in REASON_NAMES if fields.get(name)), "")
        known = REASONS.get(given.lower())
        if known is not None:
            return known.value, ""
        if self._reason:
            return self._reason, given
        if given:
            allowed = ", ".join(SuppressionReason)
            raise BadCell("reason", f"{given[:60]!r} is no reason: use {allowed}, or give default_reason.")
        return SuppressionReason.MANUAL.value, ""


def _key(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").replace("_", " ").split())
