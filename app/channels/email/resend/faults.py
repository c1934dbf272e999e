"""Resend's refusals, told by their name.

https://resend.com/docs/api-reference/errors
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.channels import faults
from app.channels.faults import ACCOUNT, AMBIGUOUS, PERMANENT, RATE_LIMITED, TRANSIENT, Fault, FaultKind
from app.channels.webhooks import mapping, text
from app.domain.status import SuppressionReason

BOUNCED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.BOUNCE)
COMPLAINED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.COMPLAINT)
LISTED = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.MANUAL)
# The key was used before with another body: that request may have been accepted, and this one can't tell.
KEY_REUSED = Fault(kind=FaultKind.AMBIGUOUS, repeat_settles=False)

# 5xx and a request under way are ambiguous: the same request with the same key settles them.
ERRORS: dict[str, Fault] = {
    "invalid_idempotency_key": PERMANENT,
    "missing_api_key": ACCOUNT,
    "restricted_api_key": ACCOUNT,
    "invalid_api_key": ACCOUNT,
    "suspended_api_key": ACCOUNT,
    "invalid_permission": ACCOUNT,
    "invalid_from_address": ACCOUNT,
    "invalid_access": ACCOUNT,
    "invalid_region": PERMANENT,
    "not_found": PERMANENT,
    "method_not_allowed": PERMANENT,
    "concurrent_idempotent_requests": AMBIGUOUS,
    "invalid_idempotent_request": KEY_REUSED,
    "resource_locked": TRANSIENT,
    "missing_required_field": PERMANENT,
    "missing_required_parameter": PERMANENT,
    "invalid_parameter": PERMANENT,
    "invalid_attachment": PERMANENT,
    "rate_limit_exceeded": RATE_LIMITED,
    "monthly_quota_exceeded": ACCOUNT,  # until the plan begins anew, or is enlarged
    "security_error": PERMANENT,
    "application_error": AMBIGUOUS,
    "internal_server_error": AMBIGUOUS,
    "service_unavailable": AMBIGUOUS,
}
EDGE_WITHOUT_USER_AGENT = "1010"

# `email.bounced`: only these say that nobody can be reached there
DEAD_ADDRESS = frozenset({"General", "NoEmail"})
# and these that it is the message
NOT_THE_ADDRESS = frozenset({"MessageTooLarge", "ContentRejected", "AttachmentRejected"})
SUPPRESSED = {"previous_bounce": BOUNCED, "previous_complaint": COMPLAINED}


def fault_of_answer(status: int, name: str, detail: str = "") -> Fault:
    """The meaning of a refused request. `validation_error` is of the message, but with 403 of the sending domain."""
    if name == "validation_error":
        return ACCOUNT if status == 403 else PERMANENT
    if name == "daily_quota_exceeded":
        return Fault(kind=FaultKind.RATE_LIMITED, retry_after=_until_midnight(datetime.now(UTC)))
    if status == 403 and not name and EDGE_WITHOUT_USER_AGENT in detail:
        return PERMANENT
    return ERRORS.get(name) or faults.of_status(status)


def _until_midnight(now: datetime) -> timedelta:
    """Daily quotas begin anew at 00:00 UTC."""
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return tomorrow - now


def fault_of_report(kind: str, data: Mapping[str, Any]) -> Fault:
    """The meaning of `email.bounced`, `email.suppressed` or `email.failed`."""
    if kind == "email.bounced":
        bounce = mapping(data.get("bounce"))
        if bounce.get("type") == "Permanent":
            return BOUNCED if text(bounce.get("subType")) in DEAD_ADDRESS else PERMANENT
        return TRANSIENT if bounce.get("type") == "Transient" else PERMANENT
    if kind == "email.suppressed":
        return SUPPRESSED.get(text(mapping(data.get("suppressed")).get("reason")), LISTED)
    quota = "quota" in text(mapping(data.get("failed")).get("reason"))
    return RATE_LIMITED if quota else PERMANENT


def is_soft_bounce(data: Mapping[str, Any]) -> bool:
    """Whether an `email.bounced` counts against the address, which one alone does not end."""
    bounce = mapping(data.get("bounce"))
    dead = bounce.get("type") == "Permanent" and text(bounce.get("subType")) in DEAD_ADDRESS
    return not dead and text(bounce.get("subType")) not in NOT_THE_ADDRESS
