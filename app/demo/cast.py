"""The simulator's part: accounts of this run's own, and what its people do."""

import secrets
from dataclasses import dataclass
from typing import Any

from app.demo.clients import JsonClient
from app.demo.errors import DemoFailed

PROVIDERS = {"whatsapp": "whatsapp_cloud", "sms": "twilio", "email": "sendgrid"}

# People are drawn by their address, so somebody who is not on WhatsApp has the same luck with SMS: the worst of SMS
# are the first few of those WhatsApp does not reach, and the others get their message there. Far more people answer
# and buy than in real life, so that everything that can end a sequence happens often.
SHARES: dict[str, dict[str, float]] = {
    "whatsapp": {
        "not_on_whatsapp": 0.05, "fail": 0.05, "silent": 0.04, "read": 0.75,
        "reply": 0.30, "stop": 0.06, "buy": 0.20,
    },
    "sms": {"not_mobile": 0.01, "fail": 0.02, "silent": 0.02, "reply": 0.28, "stop": 0.08, "buy": 0.18},
    "email": {
        "bounce": 0.05, "blocked": 0.02, "fail": 0.02, "silent": 0.04, "read": 0.55, "click": 0.30,
        "unsubscribe": 0.15, "buy": 0.30,
    },
}  # fmt: skip
BEHAVIOUR: dict[str, Any] = {
    "seed": "demo",
    "channel_shares": SHARES,
    "after_weights": [6, 3, 1],
    "action_delay_days": [0.1, 0.8],
    "webhook_delay_ms": [20, 400],
    "duplicate_share": 0.05,
    "reorder_share": 0.05,
    "latency_ms": 20,
    "currency": "EUR",
}


@dataclass(frozen=True, kw_only=True)
class Account:
    """A sender at a provider of the simulator, with the credentials that Relay is given."""

    channel: str
    provider: str
    credentials: dict[str, str]


async def cast_people(simulator: JsonClient, *, day_seconds: int) -> None:
    """Forget earlier runs and set what people do, in days of this length."""
    await simulator.post("/sandbox/reset", {})
    await simulator.put("/sandbox/behaviour", {**BEHAVIOUR, "day_seconds": day_seconds})


async def open_accounts(simulator: JsonClient) -> list[Account]:
    """One account per channel. The approved WhatsApp templates are those of the simulator's own account."""
    known = await simulator.get("/sandbox/accounts")
    number = known["whatsapp_cloud"]
    listed = await simulator.call(
        "GET",
        f"/v23.0/{number['waba_id']}/message_templates",
        params={"limit": 500},
        headers={"Authorization": f"Bearer {number['access_token']}"},
    )
    fresh: dict[str, dict[str, str]] = {
        "whatsapp_cloud": {
            "phone_number_id": f"3{secrets.randbelow(10**14):014d}",
            "waba_id": f"2{secrets.randbelow(10**14):014d}",
            "access_token": f"EAA{secrets.token_hex(16)}",
            "app_secret": secrets.token_hex(16),
            "verify_token": secrets.token_hex(8),
        },
        "twilio": {"account_sid": f"AC{secrets.token_hex(16)}", "auth_token": secrets.token_hex(16)},
        "sendgrid": {"api_key": f"SG.{secrets.token_hex(11)}.{secrets.token_hex(21)}"},
    }
    accounts = []
    for channel, provider in PROVIDERS.items():
        wanted: dict[str, Any] = {"provider": provider, "credentials": {**known[provider], **fresh[provider]}}
        if provider == "whatsapp_cloud":
            wanted["templates"] = listed.json()["data"]
        made = await simulator.post("/sandbox/accounts", wanted)
        accounts.append(Account(channel=channel, provider=provider, credentials=made["credentials"]))
    return accounts


async def connect_webhook(simulator: JsonClient, account: Account, url: str) -> None:
    """Tell the provider where to report. WhatsApp asks the URL for its challenge first."""
    answer = await simulator.post(
        "/sandbox/accounts",
        {"provider": account.provider, "credentials": account.credentials, "webhook_url": url},
    )
    if not answer["webhook"]["verified"]:
        raise DemoFailed(f"{account.provider} does not take the webhook {url}: {answer['webhook']['detail']}")


async def open_shop(simulator: JsonClient, url: str, key: str) -> None:
    """Where purchases are reported, with an API key of the tenant."""
    await simulator.put("/sandbox/shop", {"url": url, "api_key": key})
