"""The campaign workflow: freeze the audience, send page by page, arm the follow-ups."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

CAMPAIGN_WORKFLOW = "campaign"
PAUSE = "pause"
RESUME = "resume"
CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True)
class Page:
    """The recipients with `after < contact_id <= last`; `after` None is the beginning."""

    after: UUID | None
    last: UUID
    size: int


@dataclass(frozen=True, kw_only=True)
class CampaignInput:
    tenant_id: UUID
    campaign_id: UUID
    scheduled_at: datetime | None = None
    # carried over by continue-as-new
    after_contact: UUID | None = None
    frozen: bool = False
    unsent_pages: list[Page] = field(default_factory=list)
    unarmed_pages: list[Page] = field(default_factory=list)
    recipients: int = 0
    armed: int = 0
    began: bool = False


@dataclass(frozen=True, kw_only=True)
class CampaignResult:
    status: str
    recipients: int
    armed: int


@dataclass(frozen=True, kw_only=True)
class CampaignRef:
    tenant_id: UUID
    campaign_id: UUID


@dataclass(frozen=True, kw_only=True)
class CampaignPlan:
    """`runs` is false when there is nothing to do any more (cancelled before its start)."""

    runs: bool
    has_followups: bool = False
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class FreezePages:
    tenant_id: UUID
    campaign_id: UUID
    after_contact: UUID | None


@dataclass(frozen=True, kw_only=True)
class FrozenPages:
    pages: list[Page]
    complete: bool


@dataclass(frozen=True, kw_only=True)
class SendPage:
    tenant_id: UUID
    campaign_id: UUID
    page: Page


@dataclass(frozen=True, kw_only=True)
class SendPageResult:
    """`paused`: the campaign was paused or cancelled with recipients left; the page must be given again."""

    sent: int
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class SendHeld:
    """Send the held recipients whose time has come."""

    tenant_id: UUID
    campaign_id: UUID


@dataclass(frozen=True, kw_only=True)
class HeldResult:
    """`next_at` is when the next held recipient may be sent to; None when nobody is held with a time. `arm` names the
    pages that now hold contacts whose follow-ups are not armed."""

    sent: int
    next_at: datetime | None
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class ArmPage:
    """`page` None: everybody of the campaign that is not armed yet."""

    tenant_id: UUID
    campaign_id: UUID
    page: Page | None


@dataclass(frozen=True, kw_only=True)
class ArmPageResult:
    armed: int


@dataclass(frozen=True, kw_only=True)
class CampaignEnded:
    tenant_id: UUID
    campaign_id: UUID


@dataclass(frozen=True, kw_only=True)
class ResumeHeld:
    """Signal the sequences whose due step a pause held."""

    tenant_id: UUID
    campaign_id: UUID
