"""One tenant's huge campaign, and everybody else: a small campaign of another, and single messages over HTTP."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from benchmarks import shop as shops
from benchmarks.figures import milliseconds, percentile
from benchmarks.frame import Measurement, Row, Trial
from benchmarks.platform import Platform
from benchmarks.shop import Shop

SMALL = 100
SINGLES = 200
SINGLES_PER_SECOND = 5.0
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Single:
    """One POST: whose, its message, and when it was made."""

    tenant: str
    message_id: str
    posted_at: float


async def served(platform: Platform, size: int) -> Measurement:
    """`value` is the 99th percentile over the single messages of two tenants, from POST to the provider's answer."""
    large = await shops.make_shop(platform, contacts=size, name="Large")
    small = await shops.make_shop(platform, contacts=SMALL, name="Small")
    other = await shops.make_shop(platform, contacts=SINGLES, name="Other")
    # The last contacts: the large campaign has not come to them, so no limit between two numbers holds them up.
    count = min(SINGLES, size) // 2
    orders = [(shop, last - n) for n in range(count) for shop, last in ((large, size), (other, SINGLES))]
    with platform.window() as window:
        await shops.launch(platform, large, followups=[1.0])
        posting = asyncio.create_task(_post_singles(platform, orders))
        await asyncio.sleep(1)  # the large campaign is in full swing
        seconds = await _small_campaign(platform, small)
        singles = await posting
        took = await _until_all_accepted(platform, singles)
    now = await platform.stub.counts()
    platform.require(now.repeated == 0, "nobody got a message twice")
    of_large, of_other = ([took[it] for it in singles if it.tenant == shop.tenant.name] for shop in (large, other))
    return Measurement(
        value=percentile(list(took.values()), 0.99),
        units=now.accepted,
        window=window,
        facts={
            "small_campaign_seconds": round(seconds, 2),
            **milliseconds(list(took.values())),
            "p99_ms_of_the_large_tenant": milliseconds(of_large)["p99_ms"],
            "p99_ms_of_another_tenant": milliseconds(of_other)["p99_ms"],
            "accepted_in_all": now.accepted,
            "large_campaign": size,
        },
    )


async def _small_campaign(platform: Platform, shop: Shop) -> float:
    """Seconds from its launch to its last message."""
    began = datetime.now(UTC)
    campaign_id = await shops.launch(platform, shop)
    now = await shops.until_recorded(platform, shop, campaign_id, SMALL)
    assert now.last_sent_at is not None, "all are sent"
    return (now.last_sent_at - began).total_seconds()


async def _post_singles(platform: Platform, orders: Sequence[tuple[Shop, int]]) -> list[Single]:
    """A single message at a steady pace, whatever became of the ones before."""
    url = f"http://{platform.settings.api_host}:{platform.settings.api_port}/v1/messages/send"
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http, asyncio.TaskGroup() as posts:
        tasks = []
        for number, (shop, contact) in enumerate(orders):
            await asyncio.sleep(max(0.0, began + number / SINGLES_PER_SECOND - time.monotonic()))
            tasks.append(posts.create_task(_post(http, url, shop, contact)))
    return [task.result() for task in tasks]


async def _post(http: httpx.AsyncClient, url: str, shop: Shop, contact: int) -> Single:
    body = {
        "phone": f"+35191{contact:07}",
        "channel": "whatsapp",
        "type": "template",
        "template_name": "spring",
        "variables": {"code": str(contact)},
    }
    posted_at = time.time()
    answer = await http.post(url, json=body, headers={"Authorization": f"Bearer {shop.api_key}"})
    answer.raise_for_status()
    return Single(tenant=shop.tenant.name, message_id=answer.json()["message_id"], posted_at=posted_at)


async def _until_all_accepted(platform: Platform, singles: list[Single]) -> dict[Single, float]:
    """Seconds from each POST to the provider's answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    accepted_at = await platform.stub.accepted_at()
    while missing := [it for it in singles if it.message_id not in accepted_at]:
        platform.require(time.monotonic() < deadline, f"{len(missing)} single messages reach the provider")
        await asyncio.sleep(1)
        accepted_at = await platform.stub.accepted_at()
    return {it: accepted_at[it.message_id] - it.posted_at for it in singles}


ROWS = [
    Row(
        name="fairness",
        title="single message, POST to accepted, p99 beside another's campaign",
        unit="s",
        size=100_000,
        target=2,
        lower_is_better=True,
        trial=Trial(measure=served, needs=frozenset({"engine", "worker", "api", "stub"})),
    )
]
