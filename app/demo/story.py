"""The demo's campaign, from an empty tenant to the last follow-up, over HTTP."""

import asyncio
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from app.db import Sessions
from app.demo import cast
from app.demo.clients import JsonClient
from app.demo.errors import DemoFailed
from app.meter import Meter
from app.models import Role
from app.services import api_keys, tenants

EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = ("spring_offer", "spring_reminder", "spring_last_call")
# (days after the launch, template)
FOLLOWUPS = ((1, "spring_reminder"), (3, "spring_reminder"), (7, "spring_last_call"))
CHANNELS = ("whatsapp", "sms", "email")
MESSAGES_PER_SECOND = 300
DEFAULT_REGION = "PT"
IMPORT_SECONDS = 120
POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Customer:
    """The demo's own tenant and the keys that its two sides use."""

    tenant_id: UUID
    slug: str
    api_key: str
    shop_key: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What Relay said of each row of the file, by row number."""

    counts: dict[str, int]
    verdicts: dict[int, dict[str, str]]


def read_example(name: str) -> bytes:
    """A file of `examples/`. Raises DemoFailed when it isn't there."""
    path = EXAMPLES / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise DemoFailed(f"{path} can't be read ({error.strerror}): run the demo from a whole checkout") from error


async def make_customer(sessions: Sessions) -> Customer:
    """What `relay tenant create` does, and a second key for the shop."""
    async with sessions.system() as session:
        tenant = await tenants.create(
            session, name="Primavera Shop", timezone="Europe/Lisbon", default_region=DEFAULT_REGION
        )
        _, api_key = await api_keys.create(session, tenant.id, name="demo", role=Role.OWNER)
        _, shop_key = await api_keys.create(session, tenant.id, name="shop", role=Role.MANAGER)
    return Customer(tenant_id=tenant.id, slug=tenant.slug, api_key=api_key, shop_key=shop_key)


async def connect_senders(api: JsonClient, simulator: JsonClient) -> None:
    """A sender per channel at Relay, and its webhook at the provider."""
    for account in await cast.open_accounts(simulator):
        setting = await api.post(
            "/v1/onboarding/channel-settings",
            {
                "channel": account.channel,
                "provider": account.provider,
                "name": "demo",
                "credentials": account.credentials,
                # days are too short here to wait for the limit of a pair
                "limits": {"messages_per_second": MESSAGES_PER_SECOND, "seconds_per_recipient": 0},
                "is_default": True,
            },
        )
        await cast.connect_webhook(simulator, account, setting["webhook_url"])


async def add_templates(api: JsonClient) -> dict[str, str]:
    """The ids of the campaign's templates, by name."""
    return {
        name: (await api.post("/v1/templates", orjson.loads(read_example(f"templates/{name}.json"))))["id"]
        for name in TEMPLATES
    }


async def import_contacts(api: JsonClient, file: bytes) -> Imported:
    """Upload the file, wait until every row has its verdict, and read them. Raises DemoFailed."""
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "demo-contacts"}
    accepted = (await api.call("POST", "/v1/contacts/import", content=file, headers=headers)).json()
    path = f"/v1/contacts/imports/{accepted['import_id']}"
    deadline = asyncio.get_running_loop().time() + IMPORT_SECONDS
    with Meter("Import") as meter:
        while True:
            state = await api.get(path)
            counts = state["counts"]
            words = ", ".join(f"{counts[name]:,} {name}" for name in ("created", "updated", "merged", "rejected"))
            meter.show(state["read_bytes"], 0, f"{counts['rows']:,} rows: {words}")
            if state["status"] == "done":
                break
            if state["status"] == "failed":
                raise DemoFailed(f"the import failed: {state['error']}")
            if asyncio.get_running_loop().time() > deadline:
                raise DemoFailed(f"the import is still {state['status']} after {IMPORT_SECONDS} s")
            await asyncio.sleep(POLL_SECONDS)
    text = (await api.call("GET", state["verdicts_url"])).text
    verdicts = {int(row["row"]): row for row in csv.DictReader(io.StringIO(text))}
    return Imported(counts=counts, verdicts=verdicts)


async def launch(api: JsonClient, templates: dict[str, str]) -> dict[str, Any]:
    """WhatsApp first, then SMS, then e-mail; three follow-ups until a reply or a purchase; no quiet hours, so that it
    runs at any time of the day."""
    campaign: dict[str, Any] = await api.post(
        "/v1/campaigns",
        {
            "name": "Spring sale",
            "primary_channel": CHANNELS[0],
            "fallback_order": list(CHANNELS[1:]),
            "template_id": templates["spring_offer"],
            "segment": {},
            "followups": [{"after_days": days, "template_id": templates[name]} for days, name in FOLLOWUPS],
            "exit_on": ["reply", "conversion"],
            "variables": {"code": "SPRING20"},
            "quiet_hours": None,
            "launch": True,
        },
    )
    return campaign
