"""The sandbox's customers: one fixed account per provider, and those registered over the control API."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.simulator.demo_templates import demo_templates
from app.simulator.files import replace_file
from app.simulator.signatures import resend_secret, sendgrid_public_key
from app.simulator.whatsapp.templates import Template, read_templates

WHATSAPP, TWILIO, SENDGRID, RESEND = "whatsapp_cloud", "twilio", "sendgrid", "resend"
MESSAGEBIRD, MAILGUN, SMTP = "messagebird", "mailgun", "smtp"

RESEND_API_KEY = "re_sandbox_key_not_for_production"
SENDGRID_API_KEY = "SG.sandbox-key-id.sandbox-key-secret-not-for-production"

DEFAULT_CREDENTIALS: dict[str, dict[str, str]] = {
    WHATSAPP: {
        "phone_number_id": "300400500600700",
        "waba_id": "200300400500600",
        "access_token": "EAAsandboxaccesstokennotforproduction",
        "app_secret": "sandbox-app-secret",
        "verify_token": "sandbox-verify-token",
    },
    TWILIO: {
        "account_sid": "AC5a0d0b0c5a0d0b0c5a0d0b0c5a0d0b0c",
        "auth_token": "5a0d0b0c0000000000000000000000aa",
        "from_number": "+15005550006",
    },
    MESSAGEBIRD: {
        "access_key": "test_sandbox_access_key",
        "originator": "3197010240000",
        "signing_key": "sandbox-signing-key-not-for-production",
    },
    SENDGRID: {
        "api_key": SENDGRID_API_KEY,
        "from_email": "hello@mail.example.org",
        "from_name": "Example Shop",
        "webhook_public_key": sendgrid_public_key(SENDGRID_API_KEY),
    },
    MAILGUN: {
        "api_key": "key-sandbox-not-for-production",
        "domain": "mg.example.org",
        "region": "us",
        "from_email": "hello@mg.example.org",
        "from_name": "Example Shop",
        "webhook_signing_key": "sandbox-http-webhook-signing-key",
    },
    RESEND: {
        "api_key": RESEND_API_KEY,
        "from_email": "hello@mail.example.org",
        "from_name": "Example Shop",
        "webhook_secret": resend_secret(RESEND_API_KEY),
    },
    SMTP: {
        "host": "127.0.0.1",
        "port": "2525",  # becomes the one that is listened on
        "security": "none",
        "username": "sandbox",
        "password": "sandbox-password-not-for-production",
        "from_email": "hello@mail.example.org",
        "from_name": "Example Shop",
        "bounce_domain": "bounces.mail.example.org",
        "inbound_secret": "sandbox-inbound-secret-not-for-production",
    },
}

# The field that names an account, and what else it can't work without.
IDENTITY = {
    WHATSAPP: "phone_number_id", TWILIO: "account_sid", MESSAGEBIRD: "access_key", SENDGRID: "api_key",
    MAILGUN: "domain", RESEND: "api_key", SMTP: "username",
}  # fmt: skip
REQUIRED = {
    WHATSAPP: ("phone_number_id", "waba_id", "access_token", "app_secret", "verify_token"),
    TWILIO: ("account_sid", "auth_token"),
    MESSAGEBIRD: ("access_key", "originator", "signing_key"),
    SENDGRID: ("api_key", "from_email"),
    MAILGUN: ("api_key", "domain", "from_email", "webhook_signing_key"),
    RESEND: ("api_key", "from_email"),
    SMTP: ("username", "password", "from_email"),
}


@dataclass(slots=True)
class Account:
    provider: str
    credentials: dict[str, str]
    webhook_url: str = ""  # all events, of Twilio inbound messages; empty: nothing is posted
    inbound_url: str = ""  # of SendGrid: where mail that people write is posted
    messages_per_second: float | None = None
    templates: str | list[dict[str, Any]] = field(default_factory=list)  # "*" accepts every template
    verified_senders: list[str] = field(default_factory=list)  # e-mail: further addresses (SendGrid) or whole domains
    display_phone_number: str = "15005550222"
    approved: dict[tuple[str, str], Template] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.credentials[IDENTITY[self.provider]]

    def as_json(self) -> dict[str, Any]:
        """What is kept in the state directory, and accepted again by the control API."""
        return {
            "provider": self.provider,
            "credentials": self.credentials,
            "webhook_url": self.webhook_url,
            "inbound_url": self.inbound_url,
            "messages_per_second": self.messages_per_second,
            "templates": self.templates,
            "verified_senders": self.verified_senders,
        }


class Accounts:
    """Found by what a request carries: a phone number id, an account SID, an API key or an access token."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.by_id: dict[tuple[str, str], Account] = {}
        self.tokens: dict[str, set[str]] = {}  # WhatsApp access token -> phone number ids
        for provider, credentials in DEFAULT_CREDENTIALS.items():
            templates = demo_templates() if provider == WHATSAPP else []
            self.put(Account(provider=provider, credentials=dict(credentials), templates=templates), save=False)
        if path is not None and path.exists():
            for kept in orjson.loads(path.read_bytes()):
                self.put(Account(**kept), save=False)

    def get(self, provider: str, account_id: str) -> Account | None:
        return self.by_id.get((provider, account_id))

    def default(self, provider: str) -> Account:
        return self.by_id[provider, DEFAULT_CREDENTIALS[provider][IDENTITY[provider]]]

    def put(self, account: Account, save: bool = True) -> None:
        """Add an account or replace the one with the same id. Raises ValueError naming a missing or wrong field."""
        missing = [name for name in REQUIRED[account.provider] if not account.credentials.get(name)]
        if missing:
            raise ValueError(f"credentials.{missing[0]} is required")
        if account.provider == TWILIO and not (
            account.credentials.get("from_number") or account.credentials.get("messaging_service_sid")
        ):
            raise ValueError("credentials.from_number or credentials.messaging_service_sid is required")
        if account.provider == SENDGRID:
            # The provider makes the key pair: whatever the caller sent, this is the key its webhooks verify with.
            account.credentials["webhook_public_key"] = sendgrid_public_key(account.id)
        if account.provider == RESEND:
            account.credentials["webhook_secret"] = resend_secret(account.id)
        if account.provider == WHATSAPP:
            account.approved = {} if account.templates == "*" else read_templates(account.templates)
        self.by_id[account.provider, account.id] = account
        self.tokens = {}
        for (provider, account_id), known in self.by_id.items():
            if provider == WHATSAPP:
                self.tokens.setdefault(known.credentials["access_token"], set()).add(account_id)
        if save:
            self.save()

    def save(self) -> None:
        if self.path is not None:
            replace_file(self.path, orjson.dumps([account.as_json() for account in self.by_id.values()]))
