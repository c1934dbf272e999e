"""One campaign through a list of faults, from an empty tenant until nothing of it is open any more."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from time import monotonic, time
from typing import Any
from uuid import UUID

from loguru import logger
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from app.demo import story
from app.demo.clients import JsonClient
from app.demo.errors import DemoFailed
from app.demo.story import Customer
from tests.chaos import audience, variants
from tests.chaos.audience import Person
from tests.chaos.faults import Fault
from tests.chaos.place import Place
from tests.chaos.variants import Variant, variant_of
from tests.chaos.watcher import Watcher, watching

RECOVER_SECONDS = 150.0  # the supervisor's longest pause, a heartbeat and the work itself
LAUNCH_SECONDS = 600.0
STILL_SECONDS = 300.0  # without any change; sequences hold for a while, and a busy machine is slow
QUIET_ROUNDS = 3
TELL_SECONDS = 15.0
LITTLE = 0.1  # with less than this part of the contacts still in play, a fault would strike nothing
BEHAVIOUR: dict[str, Any] = {
    "channel_shares": {
        "whatsapp": {"not_on_whatsapp": 0.02, "fail": 0.02, "silent": 0.01, "read": 0.4, "reply": 0.04, "stop": 0.04},
        "sms": {"fail": 0.02, "silent": 0.01, "reply": 0.04, "stop": 0.04},
        "email": {"bounce": 0.02, "silent": 0.01, "read": 0.3, "unsubscribe": 0.05},
    },
    "after_weights": [3, 2, 1],
    "action_delay_ms": [500, 8_000],
    "webhook_delay_ms": [20, 400],
    "latency_ms": 20,
    "duplicate_share": 0.0,
    "reorder_share": 0.0,
    "whatsapp_batch": 10,
    "webhook_loss_share": 0.0,
    "twilio_retries": 1_000,
    "retry_factor": 0.3,
    "webhook_timeout_seconds": 10,
}
OPEN = text(
    """
    SELECT (SELECT count(*) FROM campaigns WHERE id = :id AND status <> 'done') AS launch,
           count(*) FILTER (WHERE state IN ('pending', 'held')) AS undecided,
           count(*) FILTER (WHERE armed_at IS NOT NULL AND ended_at IS NULL) AS sequences,
           (SELECT count(*) FROM messages WHERE campaign_id = :id AND (status IN ('queued', 'sending')
               OR (status = 'unknown' AND unresolved_since IS NOT NULL))) AS messages,
           (SELECT count(*) FROM webhook_events WHERE processed_at IS NULL) AS reports
    FROM campaign_recipients WHERE campaign_id = :id
    """
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a campaign is to go through; the same plan and seed give the same random points."""

    seed: int
    contacts: int
    faults: list[Fault]
    per_second: int = 300
    followups: tuple[float, ...] = (1, 3)
    until: float = float("inf")  # monotonic; no fault begins after it

    @property
    def variant(self) -> Variant:
        return variant_of(self.seed)


@dataclass(kw_only=True)
class Struck:
    """A fault that was: when it began and ended (Unix seconds), and how soon after it a message was accepted."""

    name: str
    begin: float
    end: float
    accepted_before: int
    recovered_seconds: float | None = None


@dataclass(kw_only=True)
class Played:
    """A campaign that is over, with everything the judge needs."""

    plan: Plan
    customer: Customer
    campaign_id: UUID
    people: list[Person]
    struck: list[Struck]
    left: dict[str, int]
    watcher: Watcher
    stats: dict[str, Any]
    campaign: dict[str, Any]
    seconds: float
    notes: list[str] = field(default_factory=list)


async def play(place: Place, plan: Plan, engine: Client) -> Played:
    began = monotonic()
    people = audience.make(plan.contacts)
    await place.simulator.post("/sandbox/reset", {})
    await place.simulator.put("/sandbox/behaviour", {"seed": f"chaos-{plan.seed}", **BEHAVIOUR})
    customer = await story.make_customer(place.sessions)
    api_url = str(place.product.api.base_url)
    async with JsonClient(api_url, customer.api_key) as api, watching(place.simulator) as watcher:
        await variants.connect(api, place.simulator, plan.variant, plan.per_second)
        templates = await story.add_templates(api)
        await story.import_contacts(api, audience.as_csv(people).encode())
        campaign_id = await _launch(api, templates["spring_offer"], plan)
        stage = _Stage(place, plan, customer, campaign_id, people, watcher, engine)
        struck = await stage.go_through()
        left = await stage.until_over()
        stats = await place.simulator.get("/stats")
        campaign = await api.get(f"/v1/campaigns/{campaign_id}")
    return Played(
        plan=plan, customer=customer, campaign_id=campaign_id, people=people, struck=struck, left=left,
        watcher=watcher, stats=stats, campaign=campaign, seconds=monotonic() - began, notes=stage.notes,
    )  # fmt: skip


