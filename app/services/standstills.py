"""What of a campaign stands still, since when, until when, and what to do about it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.db import clock
from app.domain.status import CampaignStatus, Purpose
from app.models import Campaign
from app.repositories import campaigns, sender_troubles, standstills
from app.schemas.campaigns import Waiting
from app.services import approval_reports
from app.services.approvals import describe

NOTHING = "Nothing: it goes on by itself."
SETTINGS = "/v1/onboarding/channel-settings"
# A command that the engine was not told of for this long: it is away, and so is every worker that would tell it.
UNTOLD = timedelta(seconds=5)
HELD = {
    "quiet_hours": "{} waiting for the end of their quiet hours.",
    "frequency_cap": "{} who had as many marketing messages as the tenant allows, waiting until one is old enough.",
    "recipient_limited": "No marketing by WhatsApp for {} for a day, from anybody: Meta limits it per person.",
    "daily_quota": "{} waiting for the next day: today's quota is used up.",
}
ENDED = {CampaignStatus.DRAFT, CampaignStatus.FAILED, CampaignStatus.CANCELLED}


async def of_campaign(session: AsyncSession, campaign: Campaign) -> list[Waiting]:
    """Everything that waits, what needs somebody first."""
    if campaign.status in ENDED:
        return []
    now = await clock(session)
    held = {row.reason: row for row in await standstills.held_recipients(session, campaign.id)}
    found = [*_commands(campaign, held, now), *await _refused(session, campaign, held)]
    found += [*await _blocked(session, campaign), *await _unapproved(session, campaign)]
    found += [_held(row) for reason, row in held.items() if reason not in {"campaign_paused", "sender_refused"}]
    found += [
        _unknown(campaign, row) if row.status == "unknown" else _retried(row)
        for row in await standstills.waiting_messages(session, campaign.id)
        if row.status == "unknown" or "sender_refused" not in held
    ]
    return sorted(found, key=lambda item: item.until is not None)


def _commands(campaign: Campaign, held: dict[str, Any], now: datetime) -> Iterable[Waiting]:
    """What somebody asked for: a pause, a later time, or something that nobody heard of yet."""
    if campaign.status is CampaignStatus.PAUSED:
        count = held["campaign_paused"].count if "campaign_paused" in held else 0
        yield Waiting(
            reason="paused",
            detail="The campaign is paused: nothing leaves, due follow-ups are held.",
            count=count,
            since=campaign.paused_at,
            until=None,
            what_to_do="POST /v1/campaigns/{id}/resume when it shall go on.",
        )
    if campaign.status is CampaignStatus.PENDING and campaign.launched_at and campaign.launched_at > now:
        yield Waiting(
            reason="scheduled",
            detail="The campaign begins later.",
            count=0,
            since=campaign.created_at,
            until=campaign.launched_at,
            what_to_do=NOTHING,
        )
    if campaign.workflow_started_at is None and campaign.updated_at < now - UNTOLD:
        yield Waiting(
            reason="engine_unreachable",
            detail="The workflow engine was not told of the last change: it does not answer, or no worker runs.",
            count=0,
            since=campaign.updated_at,
            until=None,
            what_to_do="GET /ready says whether the engine answers; start it, or a worker. Nothing is lost.",
        )


async def _refused(session: AsyncSession, campaign: Campaign, held: dict[str, Any]) -> list[Waiting]:
    """Senders whose provider refuses them; the count is of everybody who waits for one of them."""
    if "sender_refused" not in held:
        return []
    return [
        Waiting(
            reason="sender_refused",
            detail=f"{it.channel} sender {it.name!r} is refused by its provider: {it.detail} (code {it.code})",
            count=held["sender_refused"].count,
            since=it.since,
            until=it.probe_at,
            what_to_do=f"PATCH {SETTINGS}/{it.id} with valid credentials, or mend the account at the provider.",
            channel_setting_id=it.id,
        )
        for it in (await sender_troubles.still_open(session, campaign.tenant_id)).values()
    ]


async def _blocked(session: AsyncSession, campaign: Campaign) -> list[Waiting]:
    channels = {campaign.primary_channel.value, *campaign.fallback_order_json}
    return [
        Waiting(
            reason="provider_limit",
            detail=f"{row.channel} sender {row.name!r} pauses, because its provider said that it sends too fast.",
            count=0,
            since=row.since,
            until=row.until,
            what_to_do="Nothing; if it happens often, lower limits.messages_per_second of the channel setting.",
            channel_setting_id=row.id,
        )
        for row in await standstills.blocked_senders(session, campaign.tenant_id)
        if row.channel in channels
    ]


async def _unapproved(session: AsyncSession, campaign: Campaign) -> list[Waiting]:
    """WhatsApp templates that are rejected, paused or gone since the launch, while they are still to be sent."""
    launched = campaign.status is CampaignStatus.DONE
    if launched and not await standstills.has_open_sequences(session, campaign.id):
        return []
    steps = await campaigns.steps(session, campaign.tenant_id, [campaign.id])
    schemas = [step.core_schema_json for step in steps if step.position or not launched]
    lost = await approval_reports.not_approved(session, campaign.tenant_id, schemas)
    failed = await standstills.failed_templates(session, campaign.id, [row.name for row in lost]) if lost else {}
    return [
        Waiting(
            reason="template_not_approved",
            detail=f"The WhatsApp template {row.name!r} in {row.language} is {describe(row)}: messages with it fail, "
            "and the next channel is tried.",
            count=failed.get((row.name, row.language), 0),
            since=row.heard_at,
            until=None,
            what_to_do="Mend it at the provider, and pause the campaign until it is approved.",
            channel_setting_id=row.settings_id,
        )
        for row in lost
    ]


def _held(row: Any) -> Waiting:
    people = "1 person" if row.count == 1 else f"{row.count:,} people"
    words = HELD.get(row.reason, f"{{}} waiting ({row.reason.replace('_', ' ')}).")
    return Waiting(
        reason=row.reason or "held",
        detail=words.format(people),
        count=row.count,
        since=row.since,
        until=row.until,
        what_to_do=NOTHING,
    )


def _retried(row: Any) -> Waiting:
    return Waiting(
        reason="provider_retry",
        detail=f"The provider took {row.count:,} not yet: {row.detail} (code {row.code})",
        count=row.count,
        since=row.since,
        until=row.until,
        what_to_do=NOTHING,
    )


def _unknown(campaign: Campaign, row: Any) -> Waiting:
    again = campaign.purpose is Purpose.TRANSACTIONAL
    return Waiting(
        reason="outcome_unknown",
        detail=f"{row.count:,} may have been accepted or not: {row.detail} (code {row.code})",
        count=row.count,
        since=row.since,
        until=row.until,
        what_to_do="Nothing: a report settles it, or after the deadline it is sent again."
        if again
        else "Nothing: a report settles it. Marketing is never sent again blindly.",
    )
