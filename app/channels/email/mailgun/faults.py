"""Mailgun's refusals. It has no error codes: answers are told by HTTP status and words, reports by their reason.

https://documentation.mailgun.com/docs/mailgun/api-reference/
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from app.channels import faults
from app.channels.faults import ACCOUNT, BAD_ADDRESS, PERMANENT, RATE_LIMITED, TRANSIENT, Fault, FaultKind
from app.channels.http import MOST_WAIT
from app.channels.webhooks import mapping, text
from app.domain.status import SuppressionReason

BOUNCED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.BOUNCE)
COMPLAINED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.COMPLAINT)
UNSUBSCRIBED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.UNSUBSCRIBE)

# The words of these two are UNCONFIRMED; without them a 400 is of the message, and of nothing else.
BAD_RECIPIENT = re.compile(r"\bto\b.{0,20}parameter is not a valid address", re.IGNORECASE)
BAD_SENDER = re.compile(r"\bfrom\b.{0,20}parameter is not a valid address", re.IGNORECASE)
NOT_ALLOWED = "not allowed to send"  # unverified domain, restricted plan, account not activated
TRY_AGAIN = re.compile(r"try again after (.{10,60})", re.IGNORECASE)

# `failed` and permanent: refused because of Mailgun's own suppression lists
LISTED = {"suppress-bounce": BOUNCED, "suppress-complaint": COMPLAINED, "suppress-unsubscribe": UNSUBSCRIBED}
# Mailgun's own numbers among the SMTP codes; 606 is UNCONFIRMED. 498 and 499: gave up after many tries
CODES = {"605": BOUNCED, "606": UNSUBSCRIBED, "607": COMPLAINED, "498": TRANSIENT, "499": TRANSIENT}
# Enhanced status codes (RFC 3463) which say that nobody can be reached there
DEAD_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1"})
SOFT = frozenset({"5.2.2"})  # a full mailbox
ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")


def fault_of_answer(status: int, words: str) -> Fault:
    """The meaning of a refused request. A 5xx may have been accepted."""
    if status == 400 and (NOT_ALLOWED in words or BAD_SENDER.search(words)):
        return ACCOUNT
    if status == 400 and BAD_RECIPIENT.search(words):
        return BAD_ADDRESS
    if status == 404:  # the only thing looked for in a send is the domain: it is unknown, or of the other region
        return ACCOUNT
    return RATE_LIMITED if status == 429 else faults.of_status(status)


def wait_of(words: str) -> timedelta | None:
    """Until when a limit holds, as its words say it."""
    found = TRY_AGAIN.search(words)
    try:
        until = parsedate_to_datetime(found[1].strip()) if found else None
    except (ValueError, OverflowError):  # a year of twenty digits
        return None
    if until is None:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - datetime.now(UTC), timedelta(seconds=1)), MOST_WAIT)


def fault_of_report(event: Mapping[str, Any]) -> Fault:
    """The meaning of a `rejected` or a permanent `failed`."""
    if event.get("event") == "rejected":
        return PERMANENT
    status, reason = mapping(event.get("delivery-status")), text(event.get("reason"))
    code, enhanced = text(status.get("code")), enhanced_code(status)
    known = LISTED.get(reason) or CODES.get(code)
    if known is not None:
        return known
    if enhanced in SOFT or (enhanced or code).startswith("4") or reason == "old":
        return TRANSIENT
    if enhanced.startswith("5.7."):  # policy: of us or of the text, whatever the reason calls it
        return PERMANENT
    return BOUNCED if reason == "bounce" or enhanced in DEAD_ADDRESS else PERMANENT


def enhanced_code(status: Mapping[str, Any]) -> str:
    """The enhanced code of a `delivery-status`, which may stand in its message only."""
    given = text(status.get("enhanced-code"))
    found = ENHANCED.fullmatch(given) or ENHANCED.search(text(status.get("message"))[:1_000])
    return found[0] if found else ""
