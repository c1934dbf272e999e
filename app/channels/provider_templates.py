"""Templates that a provider keeps and has to approve, and the part of the port that reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTemplate:
    """One language of a template. `status`, `category`, `reason` and `quality` are the provider's words; `components`
    None: the provider did not show them."""

    provider_id: str
    name: str
    language: str
    category: str
    status: str
    reason: str = ""
    quality: str = ""
    components: Sequence[Mapping[str, Any]] | None = None


@runtime_checkable
class ListsTemplates(Protocol):
    """An adapter whose provider approves templates."""

    @property
    def business_account(self) -> str:
        """The account that owns the templates, as the provider's reports on them name it."""
        ...

    async def list_templates(self, name: str = "") -> list[ProviderTemplate]:
        """All of them, or every language of one. Raises ProviderUnavailable or RateLimited when it can be asked again
        later, and another SendError when these credentials are not shown any."""
        ...