async def _launch(api: JsonClient, template: str, plan: Plan) -> UUID:
    body = {
        "name": f"Chaos {plan.seed}",
        "primary_channel": plan.variant.channels[0],
        "fallback_order": list(plan.variant.channels[1:]),
        "template_id": template,
        "segment": {},
        "followups": [{"after_days": days, "template_id": template} for days in plan.followups],
        "exit_on": ["reply", "conversion"],
        "variables": {"code": "SPRING20"},
        "quiet_hours": None,
        "launch": True,
    }
    return UUID((await api.post("/v1/campaigns", body))["id"])


class _Stage:
    """The campaign while it runs."""

    def __init__(
        self,
        place: Place,
        plan: Plan,
        customer: Customer,
        campaign_id: UUID,
        people: list[Person],
        watcher: Watcher,
        engine: Client,
    ) -> None:
        self.place, self.plan, self.customer, self.campaign_id = place, plan, customer, campaign_id
        self.reached = sum(1 for person in people if person.allowed)
        self.watcher, self.engine, self.notes = watcher, engine, list[str]()

    async def go_through(self) -> list[Struck]:
        """Each fault at a random point, the first one while the launch is under way."""
        struck: list[Struck] = []
        random = Random(f"{self.plan.seed}/points")
        await self._until_accepted(int(self.reached * random.uniform(0.05, 0.6)))
        for fault in self.plan.faults:
            if monotonic() > self.plan.until or await self._little_left():
                break
            struck.append(await self._strike(fault))
            await asyncio.sleep(random.uniform(0.5, 4))
        return struck

    async def _strike(self, fault: Fault) -> Struck:
        random = Random(f"{self.plan.seed}/{fault.name}")
        before = (await self.watcher.look()).accepted
        logger.info("{} after {} accepted messages", fault.name, before)
        begin = time()
        await fault.strike(self.place, random)
        struck = Struck(name=fault.name, begin=begin, end=time(), accepted_before=before)
        struck.recovered_seconds = await self._recovery(struck)
        return struck

    async def _recovery(self, struck: Struck) -> float | None:
        deadline = monotonic() + RECOVER_SECONDS
        while (seconds := self.watcher.recovered(struck.end)) is None:
            if monotonic() > deadline:
                self.notes.append(f"{struck.name}: nothing was accepted within {RECOVER_SECONDS:.0f} s after its end")
                return None
            left = await self._open()
            if left is not None and not any(left.values()):
                return None  # there was nothing left to send
            await asyncio.sleep(0.2)
        return round(seconds, 1)

    async def _until_accepted(self, count: int) -> None:
        deadline = monotonic() + LAUNCH_SECONDS
        while (await self.watcher.look()).accepted < count:
            if monotonic() > deadline:
                raise DemoFailed(f"{count} messages were never accepted")
            await asyncio.sleep(0.05)

    async def _little_left(self) -> bool:
        left = await self._open()
        return left is not None and not left["launch"] and left["sequences"] < self.reached * LITTLE

    async def until_over(self) -> dict[str, int]:
        """Wait until nothing is open, neither at Relay nor at the providers; what is, when nothing moves any more."""
        moved_at, before, quiet, told = monotonic(), "", 0, monotonic()
        left: dict[str, int] | None = {}
        while quiet < QUIET_ROUNDS:
            pending = (await self.place.simulator.get("/stats", summary=1))["webhooks"]["pending"]
            left = await self._open()
            if left is not None:
                left["webhooks at the providers"] = pending
                left["workflows"] = 0 if any(left.values()) else await self._running()
            quiet = quiet + 1 if left is not None and not any(left.values()) else 0
            if monotonic() > told + TELL_SECONDS:
                told = monotonic()
                logger.info("still open: {}", left)
            state = f"{left} {self.watcher.samples[-1].accepted}"
            if state != before:
                before, moved_at = state, monotonic()
            if monotonic() > moved_at + STILL_SECONDS:
                return {name: number for name, number in (left or {"database": 1}).items() if number}
            await asyncio.sleep(0.5)
        return {}

    async def _running(self) -> int:
        """Workflows that have not ended. Counting costs the engine much, so it is asked only at the end."""
        query = f"TenantId = '{self.customer.tenant_id}' AND ExecutionStatus = 'Running'"
        return (await self.engine.count_workflows(query)).count

    async def _open(self) -> dict[str, int] | None:
        """Work that is left, by kind; None while the database is away."""
        try:
            async with self.place.sessions.begin(self.customer.tenant_id) as session:
                row = (await session.execute(OPEN, {"id": self.campaign_id})).one()
        except SQLAlchemyError:
            return None
        return {name: int(number) for name, number in row._asdict().items()}
