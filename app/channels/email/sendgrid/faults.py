"""SendGrid's refusals. It has no error codes: answers are told by HTTP status and field, reports by their reason.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.channels import faults
from app.channels.faults import ACCOUNT, BAD_ADDRESS, PERMANENT, TRANSIENT, Fault, FaultKind
from app.channels.webhooks import mapping, text
from app.domain.status import SuppressionReason

PERSONALIZATION = re.compile(r"personalizations\.([0-9]{1,4})(?![0-9])")
RECIPIENT = re.compile(r"personalizations\.[0-9]{1,4}\.to(?![a-z])")
BOUNCED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.BOUNCE)

# `dropped`: refused before sending, mostly because of SendGrid's own suppression lists
DROPPED: dict[str, Fault] = {
    "unsubscribed address": Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.UNSUBSCRIBE),
    "bounced address": BOUNCED,
    "spam reporting address": Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.COMPLAINT),
    "invalid": BAD_ADDRESS,
    "invalid smtpapi header": PERMANENT,
    "spam content": PERMANENT,
    "recipient list over package quota": ACCOUNT,
}
# Enhanced status codes (RFC 3463) which say that nobody can be reached there
DEAD_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1"})
# Bounces that say something about us or our text, not about the address
NOT_THE_ADDRESS = frozenset({"content", "reputation", "frequency or volume too high", "technical", "technical failure"})


@dataclass(frozen=True, slots=True)
class Complaint:
    """One of the errors of a refused request; `index` is the personalization's that it names."""

    field: str
    words: str
    index: int | None


def complaints_of(answer: Any) -> list[Complaint]:
    """What a refused request's body says; whatever its shape."""
    errors = mapping(answer).get("errors")
    found = [mapping(error) for error in errors] if isinstance(errors, list) else []
    return [_complaint(text(error.get("field")), text(error.get("message"))) for error in found]


def _complaint(field: str, words: str) -> Complaint:
    named = PERSONALIZATION.match(field)
    return Complaint(field, words, int(named[1]) if named else None)


def fault_of_answer(status: int, field: str) -> Fault:
    """The meaning of a refused request; `field` is the one SendGrid complains about. A 5xx may have been accepted."""
    if status == 400 and RECIPIENT.match(field):
        return BAD_ADDRESS
    if status == 400 and (field == "from" or field.startswith("from.")):
        return ACCOUNT
    return faults.of_status(status)


def fault_of_report(event: Mapping[str, Any]) -> Fault:
    """The meaning of a `dropped` or `bounce` event."""
    if event.get("event") == "dropped":
        return DROPPED.get(text(event.get("reason")).strip().lower(), PERMANENT)
    if event.get("type") == "blocked":
        hard = text(event.get("status")).startswith("5")
        return PERMANENT if hard else TRANSIENT  # of this one try; a block says nothing lasting about the address
    return BOUNCED if _is_dead(event) else PERMANENT


def _is_dead(event: Mapping[str, Any]) -> bool:
    """Whether nobody is there. Without a classification a hard bounce means that, unless it is a full mailbox or a
    refusal by policy; with another one only a code that says so."""
    status, classification = text(event.get("status")), _classification(event)
    if classification == "invalid address":
        return True
    if classification in NOT_THE_ADDRESS:
        return False
    return status in DEAD_ADDRESS or (
        not classification and status.startswith("5") and status != "5.2.2" and not status.startswith("5.7.")
    )


def bounce_of(event: Mapping[str, Any]) -> str:
    """Of a `bounce` event: hard ends the address, several soft ones do, a block is no fault of the address at all."""
    if fault_of_report(event).suppress is not None:
        return "hard"
    policy = text(event.get("status")).startswith("5.7.")
    return "block" if policy or _classification(event) in NOT_THE_ADDRESS else "soft"


def _classification(event: Mapping[str, Any]) -> str:
    return text(event.get("bounce_classification")).strip().lower()
