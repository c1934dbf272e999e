"""The campaign workflow: freeze the audience, send page by page, arm the follow-ups."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

CAMPAIGN_WORKFLOW = "campaign"
PAUSE = "pause"
RESUME = "resume"
CANCEL = "cancel"
STANDSTILL = "standstill"


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
    """`starts_at` is in the future: ask again then. `finished`: step 0 and the arming were done by an earlier run; this
    one only carries out a command."""

    status: str
    starts_at: datetime | None = None
    finished: bool = False
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
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class SendPageResult:
    """`status` is the campaign's, or `standstill`. Other than running means that recipients are left and the page is to
    be given again. A standstill is told once, in `words`: whoever gives its key back in `told` is not told again."""

    sent: int
    status: str
    told: str = ""
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class SendHeld:
    """Send the held recipients whose time has come."""

    tenant_id: UUID
    campaign_id: UUID
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class HeldResult:
    """`next_at` is when the next held recipient may be sent to; None when nobody is held."""

    sent: int
    next_at: datetime | None
    status: str
    told: str = ""
    words: str = ""
    waiting: str = ""  # how many are held, and why, for the engine's UI


@dataclass(frozen=True, kw_only=True)
class ArmPage:
    """`page` None: everybody of the campaign that is not armed yet. Ends after about `most` recipients."""

    tenant_id: UUID
    campaign_id: UUID
    page: Page | None
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class ArmPageResult:
    """`rest`: what of the page is still to be armed."""

    armed: int
    rest: Page | None = None
