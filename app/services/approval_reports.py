"""How the templates of a tenant stand with the providers that have to approve them, as answers show it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.approval import APPROVED, Use, uses_of
from app.domain.status import Channel
from app.models import ProviderTemplate, Template
from app.repositories import channel_settings, provider_templates
from app.repositories.provider_templates import Key
from app.schemas.approvals import (
    Approval,
    ProviderTemplateRead,
    RefreshedSetting,
    RefreshProblem,
    TemplatesRefreshed,
)
from app.schemas.templates import TemplateRead
from app.services.approvals import Refreshed


async def show(session: AsyncSession, tenant_id: UUID, found: Sequence[Template]) -> list[TemplateRead]:
    """Templates with the approvals of every language that has a WhatsApp template."""
    uses = {template.id: uses_of(template.core_schema_json) for template in found}
    keys = {use.key for used in uses.values() for use in used}
    known: dict[Key, ProviderTemplate] = {}
    if keys and (sender := await channel_settings.sending(session, tenant_id, Channel.WHATSAPP)):
        known = await provider_templates.known(session, tenant_id, sender, keys)
    return [
        TemplateRead.model_validate(template).model_copy(
            update={"approvals": [_approval(template, use, known.get(use.key)) for use in uses[template.id]]}
        )
        for template in found
    ]


async def not_approved(
    session: AsyncSession, tenant_id: UUID, core_schemas: Sequence[dict[str, Any]]
) -> list[ProviderTemplate]:
    """The WhatsApp templates of these core schemas that are known to be in another state than approved."""
    keys = {use.key for schema in core_schemas for use in uses_of(schema)}
    sender = await channel_settings.sending(session, tenant_id, Channel.WHATSAPP) if keys else None
    known = await provider_templates.known(session, tenant_id, sender, keys) if sender else {}
    return [known[key] for key in sorted(known) if known[key].status not in ("", APPROVED)]


def refreshed(settings: Sequence[Refreshed]) -> TemplatesRefreshed:
    """The lists that were read. Raises the provider's error when none could be."""
    errors = [it.error for it in settings if it.error is not None]
    if errors and len(errors) == len(settings):
        raise errors[0]
    items = [ProviderTemplateRead.of(row) for it in settings for row in it.rows]
    return TemplatesRefreshed(
        settings=[_setting(it) for it in settings],
        counts=dict(Counter(item.status for item in items)),
        items=items,
        total=len(items),
    )


def _approval(template: Template, use: Use, row: ProviderTemplate | None) -> Approval:
    name, language = use.key
    return Approval(
        lang=use.lang or template.lang,
        name=name,
        language=language,
        status=row.status if row and row.status else None,
        category=row.category if row else "",
        reason=row.reason if row else "",
        refreshed_at=row.heard_at if row else None,
    )


def _setting(it: Refreshed) -> RefreshedSetting:
    error = RefreshProblem(code=it.error.provider_code or it.error.code, detail=it.error.detail) if it.error else None
    return RefreshedSetting(
        channel_setting_id=it.sender.settings_id, provider=it.sender.provider, total=len(it.rows), error=error
    )
