"""The error tree. One handler renders every `AppError` as a problem document (RFC 9457).

AppError                            has code and http_status
├─ NotFound 404, PermissionDenied 403, Unauthenticated 401, InvalidInput 422, InvalidSignature 401
├─ Malformed 400, TooLarge 413, EngineUnavailable 503, ApprovalUnknown 503
├─ Conflict 409                     InvalidTransition, AlreadyExists
└─ SendError                        has retryable and retry_after; as_activity_failure() turns it into ApplicationError
   ├─ retry: ProviderUnavailable (refused before acceptance), RateLimited (honours retry_after)
   ├─ stop:  MessageRejected (bad address), ProviderMisconfigured (bad key), UnsupportedFeature
   └─ unknown: OutcomeUnknown (the request may have been accepted: never sent again blindly)
"""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldError:
    """One bad field: `pointer` is a JSON pointer into the body (`/segment/all/0/field`) or `?name` for a query."""

    pointer: str
    detail: str


class AppError(Exception):
    code = "error"
    http_status = 500
    title = "Error"

    def __init__(self, detail: str, *, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []


class NotFound(AppError):
    code, http_status, title = "not_found", 404, "Not found"


class PermissionDenied(AppError):
    code, http_status, title = "permission_denied", 403, "Permission denied"


class Unauthenticated(AppError):
    code, http_status, title = "unauthenticated", 401, "Not authenticated"


class InvalidInput(AppError):
    code, http_status, title = "invalid_input", 422, "Invalid input"

    @classmethod
    def at(cls, pointer: str, detail: str) -> "InvalidInput":
        return cls(detail, errors=[FieldError(pointer=pointer, detail=detail)])


class InvalidSignature(AppError):
    code, http_status, title = "invalid_signature", 401, "Invalid signature"


class Malformed(AppError):
    """The bytes are not what the content type says."""

    code, http_status, title = "malformed", 400, "Malformed request"


class TooLarge(AppError):
    code, http_status, title = "too_large", 413, "Body too large"


class EngineUnavailable(AppError):
    code, http_status, title = "engine_unavailable", 503, "Workflow engine unavailable"


class ApprovalUnknown(AppError):
    """A provider that has to approve templates cannot be asked whether it did."""

    code, http_status, title = "approval_unknown", 503, "Approval unknown"


class Conflict(AppError):
    code, http_status, title = "conflict", 409, "Conflict"


class InvalidTransition(Conflict):
    code, title = "invalid_transition", "Not possible in this state"


class AlreadyExists(Conflict):
    code, title = "already_exists", "Already exists"


class SendError(AppError):
    """A provider did not accept a message. `provider_code` and `detail` carry the provider's own code and words."""

    code, http_status, title = "send_failed", 502, "Provider refused"
    retryable = False

    def __init__(self, detail: str, *, provider_code: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.provider_code = provider_code
        self.retry_after = retry_after


class ProviderUnavailable(SendError):
    """Refused before acceptance: sending again is safe."""

    code, retryable = "provider_unavailable", True


class RateLimited(SendError):
    """`recipient_only` is true when other recipients may go on (a pair limit)."""

    code, retryable = "rate_limited", True

    def __init__(
        self,
        detail: str,
        *,
        provider_code: str = "",
        retry_after: timedelta | None = None,
        recipient_only: bool = False,
    ) -> None:
        super().__init__(detail, provider_code=provider_code, retry_after=retry_after)
        self.recipient_only = recipient_only

    @property
    def pause(self) -> timedelta:
        """How long nothing more is sent."""
        return self.retry_after if self.retry_after is not None else timedelta(seconds=1)


class MessageRejected(SendError):
    """Permanent for this message. `suppress` says why its address should not be used again, if so; `marketing_only`:
    not for marketing. `limited`: the provider takes no marketing for this person for so long, from anybody."""

    code = "message_rejected"

    def __init__(
        self,
        detail: str,
        *,
        provider_code: str = "",
        suppress: str | None = None,
        marketing_only: bool = False,
        limited: timedelta | None = None,
    ) -> None:
        super().__init__(detail, provider_code=provider_code)
        self.suppress = suppress
        self.marketing_only, self.limited = marketing_only, limited


class ProviderMisconfigured(SendError):
    """The sender, not the message, is at fault (bad key, missing permission): wait for the mend."""

    code = "provider_misconfigured"


class UnsupportedFeature(SendError):
    code = "unsupported_feature"


class OutcomeUnknown(SendError):
    """The request may have been accepted: never sent again blindly."""

    code = "outcome_unknown"

    def __init__(self, detail: str, *, provider_code: str = "", repeat_settles: bool = True) -> None:
        """`repeat_settles`: where the provider knows our key, the same request once more tells what became of it."""
        super().__init__(detail, provider_code=provider_code)
        self.repeat_settles = repeat_settles
