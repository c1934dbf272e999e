"""The words of the product's states, and the one table of moves a message may make."""

from collections.abc import Iterable
from enum import StrEnum


class Channel(StrEnum):
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    SMS = "sms"


class Direction(StrEnum):
    IN = "in"
    OUT = "out"


class MessageType(StrEnum):
    TEXT = "text"
    TEMPLATE = "template"
    MEDIA = "media"
    LOCATION = "location"
    AUDIO = "audio"


class Purpose(StrEnum):
    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RecipientState(StrEnum):
    """Where a recipient of a campaign stands at the step reached last."""

    PENDING = "pending"  # frozen into the audience, no decision yet
    HELD = "held"  # decided: not now (quiet hours, pause); `hold_until` says when to look again
    QUEUED = "queued"  # has a message that is claimed, waits for its sender, or whose outcome is unknown
    SENT = "sent"  # a provider accepted it
    SKIPPED = "skipped"  # every channel was refused by the gate
    FAILED = "failed"  # every allowed channel failed for good


class StopReason(StrEnum):
    """Why a recipient's sequence ended before its last step."""

    REPLIED = "replied"
    CONVERTED = "converted"
    OPTED_OUT = "opted_out"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    DELETED = "deleted"


class MessageStatus(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    SKIPPED = "skipped"
    RECEIVED = "received"


class SuppressionReason(StrEnum):
    STOP = "stop"
    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    INVALID = "invalid"
    MANUAL = "manual"


class OptOutScope(StrEnum):
    """What a no refuses."""

    ALL = "all"
    MARKETING = "marketing"  # transactional messages go on


_S = MessageStatus
ALLOWED_MOVES: dict[MessageStatus, frozenset[MessageStatus]] = {
    # straight to sent and beyond: a late answer or a receipt for a row that was queued again proves it had left
    _S.QUEUED: frozenset({_S.SENDING, _S.SENT, _S.DELIVERED, _S.READ, _S.FAILED, _S.SKIPPED}),
    # back to queued only when the provider surely did not accept it
    _S.SENDING: frozenset({_S.QUEUED, _S.UNKNOWN, _S.SENT, _S.DELIVERED, _S.READ, _S.FAILED}),
    # a webhook or a look-up resolves it; sending again only the same request, to a provider that knows its key; queued
    # again only by the policy for transactional messages
    _S.UNKNOWN: frozenset({_S.SENDING, _S.QUEUED, _S.SENT, _S.DELIVERED, _S.READ, _S.FAILED}),
    _S.SENT: frozenset({_S.DELIVERED, _S.READ, _S.FAILED}),
    _S.DELIVERED: frozenset({_S.READ}),
    # a receipt is proof against an earlier report of failure, never the other way round
    _S.FAILED: frozenset({_S.DELIVERED, _S.READ}),
    _S.READ: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.RECEIVED: frozenset(),
}


def may_move(current: MessageStatus, new: MessageStatus) -> bool:
    return new in ALLOWED_MOVES[current]


def sources_of(new: MessageStatus) -> list[str]:
    """The states from which a message may move to `new`, for a guarded update."""
    return [source.value for source, targets in ALLOWED_MOVES.items() if new in targets]


def settle(current: MessageStatus, reports: Iterable[MessageStatus]) -> MessageStatus:
    """The status after `reports`, in any order: each applies only where the table allows it."""
    for report in reports:
        if may_move(current, report):
            current = report
    return current
