"""MessageBird's error codes: those of its answers, and those of its delivery reports, which count anew.

https://developers.messagebird.com/api/#api-errors
https://docs.bird.com/api/channels-api/message-status-and-interactions/message-failure-sources/sms-platform-extended-error-codes
"""

from app.channels import faults
from app.channels.faults import ACCOUNT, AMBIGUOUS, BAD_ADDRESS, OPTED_OUT, PERMANENT, RATE_LIMITED, TRANSIENT, Fault

ANSWERS: dict[int, Fault] = {
    2: ACCOUNT,  # the access key
    9: PERMANENT,  # a parameter is missing
    10: PERMANENT,  # a parameter is invalid
    20: PERMANENT,  # not found
    21: PERMANENT,  # bad request
    25: ACCOUNT,  # not enough balance
    98: PERMANENT,  # no such endpoint
    99: AMBIGUOUS,  # internal error
}
# A complaint about one of these is about the channel setting: the next message has the same.
OURS = frozenset({"originator", "reportUrl"})

REPORTS: dict[int, Fault] = {
    **dict.fromkeys((1, 2, 3, 5, 9, 10, 11, 12), BAD_ADDRESS),  # unknown subscriber
    **dict.fromkeys((8, 26, 27, 31), TRANSIENT),  # unavailable subscriber
    34: TRANSIENT,  # system failure
    101: ACCOUNT,  # insufficient balance: UNCONFIRMED
    103: OPTED_OUT,
    **dict.fromkeys((104, 105, 106), PERMANENT),  # rejected by the carrier: UNCONFIRMED
}
# For codes that are not known, and for 0, which says nothing.
REASONS: dict[str, Fault] = {
    "unknown subscriber": BAD_ADDRESS,
    "unavailable subscriber": TRANSIENT,
    "expired": TRANSIENT,
    "dlr not received": TRANSIENT,
    "opted-out": OPTED_OUT,
    "carrier rejected": PERMANENT,
    "content rejected": PERMANENT,
    "insufficient balance": ACCOUNT,
    "generic delivery failure": TRANSIENT,
    "received network error": TRANSIENT,
    "system failure": TRANSIENT,
}


def fault_of_answer(code: int | None, status: int, parameter: str = "") -> Fault:
    """The meaning of a refused request. A 429 was never processed; any 5xx may have been."""
    if status == 429:
        return RATE_LIMITED
    if status >= 500:
        return AMBIGUOUS
    if code in (9, 10) and parameter in OURS:
        return ACCOUNT
    if code in ANSWERS:
        return ANSWERS[code]
    return ACCOUNT if status == 402 else faults.of_status(status)


def fault_of_report(code: int | None, reason: str) -> Fault:
    """The meaning of a failure reported later. What is unknown deserves another try."""
    if code in REPORTS:
        return REPORTS[code]
    return REASONS.get(reason.strip().lower().replace("_", " "), TRANSIENT)
