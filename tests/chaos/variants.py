"""Which channels a campaign takes, and by whom."""

import secrets
from dataclasses import dataclass
from typing import Any

from app.demo import cast, story
from app.demo.clients import JsonClient


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The order of the channels. `resend` sends e-mail by the provider that knows our keys, instead of SendGrid."""

    name: str
    channels: tuple[str, ...]
    resend: bool = False


# WhatsApp resolves an unknown send by a report, Twilio by a look-up, Resend by the same request with the same key.
VARIANTS = (
    Variant(name="whatsapp, sms, email by SendGrid", channels=("whatsapp", "sms", "email")),
    Variant(name="email by Resend, sms, whatsapp", channels=("email", "sms", "whatsapp"), resend=True),
)


def variant_of(seed: int) -> Variant:
    return VARIANTS[seed % len(VARIANTS)]


async def connect(api: JsonClient, simulator: JsonClient, variant: Variant, per_second: int) -> None:
    """A sender per channel at Relay with this limit, and where its provider reports to."""
    await story.connect_senders(api, simulator)
    if variant.resend:
        await _add_resend(api, simulator)
    for setting in (await api.get("/v1/onboarding/channel-settings"))["items"]:
        limits = {"messages_per_second": per_second}
        await api.call("PATCH", f"/v1/onboarding/channel-settings/{setting['id']}", json={"limits": limits})


async def _add_resend(api: JsonClient, simulator: JsonClient) -> None:
    known: dict[str, str] = (await simulator.get("/sandbox/accounts"))["resend"]
    wanted: dict[str, Any] = {
        "provider": "resend",
        "credentials": {**known, "api_key": f"re_{secrets.token_hex(16)}"},
    }
    made = await simulator.post("/sandbox/accounts", wanted)
    setting = await api.post(
        "/v1/onboarding/channel-settings",
        {
            "channel": "email",
            "provider": "resend",
            "name": "resend",
            "credentials": made["credentials"],
            "is_default": True,
        },
    )
    account = cast.Account(channel="email", provider="resend", credentials=made["credentials"])
    await cast.connect_webhook(simulator, account, setting["webhook_url"])
