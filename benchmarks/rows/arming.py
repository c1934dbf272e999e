"""Follow-ups armed: one delayed workflow per contact, beside the launch and after it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy

from activities.campaigns import STARTS_AT_ONCE
from app import ids
from app.contracts.sequence import SEQUENCE_WORKFLOW, SequenceInput, SequenceStep
from app.temporal import ARMING_PRIORITY, CAMPAIGN, CONTACT, TENANT
from benchmarks import shop as shops
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

_ARMED = text(
    """
    SELECT count(*) FILTER (WHERE armed_at <= :launched), count(*) FILTER (WHERE armed_at > :launched), max(armed_at)
    FROM campaign_recipients WHERE campaign_id = :id AND armed_at IS NOT NULL
    """
)


async def armed(platform: Platform, size: int) -> Measurement:
    """`value` is the rate once the launch is over: a start then has only the engine for itself, as bare ones do."""
    shop = await shops.make_shop(platform, contacts=size)
    began = datetime.now(UTC)
    campaign_id = await shops.launch(platform, shop, followups=[1.0])
    await shops.until_accepted(platform, size)
    before = (await shops.progress(platform, shop, campaign_id)).armed
    with platform.window() as window:
        now = await shops.until_armed(platform, shop, campaign_id, size)
    platform.require(now.sent == size, "every contact got the message")
    async with platform.sessions.begin(shop.tenant.id) as session:
        beside, after, last = (await session.execute(_ARMED, {"id": campaign_id, "launched": now.last_sent_at})).one()
    platform.require(after > 0, "arming went on after the launch: take a larger N")
    assert now.last_sent_at is not None, "all are sent"
    listed = await platform.client.count_workflows(f"CampaignId = '{campaign_id}' AND WorkflowType = 'sequence'")
    return Measurement(
        value=after / (last - now.last_sent_at).total_seconds(),
        units=size - before,
        window=window,
        facts={
            "per_second_beside_the_launch": round(beside / (now.last_sent_at - began).total_seconds(), 1),
            "armed_beside_the_launch": beside,
            "armed_after_the_launch": after,
            "listed_by_the_engine": listed.count,
        },
    )


async def bare_starts(platform: Platform, size: int) -> Measurement:
    """The same starts, as many at once, and nothing else: no page, no row, no activity around them."""
    tenant_id, campaign_id = ids.new_id(), ids.new_id()
    waiting = iter([ids.new_id() for _ in range(size)])
    with platform.window() as window:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(STARTS_AT_ONCE):
                lanes.create_task(_lane(platform, tenant_id, campaign_id, waiting))
    return Measurement(value=size / window.seconds, units=size, window=window)


async def _lane(platform: Platform, tenant_id: UUID, campaign_id: UUID, contact_ids: Iterator[UUID]) -> None:
    for contact_id in contact_ids:
        step = SequenceStep(position=1, due_at=datetime.now(UTC) + timedelta(days=1))
        await platform.client.start_workflow(
            SEQUENCE_WORKFLOW,
            SequenceInput(tenant_id=tenant_id, campaign_id=campaign_id, contact_id=contact_id, steps=[step]),
            id=ids.sequence_workflow_id(tenant_id, campaign_id, contact_id),
            task_queue=ids.TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            priority=Priority(priority_key=ARMING_PRIORITY, fairness_key=str(tenant_id)),
            static_summary=f"Follow-ups for contact {contact_id}",
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(TENANT, str(tenant_id)),
                    SearchAttributePair(CAMPAIGN, str(campaign_id)),
                    SearchAttributePair(CONTACT, str(contact_id)),
                ]
            ),
            start_delay=timedelta(days=1),
        )


ROWS = [
    Row(
        name="arming",
        title="sequences armed, after the launch",
        unit="sequences/s",
        size=5_000,
        target=300,
        trial=Trial(measure=armed),
        floor=Trial(
            measure=bare_starts,
            says=f"bare start_workflow calls, {STARTS_AT_ONCE} at once",
            needs=frozenset({"engine", "worker"}),
        ),
        floor_share=0.85,
    )
]
