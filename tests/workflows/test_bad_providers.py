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
from app.simulator.accounts import IDENTITY
from tests.world import World, working, world

PEOPLE = 500
SHARE = 0.05  # of the requests, for each class of error
ACCEPTED = {"sent", "delivered", "read"}


@dataclass(frozen=True, slots=True)
class Errors:
    """What the provider answers, as fields of the simulator's faults: for good, and for now where it has words for it.
    `code` is how the first one is written down. `throttles` false: mail servers, whose waits are minutes."""

    permanent: dict[str, Any]
    code: str
    transient: dict[str, Any] | None = None
    throttles: bool = True


ERRORS = {
    "whatsapp_cloud": Errors({"status": 400, "code": 131026}, "131026", {"status": 500, "code": 131016}),
    "twilio": Errors({"status": 400, "code": 21617}, "21617", {"status": 409, "code": 20409}),
    "messagebird": Errors({"status": 422, "code": 10}, "10"),
    "mailgun": Errors({"status": 413}, "http_413"),
    "sendgrid": Errors({"status": 413}, "http_413"),
    "smtp": Errors({"status": 554}, "5.7.1", throttles=False),
    "resend": Errors({"status": 422}, "missing_required_field"),
}


@pytest.fixture(params=sorted(ADAPTERS), ids=lambda key: key[1])
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


def faults(provider: str) -> dict[str, dict[str, Any]]:
    """By the name of the class; each befalls a share of the sends."""
    errors = ERRORS[provider]
    found = {
        "permanent": {"kind": "error", **errors.permanent},
        "slow": {"kind": "hang", "seconds": 0.1},
        "lost": {"kind": "reset"},
        "late": {"kind": "error", "status": 500, "after_accept": True},
    }
    if provider != "smtp":  # whose words always say which it is
        found["broken"] = {"kind": "error", "status": 500}
    if errors.transient:
        found["transient"] = {"kind": "error", **errors.transient}
    if errors.throttles:
        found["throttled"] = {"kind": "throttle", "retry_after": 1}
    return {name: {"provider": provider, "share": SHARE, "reads": False, **fault} for name, fault in found.items()}


@pytest.fixture(
    params=sorted(key for key in ADAPTERS if Feature.BATCH in ADAPTERS[key].features), ids=lambda key: key[1]
)
async def batching(
    request: pytest.FixtureRequest, settings: Settings, sessions: Sessions, client: Client
) -> AsyncIterator[World]:
    """The same, and as many messages share a request as the provider takes."""
    channel, provider = request.param
    async with world(settings, sessions, client, webhooks=True, unknown_deadline_seconds=8) as place:
        place.providers = {channel: provider}
        await place.add_senders([channel], messages_per_request=ADAPTERS[channel, provider].most_per_request)
        async with working(place):
            yield place


async def requests_of(place: World) -> int:
    """How many requests the provider got from the tenant's account."""
    ((channel, provider),) = place.providers.items()
    account = place.credentials[channel][IDENTITY[provider]]
    answers = [
        (await place.http.get(f"{place.simulator}/sandbox/arrivals", params={"account": name})).json()
        for name in (account, f"{provider} {account}")
    ]
    return max(len(answer["times"]) for answer in answers)


class TestBatches:
    async def test_lost_answers_and_limits_cost_and_repeat_nothing(self, batching: World) -> None:
        """Of a lost batch each message is unknown, until the provider's reports name it."""
        ((channel, provider),) = batching.providers.items()
        await batching.behave(shares={"deliver": 1}, seed=provider)
        await batching.add_contacts(PEOPLE, consents=(channel,))
        await batching.faults(
            {"provider": provider, "kind": "throttle", "next": 1, "retry_after": 1},
            {"provider": provider, "kind": "hang", "next": 1, "seconds": 0.1},
            {"provider": provider, "kind": "error", "status": 500, "after_accept": True, "next": 1},
        )
        campaign = await batching.launch(primary_channel=channel, fallback_order_json=[])
        await batching.until_status(campaign, CampaignStatus.DONE)
        await batching.until(
            "SELECT count(*) FROM messages WHERE campaign_id = :id AND status IN ('delivered', 'read')",
            (PEOPLE,),
            id=campaign.id,
        )
        accepted = await batching.accepted()
        assert (len(accepted), set(accepted.values())) == (PEOPLE, {1})
        assert 0 < await requests_of(batching) < PEOPLE / 10


class TestEveryError:
    async def test_ledger_and_provider_agree(self, served: World) -> None:
        ((channel, provider),) = served.providers.items()
        features = ADAPTERS[channel, provider].features
        await served.behave(shares={"deliver": 1}, seed=provider)
        await served.add_contacts(PEOPLE, consents=(channel,))
        wrong = faults(provider)
        await served.faults(*wrong.values())
        campaign = await served.launch(primary_channel=channel, fallback_order_json=[])
        await served.until_status(campaign, CampaignStatus.DONE)
        rules = (await served.http.get(f"{served.simulator}/sandbox/faults")).json()
        taken = Counter({name: rule["taken"] for name, rule in zip(wrong, rules, strict=True)})
        await served.faults()
        accepted = {reference: count for (_, reference), count in (await served.accepted()).items()}
        reports = Feature.DELIVERY_REPORTS in features  # else a lost answer stays unknown, and no message is delivered
        known = ACCEPTED if reports else ACCEPTED | {"unknown"}
        waiting = {"queued", "sending", "sent"} if reports else {"queued", "sending"}

        async def resolved() -> bool:
            """Whether all that the provider has is known, and nothing waits to leave."""
            rows = await served.rows("SELECT id, status FROM messages WHERE campaign_id = :id", id=campaign.id)
            arrived = {str(row.id) for row in rows if row.status in known}
            return arrived == set(accepted) and not {row.status for row in rows} & waiting

        await served.eventually(resolved, "what the provider took is what arrived")
        rows = await served.rows(
            "SELECT id, status, attempts, error_code FROM messages WHERE campaign_id = :id", id=campaign.id
        )
        statuses = Counter(row.status for row in rows)
        assert len(rows) == PEOPLE  # none lost
        assert set(accepted.values()) == {1}  # none twice
        assert all(taken[name] for name in wrong)
        refused = [row.status for row in rows if row.error_code == ERRORS[provider].code]
        assert refused == ["failed"] * taken["permanent"]  # none of them was tried again
        assert sum(row.attempts - 1 for row in rows) >= taken["throttled"]  # who was throttled was
        if Feature.IDEMPOTENCY_KEY in features:
            assert statuses["unknown"] == 0
        elif not reports:
            assert statuses["unknown"] == taken["slow"] + taken["lost"] + taken["late"]
        else:  # what came back without a word and was never accepted rests, or its provider said that it never left
            unaccepted = [row for row in rows if row.status == "unknown" or row.error_code == "not_accepted"]
            assert len(unaccepted) == taken["broken"]
        assert len(set(accepted) | {str(row.id) for row in rows if row.status in {"failed", "unknown"}}) == PEOPLE
