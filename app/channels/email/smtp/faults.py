"""What a mail server's reply or delivery report means.

The enhanced status code (RFC 3463) decides before the three digits (RFC 5321, section 4.2), and both before the words.
What big providers mean by their own codes (4.7.28, 5.4.1, 5.4.5) is UNCONFIRMED.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto

from app.channels.faults import ACCOUNT, BAD_ADDRESS, PERMANENT, RATE_LIMITED, TRANSIENT, Fault, FaultKind
from app.domain.status import SuppressionReason

ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
THREE_DIGITS = re.compile(r"(?<![\d.])(5[0-5]\d|4[25]\d)(?=[ -])")


class Stage(Enum):
    """What a reply answers, and so whose matter it is."""

    SESSION = auto()  # greeting, EHLO, STARTTLS, AUTH
    SENDER = auto()  # MAIL
    RECIPIENT = auto()  # RCPT
    MESSAGE = auto()  # DATA, and the end of the message


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    text: str

    @property
    def status(self) -> str:
        """The enhanced code, if it begins with one that agrees with the three digits."""
        found = ENHANCED.match(self.text.lstrip())
        return found[0] if found and found[1] == str(self.code)[:1] else ""

    @property
    def name(self) -> str:
        return self.status or str(self.code)

    @property
    def words(self) -> str:
        return f"{self.code} {' '.join(self.text.split())}"[:500].strip()


# Greylisting wants five to fifteen minutes; a full mailbox takes longer. Each is tried again a limited number of times.
LATER = Fault(kind=FaultKind.TRANSIENT, retry_after=timedelta(minutes=5))
MUCH_LATER = Fault(kind=FaultKind.TRANSIENT, retry_after=timedelta(minutes=30))
SLOWER = replace(RATE_LIMITED, retry_after=timedelta(seconds=30))
NEXT_HOUR = replace(RATE_LIMITED, retry_after=timedelta(hours=1))
SOFT = "5.2.2"  # mailbox full: refused for good this time, and yet a mailbox

STATUSES: dict[str, Fault] = {
    "4.2.1": MUCH_LATER,
    "4.2.2": MUCH_LATER,
    "4.7.28": SLOWER,
    "5.1.1": BAD_ADDRESS,
    "5.1.2": BAD_ADDRESS,
    "5.1.3": BAD_ADDRESS,
    "5.1.6": BAD_ADDRESS,
    "5.1.10": BAD_ADDRESS,
    "5.2.1": BAD_ADDRESS,
    "5.4.1": BAD_ADDRESS,  # Microsoft: not in the directory
    "5.4.5": NEXT_HOUR,  # congestion, which only a class 4 should say; Gmail's daily quota
}
CODES: dict[int, Fault] = {521: BAD_ADDRESS, 556: BAD_ADDRESS}  # hosts that take no mail
AUTHENTICATION = frozenset({530, 534, 535, 538})
SYNTAX = frozenset({500, 501, 502, 503, 504})
OF_THE_MESSAGE = frozenset({"5.2.3", "5.3.4", "5.6.7"})  # said of MAIL: too large, or an address beyond ASCII
LIMITED = re.compile(r"\brate\b|throttl|too (?:many|much) (?:messages|e?-?mails?)|(?:sending|hourly|daily) limit", re.I)
OF_THE_SENDER = frozenset({"5.1.7", "5.1.8"})  # its address, or its domain (RFC 3463)
# Many servers, Postfix first, refuse a sender or a stranger only when the recipient is named.
NOT_US = re.compile(r"\brelay|sender address rejected|client host rejected|send as this sender|\bnot owned by", re.I)


def fault_of_reply(reply: Reply, stage: Stage) -> Fault:
    """The meaning of a reply other than the expected one."""
    if reply.code in AUTHENTICATION:
        return ACCOUNT
    if 400 <= reply.code < 500:
        return _for_now(reply, stage)
    if not 500 <= reply.code < 600:
        return TRANSIENT  # no SMTP, so nothing was accepted
    if stage in (Stage.SESSION, Stage.SENDER) and reply.status not in OF_THE_MESSAGE:
        return STATUSES["5.4.5"] if reply.status == "5.4.5" else ACCOUNT
    if reply.status in OF_THE_SENDER:
        return ACCOUNT
    if reply.status.startswith("5.7.") or not reply.status:
        if NOT_US.search(reply.text):
            return ACCOUNT  # it takes us for a stranger, or the sender for somebody else's
    return STATUSES.get(reply.status) or (PERMANENT if reply.status else CODES.get(reply.code, PERMANENT))


def _for_now(reply: Reply, stage: Stage) -> Fault:
    mailbox = reply.status.startswith("4.2.")
    if reply.status == "4.7.28" or (not mailbox and LIMITED.search(reply.text)):
        return SLOWER
    if reply.code == 421 or stage in (Stage.SESSION, Stage.SENDER):
        return TRANSIENT
    return STATUSES.get(reply.status, LATER)


def refined(status: str, diagnostic: str) -> str:
    """The most particular enhanced code of a report: some say 5.0.0 or 4.4.7 (gave up waiting) and leave the reason to
    the diagnostic."""
    inner = ENHANCED.search(diagnostic)
    generic = not status or status.endswith(".0.0") or status in ("4.4.7", "5.4.7")
    return inner[0] if inner and inner[1] != "2" and generic else status


def fault_of_report(status: str) -> Fault:
    """The meaning of a final failure with this enhanced code. Retryable ones are soft bounces."""
    if status.startswith("4.") or status == SOFT:
        return TRANSIENT
    fault = STATUSES.get(status, PERMANENT)
    if fault is BAD_ADDRESS:
        return Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.BOUNCE)
    return fault if fault.retryable else PERMANENT
