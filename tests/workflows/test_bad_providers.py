"""A campaign through each provider while every class of error comes up: the ledger and the provider's count agree."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.client import Client

from app.channels.base import Feature
from app.channels.registry import ADAPTERS
from app.db import Sessions
from app.domain.status import CampaignStatus
from app.settings import Settings
from tests.world import World, working, world

PEOPLE = 500
SHARE = 0.05  # of the requests, for each class of error
ACCEPTED = {"sent", "delivered", "read"}


@dataclass(frozen=True, slots=True)
class Errors:
    """What the provider answers, as fields of the simulator's faults: for good, and for now where it has words for it.
    `code` is how the first one is written down."""

    permanent: dict[str, Any]
    code: str
    transient: dict[str, Any] | None = None


ERRORS = {
    "whatsapp_cloud": Errors({"status": 400, "code": 131026}, "131026", {"status": 500, "code": 131016}),
    "twilio": Errors({"status": 400, "code": 21617}, "21617", {"status": 409, "code": 20409}),
    "sendgrid": Errors({"status": 413}, "http_413"),
    "resend": Errors({"status": 422}, "missing_required_field"),
}


@pytest.fixture(params=sorted(key for key in ADAPTERS if key[1] in ERRORS), ids=lambda key: key[1])
async def served(
    request: pytest.FixtureRequest, settings: Settings, sessions: Sessions, client: Client
) -> AsyncIterator[World]:
    """A tenant with one sender only, of this provider."""
    channel, provider = request.param
    async with world(settings, sessions, client, webhooks=True, unknown_deadline_seconds=8) as place:
        place.providers = {channel: provider}
        await place.add_senders([channel])
        async with working(place):
            yield place


def faults(provider: str) -> list[dict[str, Any]]:
    errors = ERRORS[provider]
    found = [
        {"kind": "error", **errors.permanent},
        {"kind": "throttle", "retry_after": 1},
        {"kind": "hang", "seconds": 0.1},
        {"kind": "reset"},
        {"kind": "error", "status": 500, "after_accept": True},
        {"kind": "error", "status": 500},
    ]
    if errors.transient:
        found.append({"kind": "error", **errors.transient})
    return [{"provider": provider, "share": SHARE, "reads": False, **fault} for fault in found]


class TestEveryError:
    async def test_ledger_and_provider_agree(self, served: World) -> None:
        ((channel, provider),) = served.providers.items()
        features = ADAPTERS[channel, provider].features
        await served.behave(shares={"deliver": 1}, seed=provider)
        await served.add_contacts(PEOPLE, consents=(channel,))
        await served.faults(*faults(provider))
        campaign = await served.launch(primary_channel=channel, fallback_order_json=[])
        await served.until_status(campaign, CampaignStatus.DONE)
        taken = [rule["taken"] for rule in (await served.http.get(f"{served.simulator}/sandbox/faults")).json()]
        await served.faults()
        settles = features & {Feature.LOOKUP, Feature.IDEMPOTENCY_KEY}
        await served.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND (status IN ('queued', 'sending', 'sent') "
            "OR unresolved_since IS NOT NULL)",
            (0,),
            id=campaign.id,
        )

        accepted = {reference: count for (_, reference), count in (await served.accepted()).items()}
        rows = await served.rows(
            "SELECT id, status, attempts, error_code FROM messages WHERE campaign_id = :id", id=campaign.id
        )
        statuses = Counter(row.status for row in rows)
        assert len(rows) == PEOPLE  # none lost
        assert set(accepted.values()) == {1}  # none twice
        assert {str(row.id) for row in rows if row.status in ACCEPTED} == set(accepted)
        assert all(taken)
        refused = [row.status for row in rows if row.error_code == ERRORS[provider].code]
        assert refused == ["failed"] * taken[0]  # none of them was tried again
        assert sum(row.attempts - 1 for row in rows) >= taken[1]  # who was throttled was
        resolved = await served.rows(
            "SELECT count(*) FROM events WHERE campaign_id = :id AND kind = 'resolved'", id=campaign.id
        )
        if settles:
            assert statuses["unknown"] == 0
        else:  # what came back without a word and was never accepted rests, and is named
            assert 0 < statuses["unknown"] < PEOPLE * SHARE * 3
            assert resolved[0][0] > 0
        assert statuses["failed"] + statuses["unknown"] + len(accepted) == PEOPLE
