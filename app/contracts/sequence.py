"""The sequence workflow: one contact's way through the follow-ups of one campaign."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

SEQUENCE_WORKFLOW = "sequence"
CONTACT_STOPPED = "contact_stopped"
DELIVERY_FAILED = "delivery_failed"
CAMPAIGN_RESUMED = "campaign_resumed"


@dataclass(frozen=True, kw_only=True)
class SequenceStep:
    """`due_at` is reckoned from the launch instant, never from the start of the sequence."""

    position: int
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class SequenceInput:
    tenant_id: UUID
    campaign_id: UUID
    contact_id: UUID
    steps: list[SequenceStep] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SequenceResult:
    ended: str  # a StopReason, or `exhausted`


@dataclass(frozen=True, kw_only=True)
class ContactStopped:
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeliveryFailed:
    """The message of this step failed for good on its channel, or has to be sent again: try what is left."""

    step: int


@dataclass(frozen=True, kw_only=True)
class SendStep:
    """`last`: nothing follows this step, so its outcome ends the sequence. `asked_at` is the engine's time, by which
    the workflow waits; the clock of the worker may be another."""

    tenant_id: UUID
    campaign_id: UUID
    contact_id: UUID
    step: int
    told: str = ""
    last: bool = False
    asked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class SendStepResult:
    """`outcome`: sent, unknown, held, paused, skipped, failed, retry or stopped. `hold_until` with held and retry;
    `reason` says why in the gate's word or the provider's. A sender that must be mended is told once, in `words`:
    whoever gives its key back in `told` is not told again. `ended`: the end of the sequence is noted with it."""

    outcome: str
    channel: str = ""
    reason: str = ""
    hold_until: datetime | None = None
    told: str = ""
    words: str = ""
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class SequenceEnded:
    tenant_id: UUID
    campaign_id: UUID
    contact_id: UUID
    reason: str
