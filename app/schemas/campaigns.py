"""Campaigns: what to send to whom, how it stands, and why a recipient got something or nothing."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from app.domain.status import CampaignStatus, Channel, Purpose, RecipientState, StopReason
from app.schemas.base import Body, Reply, UtcTime
from app.schemas.messages import FallbackAfter, MessageRead

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Exit = Literal["reply", "conversion"]


def _every_exit() -> list[Exit]:
    return ["reply", "conversion"]


class Followup(Body):
    after_days: float = Field(gt=0, le=365, description="Days after the launch, in ascending order.")
    template_id: UUID
    channel: Channel | None = Field(None, description="Absent takes the primary channel.")


class CampaignCreate(Body):
    name: Name
    primary_channel: Channel
    fallback_order: list[Channel] = Field(default_factory=list, max_length=2, description="Tried next, in this order.")
    fallback_after_minutes: FallbackAfter = None
    template_id: UUID
    segment: dict[str, Any] = Field(default_factory=dict, description="Who; `{}` is everyone.")
    scheduled_at_utc: UtcTime | None = Field(None, description="When to begin; absent is at the launch.")
    followups: list[Followup] = Field(default_factory=list, max_length=20)
    exit_on: list[Exit] = Field(
        default_factory=_every_exit,
        description="What ends a contact's follow-ups; an opt-out always does.",
    )
    variables: dict[str, Any] = Field(default_factory=dict, description="The templates' own variables.")
    quiet_hours: dict[str, Any] | None = Field(
        None,
        description="Absent takes the tenant's (21:00 to 08:00 in the contact's zone), `null` is none.",
        examples=[{"start": "21:00", "end": "08:00"}],
    )
    purpose: Purpose = Purpose.MARKETING
    launch: bool = Field(False, description="Launch it at once.")

    def templates_on(self, channel: Channel) -> set[UUID]:
        """The templates that may leave on the channel."""
        if channel in {self.primary_channel, *self.fallback_order}:
            return {self.template_id, *(step.template_id for step in self.followups)}
        return {step.template_id for step in self.followups if step.channel is channel}


class FollowupRead(Reply):
    position: int
    after_days: float
    template_id: UUID
    channel: Channel | None


class Counts(Reply):
    """Recipients are people, messages are what went out: one person may get several."""

    recipients: int = Field(0, description="People in the audience.")
    queued: int = Field(0, description="People not decided yet, and messages claimed but not accepted yet.")
    sent: int = Field(0, description="Messages that a provider accepted, whatever came afterwards.")
    delivered: int = Field(0, description="Messages reported as delivered or read.")
    read: int = Field(0, description="Messages reported as read.")
    clicked: int = Field(0, description="Messages in which a link was clicked.")
    replied: int = Field(0, description="People who replied.")
    converted: int = Field(0, description="People who bought.")
    failed: int = Field(0, description="Messages that failed for good; a fallback is a message of its own.")
    skipped: int = Field(0, description="People whom no channel may reach; see `skipped_by_reason`.")
    held: int = Field(0, description="People who wait for the end of quiet hours or of a pause.")
    opted_out: int = Field(0, description="People whose sequence ended by an opt-out.")
    unknown: int = Field(0, description="Messages of which it is not known yet whether the provider accepted them.")
    armed: int = Field(0, description="People whose follow-ups are armed.")
    active: int = Field(0, description="People whose follow-ups are armed and not over.")


class MessageCounts(Reply):
    """Messages only, counted as in `counts`."""

    queued: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    clicked: int = 0
    replied: int = 0
    failed: int = 0
    unknown: int = 0


class Waiting(Reply):
    """Something that stands still, and what lets it go on."""

    reason: str = Field(description="For programs; the list is in the guide.")
    detail: str = Field(description="For people; with the provider's code and words where it is the provider.")
    count: int = Field(description="How many people or messages wait for it.")
    since: datetime | None
    until: datetime | None = Field(description="When it goes on, or is tried again; `null`: when somebody acts.")
    what_to_do: str
    channel_setting_id: UUID | None = None


class CampaignRead(Reply):
    id: UUID
    name: str
    status: CampaignStatus
    status_detail: str
    primary_channel: Channel
    fallback_order: list[Channel]
    fallback_after_minutes: float | None
    template_id: UUID
    segment: dict[str, Any]
    variables: dict[str, Any]
    followups: list[FollowupRead]
    exit_on: list[str]
    quiet_hours: dict[str, Any] | None = Field(description="`null`: the tenant's; `{}`: none.")
    purpose: Purpose
    scheduled_at_utc: datetime | None
    launched_at: datetime | None = Field(description="The instant from which follow-ups are reckoned.")
    finished_at: datetime | None
    counts: Counts
    skipped_by_reason: dict[str, int]
    held_by_reason: dict[str, int]
    by_channel: dict[Channel, MessageCounts]
    by_step: dict[str, MessageCounts] = Field(description="0 is the launch, 1 and on the follow-ups.")
    waiting: list[Waiting] | None = Field(None, description="What stands still, and why; `null` in lists.")
    workflow_id: str
    workflow_url: str
    created_at: datetime
    updated_at: datetime


class RecipientRead(Reply):
    contact_id: UUID
    first_name: str
    last_name: str
    state: RecipientState
    step: int
    reason: str
    hold_until: datetime | None
    stop_reason: StopReason | None
    stopped_at: datetime | None
    replied_at: datetime | None
    converted_at: datetime | None
    armed_at: datetime | None
    ended_at: datetime | None


class DecisionRead(Reply):
    """A verdict of the gate and all that it looked at."""

    at: datetime
    step: int
    channel: Channel
    verdict: str
    reason: str
    hold_until: datetime | None
    message_id: UUID | None
    inputs: dict[str, Any]


class WhyRead(Reply):
    recipient: RecipientRead
    decisions: list[DecisionRead] = Field(description="In the order of time.")
    messages: list[MessageRead]
    workflow_id: str = Field(description="The contact's own sequence.")
    workflow_url: str


_ID = "0199a1b0-0000-7000-8000-00000000000"
CREATE_EXAMPLE = {
    "name": "Spring sale",
    "primary_channel": "whatsapp",
    "fallback_order": ["sms", "email"],
    "fallback_after_minutes": 120,
    "template_id": f"{_ID}2",
    "segment": {"all": [{"field": "tags", "op": "contains", "value": "vip"}]},
    "followups": [
        {"after_days": 1, "template_id": f"{_ID}2"},
        {"after_days": 3, "template_id": f"{_ID}2", "channel": "email"},
    ],
    "variables": {"code": "SPRING10"},
    "launch": True,
}
READ_EXAMPLE = {
    "id": f"{_ID}4",
    "name": "Spring sale",
    "status": "running",
    "status_detail": "",
    "primary_channel": "whatsapp",
    "fallback_order": ["sms", "email"],
    "fallback_after_minutes": 120.0,
    "template_id": f"{_ID}2",
    "segment": CREATE_EXAMPLE["segment"],
    "variables": {"code": "SPRING10"},
    "followups": [
        {"position": 1, "after_days": 1.0, "template_id": f"{_ID}2", "channel": None},
        {"position": 2, "after_days": 3.0, "template_id": f"{_ID}2", "channel": "email"},
    ],
    "exit_on": ["reply", "conversion"],
    "quiet_hours": None,
    "purpose": "marketing",
    "scheduled_at_utc": None,
    "launched_at": "2026-05-01T12:00:00Z",
    "finished_at": None,
    "counts": {
        **Counts(recipients=100, sent=90, delivered=80, read=40, failed=5, skipped=10, armed=90, active=90).model_dump()
    },
    "skipped_by_reason": {"no_consent": 10},
    "held_by_reason": {},
    "by_channel": {"whatsapp": MessageCounts(sent=85, delivered=75, read=40, failed=5).model_dump()},
    "by_step": {"0": MessageCounts(sent=90, delivered=80, read=40, failed=5).model_dump()},
    "waiting": [
        {
            "reason": "quiet_hours",
            "detail": "7 people waiting for the end of their quiet hours.",
            "count": 7,
            "since": "2026-05-01T12:00:00Z",
            "until": "2026-05-02T07:00:00Z",
            "what_to_do": "Nothing: it goes on by itself.",
            "channel_setting_id": None,
        }
    ],
    "workflow_id": f"camp/{_ID}9/{_ID}4",
    "workflow_url": f"http://127.0.0.1:8233/namespaces/relay/workflows/camp%2F{_ID}9%2F{_ID}4",
    "created_at": "2026-05-01T12:00:00Z",
    "updated_at": "2026-05-01T12:00:00Z",
}
RECIPIENT_EXAMPLE = {
    "contact_id": f"{_ID}3",
    "first_name": "Ana",
    "last_name": "Silva",
    "state": "skipped",
    "step": 0,
    "reason": "no_consent",
    "hold_until": None,
    "stop_reason": None,
    "stopped_at": None,
    "replied_at": None,
    "converted_at": None,
    "armed_at": None,
    "ended_at": None,
}
WHY_EXAMPLE = {
    "recipient": RECIPIENT_EXAMPLE,
    "decisions": [
        {
            "at": "2026-05-01T12:00:01Z",
            "step": 0,
            "channel": "whatsapp",
            "verdict": "skip",
            "reason": "no_consent",
            "hold_until": None,
            "message_id": None,
            "inputs": {"purpose": "marketing", "opt_in_at": None},
        }
    ],
    "messages": [],
    "workflow_id": f"seq/{_ID}9/{_ID}4/{_ID}3",
    "workflow_url": f"http://127.0.0.1:8233/namespaces/relay/workflows/seq%2F{_ID}9%2F{_ID}4%2F{_ID}3",
}
