"""Meta's error codes. The same code means the same whether it is answered at once or reported by a webhook.

https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.channels import faults
from app.channels.faults import ACCOUNT, AMBIGUOUS, NO_MARKETING, PERMANENT, TRANSIENT, Fault, FaultKind
from app.channels.webhooks import mapping, text

SERVER_OR_REQUEST = 1  # Meta uses it for an invalid request and for a failure of its own


def _limited(wait: timedelta, *, recipient_only: bool = False) -> Fault:
    return Fault(kind=FaultKind.RATE_LIMITED, retry_after=wait, recipient_only=recipient_only)


FAULTS: dict[int, Fault] = {
    # token and permissions (200-299 as well, see `fault_of`)
    **dict.fromkeys((0, 3, 10, 104, 190, 131005), ACCOUNT),
    # limits; the waits are Meta's words (seconds, minutes, hours) as numbers
    4: _limited(timedelta(minutes=1)),
    **dict.fromkeys((80007, 80008), _limited(timedelta(minutes=10))),
    130429: _limited(timedelta(seconds=2)),
    131056: _limited(timedelta(seconds=6), recipient_only=True),  # one message per 6 s to the same person
    131048: _limited(timedelta(hours=6)),  # quality restriction: a fast retry makes it worse
    131064: _limited(timedelta(hours=24)),
    133016: _limited(timedelta(hours=1)),
    132069: _limited(timedelta(minutes=1)),
    # refused for now
    **dict.fromkeys((SERVER_OR_REQUEST, 2, 131000, 131016, 133004), TRANSIENT),
    131057: Fault(kind=FaultKind.TRANSIENT, retry_after=timedelta(minutes=1)),
    134101: Fault(kind=FaultKind.TRANSIENT, retry_after=timedelta(minutes=10)),
    # the number or the account
    **dict.fromkeys((33, 368, 131031, 131037, 131042, 131045, 133010, 134011), ACCOUNT),
    **dict.fromkeys((133000, 133005, 133006, 133008, 133009, 133015), ACCOUNT),
    # this message
    131050: NO_MARKETING,  # utility templates still reach this person
    131049: Fault(kind=FaultKind.PERMANENT, limited=timedelta(hours=24)),  # sooner only repeats the error
    **dict.fromkeys((100, 130403, 130472, 130497, 131008, 131009, 131021, 131026, 131030), PERMANENT),
    **dict.fromkeys((131047, 131051, 131053, 131055, 131062, 131063, 134100), PERMANENT),
    **dict.fromkeys((132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132018, 132068), PERMANENT),
    **dict.fromkeys((135000, 137000), PERMANENT),
}


def fault_of(error: Mapping[str, Any], status: int | None = None) -> Fault:
    """The meaning of an error object; `status` is the HTTP status it came with, if it was an answer."""
    code = error.get("code")
    if not isinstance(code, int):
        return faults.of_status(status) if status else PERMANENT
    if code == SERVER_OR_REQUEST and status and status >= 500:
        return AMBIGUOUS
    if code in FAULTS:
        return FAULTS[code]
    if 200 <= code <= 299:
        return ACCOUNT
    if error.get("is_transient") is True or (status and status >= 500):
        return TRANSIENT
    return faults.of_status(status) if status else PERMANENT


def detail_of(error: Mapping[str, Any]) -> str:
    """Meta's own words, the most precise first."""
    details = text(mapping(error.get("error_data")).get("details"))
    message = text(error.get("message")) or text(error.get("title"))
    return f"{message}: {details}" if details and message and details != message else details or message


def code_of(error: Mapping[str, Any]) -> str:
    return text(error.get("code"))
