"""How long the history of a campaign's workflow gets: the engine ends a run of more than 51,200 events."""

from app.ids import campaign_workflow_id
from benchmarks import shop as shops
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform

MILLION = 1_000_000


async def events(platform: Platform, size: int) -> Measurement:
    """Launch and arming to the end. Below a million recipients the value is an extrapolation; the facts say what was
    counted."""
    shop = await shops.make_shop(platform, contacts=size)
    with platform.window() as window:
        campaign_id = await shops.launch(platform, shop, followups=[1.0])
        await shops.until_accepted(platform, size)
        await shops.until_armed(platform, shop, campaign_id, size)
        id = campaign_workflow_id(shop.tenant.id, campaign_id)
        await platform.client.get_workflow_handle(id).result()
    runs = [found async for found in platform.client.list_workflows(f"WorkflowId = '{id}'")]
    lengths = [
        (await platform.client.get_workflow_handle(id, run_id=run.run_id).describe()).history_length for run in runs
    ]
    return Measurement(
        value=sum(lengths) * MILLION / size,
        units=size,
        window=window,
        facts={"events": sum(lengths), "runs": len(runs), "longest_run": max(lengths), "recipients": size},
    )


ROWS = [
    Row(
        name="history",
        title="events of the campaign's workflow per 1,000,000 recipients",
        unit="events",
        size=50_000,
        lower_is_better=True,
        most_rounds=1,
        trial=Trial(measure=events),
    )
]
