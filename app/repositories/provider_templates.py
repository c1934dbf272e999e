"""What providers said of their templates. A list that was read and a webhook may cross: the later word stays."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.channels.provider_templates import ProviderTemplate as Listed
from app.models import ProviderTemplate

Key = tuple[str, str]  # name and language

# A provider's clock may be behind ours by so much: reports on a template carry its time, and lists ours.
_SKEW = "interval '1 minute'"
_KEEP = text(
    """
    INSERT INTO provider_templates AS known (tenant_id, settings_id, account, provider_id, name, language, category,
                                             status, reason, quality, components_json, refreshed_at)
    SELECT :tenant_id, :settings_id, :account, provider_id, name, language, category, status, reason, quality,
           nullif(components, 'null'), :asked_at
    FROM json_to_recordset(CAST(:rows AS json))
         AS r(provider_id text, name text, language text, category text, status text, reason text, quality text,
              components jsonb)
    ON CONFLICT (settings_id, name, language) DO UPDATE SET
        account = excluded.account, provider_id = excluded.provider_id, refreshed_at = excluded.refreshed_at,
        components_json = excluded.components_json, quality = excluded.quality,
        status = CASE WHEN known.reported_at > excluded.refreshed_at THEN known.status ELSE excluded.status END,
        category = CASE WHEN known.reported_at > excluded.refreshed_at THEN known.category ELSE excluded.category END,
        reason = CASE WHEN known.reported_at > excluded.refreshed_at THEN known.reason ELSE excluded.reason END
    WHERE known.refreshed_at IS NULL OR known.refreshed_at <= excluded.refreshed_at
    """
)
_FORGET = text(
    """
    DELETE FROM provider_templates
    WHERE tenant_id = :tenant_id AND settings_id = :settings_id AND (:name = '' OR name = :name)
      AND greatest(refreshed_at, reported_at) < :asked_at
    """
)
_FIRST_REPORT = text(
    """
    INSERT INTO provider_templates (tenant_id, settings_id, account, provider_id, name, language)
    VALUES (:tenant_id, :settings_id, :account, :provider_id, :name, :language)
    ON CONFLICT (settings_id, name, language) DO NOTHING
    """
)
_REPORT = text(
    f"""
    UPDATE provider_templates SET
        status = coalesce(nullif(:status, ''), status), category = coalesce(nullif(:category, ''), category),
        quality = coalesce(nullif(:quality, ''), quality),
        reason = CASE WHEN :status = '' THEN reason ELSE :reason END, reported_at = :at
    WHERE tenant_id = :tenant_id AND name = :name AND language = :language
      AND (settings_id = :settings_id OR (account = :account AND account <> ''))
      AND :at >= coalesce(greatest(reported_at, refreshed_at - {_SKEW}), '-infinity')
    """
)


async def keep(
    session: AsyncSession,
    tenant_id: UUID,
    settings_id: UUID,
    account: str,
    listed: Sequence[Listed],
    *,
    asked_at: datetime,
    name: str = "",
) -> None:
    """The provider's list as it was at `asked_at`, whole or of one name; what is not in it is gone."""
    mine = {"tenant_id": tenant_id, "settings_id": settings_id, "asked_at": asked_at}
    unique = {(it.name, it.language): asdict(it) for it in listed}
    ordered = [unique[key] for key in sorted(unique)]  # so that two lists never lock each other out
    rows = orjson.dumps(ordered).decode()
    await session.execute(_KEEP, {**mine, "account": account, "rows": rows})
    await session.execute(_FORGET, {**mine, "name": name})


async def report(session: AsyncSession, tenant_id: UUID, settings_id: UUID, at: datetime, **facts: str) -> None:
    """A webhook's word on one template: account, provider_id, name, language, and what changed of status, reason,
    category and quality. Other settings of the account hear of it too."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "settings_id": settings_id, "at": at, **facts}
    await session.execute(_FIRST_REPORT, values)
    await session.execute(_REPORT, values)


async def known(
    session: AsyncSession, tenant_id: UUID, settings_id: UUID, keys: Collection[Key]
) -> dict[Key, ProviderTemplate]:
    """Those of `keys` that the provider of the setting was heard of."""
    query = select(ProviderTemplate).where(
        col(ProviderTemplate.tenant_id) == tenant_id,
        col(ProviderTemplate.settings_id) == settings_id,
        tuple_(col(ProviderTemplate.name), col(ProviderTemplate.language)).in_(list(keys)),
    )
    return {(row.name, row.language): row for row in (await session.execute(query)).scalars()} if keys else {}


async def of_settings(session: AsyncSession, tenant_id: UUID, settings_id: UUID) -> list[ProviderTemplate]:
    query = (
        select(ProviderTemplate)
        .where(col(ProviderTemplate.tenant_id) == tenant_id, col(ProviderTemplate.settings_id) == settings_id)
        .order_by(col(ProviderTemplate.name), col(ProviderTemplate.language))
    )
    return list((await session.execute(query)).scalars())
