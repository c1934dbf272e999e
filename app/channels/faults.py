"""What a provider's error code means. Each adapter has one table of these, used by `send` and by `parse` alike."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from app.domain.status import SuppressionReason
from app.errors import (
    MessageRejected,
    OutcomeUnknown,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    SendError,
    UnsupportedFeature,
)


class FaultKind(Enum):
    PERMANENT = auto()  # of this message
    TRANSIENT = auto()  # refused for now
    RATE_LIMITED = auto()
    ACCOUNT = auto()  # of the sender or its credentials
    UNSUPPORTED = auto()
    AMBIGUOUS = auto()  # it may have been accepted


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """`retry_after` is used where the answer itself names no time; `repeat_settles` as in OutcomeUnknown,
    `marketing_only` and `limited` as in MessageRejected."""

    kind: FaultKind
    retry_after: timedelta | None = None
    recipient_only: bool = False
    suppress: SuppressionReason | None = None
    repeat_settles: bool = True
    marketing_only: bool = False
    limited: timedelta | None = None

    @property
    def retryable(self) -> bool:
        """Whether a message that failed with it *after* it was accepted may be tried again later."""
        return self.kind in (FaultKind.TRANSIENT, FaultKind.RATE_LIMITED)

    def error(self, detail: str, *, code: str, retry_after: timedelta | None = None) -> SendError:
        """The exception for a send that was answered with it."""
        wait = retry_after if retry_after is not None else self.retry_after
        match self.kind:
            case FaultKind.PERMANENT:
                return MessageRejected(
                    detail,
                    provider_code=code,
                    suppress=self.suppress,
                    marketing_only=self.marketing_only,
                    limited=self.limited,
                )
            case FaultKind.TRANSIENT:
                return ProviderUnavailable(detail, provider_code=code, retry_after=wait)
            case FaultKind.RATE_LIMITED:
                return RateLimited(detail, provider_code=code, retry_after=wait, recipient_only=self.recipient_only)
            case FaultKind.ACCOUNT:
                return ProviderMisconfigured(detail, provider_code=code)
            case FaultKind.UNSUPPORTED:
                return UnsupportedFeature(detail, provider_code=code)
            case FaultKind.AMBIGUOUS:
                return OutcomeUnknown(detail, provider_code=code, repeat_settles=self.repeat_settles)


PERMANENT = Fault(kind=FaultKind.PERMANENT)
TRANSIENT = Fault(kind=FaultKind.TRANSIENT)
RATE_LIMITED = Fault(kind=FaultKind.RATE_LIMITED)
ACCOUNT = Fault(kind=FaultKind.ACCOUNT)
UNSUPPORTED = Fault(kind=FaultKind.UNSUPPORTED)
AMBIGUOUS = Fault(kind=FaultKind.AMBIGUOUS)
OPTED_OUT = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.STOP)
NO_MARKETING = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.STOP, marketing_only=True)
BAD_ADDRESS = Fault(kind=FaultKind.PERMANENT, suppress=SuppressionReason.INVALID)


def of_status(status: int) -> Fault:
    """The meaning of an HTTP status where the answer carries no code of the provider."""
    if status in (401, 403) or 300 <= status < 400:  # an API never redirects: the base URL is wrong
        return ACCOUNT
    if status == 429:
        return RATE_LIMITED
    return AMBIGUOUS if status >= 500 or status < 300 else PERMANENT
