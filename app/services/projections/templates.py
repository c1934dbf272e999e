"""Reports on templates: approved, rejected, paused, put into another category."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.channels.base import EventKind
from app.repositories import provider_templates
from app.repositories.webhook_events import StoredEvent


async def project_templates(session: AsyncSession, tenant_id: UUID, events: Sequence[StoredEvent]) -> None:
    """A launch from now on sees it. In the order in which things happened; what is older than what is known is left."""
    reports = [event for event in events if event.kind is EventKind.TEMPLATE_STATUS]
    for event in sorted(reports, key=lambda event: event.at):
        facts = {name: str(event.data.get(name, "")) for name in ("name", "language", "category", "quality")}
        if not facts["name"] or not facts["language"]:
            continue  # the fact of it is kept
        await provider_templates.report(
            session,
            tenant_id,
            event.settings_id,
            event.at,
            **facts,
            account=str(event.data.get("business_account", "")),
            provider_id=str(event.data.get("template_id", "")),
            status=str(event.data.get("event", "")).upper(),
            reason=_reason(event),
        )


def _reason(event: StoredEvent) -> str:
    """The provider's code for it, with its words where it has any."""
    reason = str(event.data.get("reason", ""))
    info = event.data.get("rejection_info")
    words = str(info.get("reason", "")) if isinstance(info, dict) else ""
    named = "" if reason.upper() == "NONE" else reason
    return f"{named}: {words}" if named and words and words != named else named or words
