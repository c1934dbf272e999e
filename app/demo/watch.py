"""Following the campaign until nothing of it is open any more, neither at Relay nor at the providers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from temporalio.client import Client

from app.db import Sessions
from app.demo.clients import JsonClient
from app.demo.errors import DemoFailed
from app.meter import Meter

POLL_SECONDS = 1.0
# What is over has to stay over: a report that came last may have woken a sequence.
QUIET_ROUNDS = 2

_OPEN = text(
    """
    SELECT
        (SELECT count(*) FROM campaign_recipients r WHERE r.campaign_id = :id) AS recipients,
        (SELECT count(*) FROM campaign_recipients r
         WHERE r.campaign_id = :id AND r.ended_at IS NULL AND r.armed_at IS NOT NULL) AS sequences,
        (SELECT count(*) FROM campaign_recipients r
         WHERE r.campaign_id = :id AND r.state IN ('pending', 'held', 'queued')) AS undecided,
        (SELECT count(*) FROM messages m
         WHERE m.campaign_id = :id AND m.status IN ('queued', 'sending', 'unknown')) AS unsettled,
        (SELECT count(*) FROM webhook_events e WHERE e.processed_at IS NULL) AS reports
    """
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Workflows of the tenant by how they ended, as the engine counts them."""

    running: int
    completed: int
    other: int


class Watch:
    def __init__(
        self,
        *,
        api: JsonClient,
        simulator: JsonClient,
        sessions: Sessions,
        engine: Client,
        tenant_id: UUID,
        campaign: Mapping[str, Any],
        day_seconds: int,
    ) -> None:
        self.api, self.simulator, self.sessions, self.engine = api, simulator, sessions, engine
        self.tenant_id, self.day_seconds = tenant_id, day_seconds
        self.campaign_id = UUID(campaign["id"])
        self.launched_at = datetime.fromisoformat(campaign["launched_at"])

    async def until_over(self, *, patience_seconds: float, longest_seconds: float) -> None:
        """Show how it goes. Raises DemoFailed that says what is still open when nothing has moved for
        `patience_seconds`, or when `longest_seconds` are over."""
        clock = asyncio.get_running_loop().time
        deadline, moved_at, before = clock() + longest_seconds, clock(), ""
        quiet = 0
        with Meter("Campaign") as meter:
            while True:
                campaign = await self.api.get(f"/v1/campaigns/{self.campaign_id}")
                if campaign["status"] in {"failed", "cancelled"}:
                    raise DemoFailed(f"the campaign is {campaign['status']}: {campaign['status_detail']}")
                left = await self._open(campaign["status"])
                ended = campaign["counts"]["armed"] - left["open sequences"]
                meter.show(ended, campaign["counts"]["armed"], self._words(campaign["counts"]))
                quiet = 0 if any(left.values()) else quiet + 1
                if quiet >= QUIET_ROUNDS:
                    return
                state = f"{left} {campaign['counts']}"
                if state != before:
                    before, moved_at = state, clock()
                still = ", ".join(f"{name} {number}" for name, number in left.items() if number) or "not quiet yet"
                if clock() > moved_at + patience_seconds:
                    raise DemoFailed(f"nothing has moved for {patience_seconds:.0f} s; still open: {still}")
                if clock() > deadline:
                    raise DemoFailed(f"not over after {longest_seconds:.0f} s; still open: {still}")
                await asyncio.sleep(POLL_SECONDS)

    async def _open(self, status: str) -> dict[str, int]:
        """Every kind of work that is left. The provider is asked first: what it has posted is then in the inbox."""
        pending = (await self.simulator.get("/stats", summary=1))["webhooks"]["pending"]
        async with self.sessions.begin(self.tenant_id) as session:
            row = (await session.execute(_OPEN, {"id": self.campaign_id})).one()
        left = {
            "launch": int(status != "done"),
            "webhooks at the providers": pending,
            "reports not projected": row.reports,
            "recipients undecided": row.undecided,
            "messages unsettled": row.unsettled,
            "open sequences": row.sequences,
        }
        # Counting costs the engine as much as dozens of sends, so it is asked only at the end.
        left["running workflows"] = 0 if any(left.values()) else (await self.workflows()).running
        return left

    async def workflows(self) -> Engine:
        mine = f"TenantId = '{self.tenant_id}'"
        counted = [
            (await self.engine.count_workflows(f"{mine} AND ExecutionStatus {which}")).count
            for which in ("= 'Running'", "= 'Completed'", "NOT IN ('Running', 'Completed')")
        ]
        return Engine(running=counted[0], completed=counted[1], other=counted[2])

    def _words(self, counts: Mapping[str, int]) -> str:
        days = (datetime.now(UTC) - self.launched_at).total_seconds() / self.day_seconds
        shown = ", ".join(f"{counts[name]:,} {name}" for name in ("sent", "delivered", "read", "failed"))
        people = f"{counts['replied']:,} replied, {counts['converted']:,} bought, {counts['opted_out']:,} opted out"
        return f"sequences ended; J+{days:.1f}: {shown}; {people}"
