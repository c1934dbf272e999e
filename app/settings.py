"""Every setting of Relay, read from the environment (prefix `RELAY_`) and from `.env`."""

import base64
import binascii
import sys
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

REAL_DAY_SECONDS = 86_400
PROVIDER_BASE_URLS = {
    "whatsapp_cloud": "https://graph.facebook.com",
    "twilio": "https://api.twilio.com",
    "messagebird": "https://rest.messagebird.com",
    "sendgrid": "https://api.sendgrid.com",
    "mailgun": "https://api.mailgun.net",
    "resend": "https://api.resend.com",
}


class Settings(BaseSettings):
    """One instance per process. A missing or wrong value stops the start with one line that names it."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", env_file=".env", extra="ignore")

    data_dir: Path = Path(".relay")
    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=1, le=65_535)
    temporal_port: int = Field(7233, ge=1, le=65_535)
    temporal_ui_port: int = Field(8233, ge=1, le=65_535)
    simulator_port: int = Field(8900, ge=1, le=65_535)
    simulator_smtp_port: int = Field(2525, ge=1, le=65_535)
    public_url: str = ""

    database_url: SecretStr | None = None
    database_pool_size: int = Field(10, ge=1, le=200)

    temporal_address: str | None = None
    temporal_namespace: str = "relay"
    temporal_api_key: SecretStr | None = None
    temporal_tls_ca_file: Path | None = None
    temporal_tls_cert_file: Path | None = None
    temporal_tls_key_file: Path | None = None
    temporal_ui_url: str = ""

    master_keys: SecretStr | None = None

    day_seconds: int = Field(REAL_DAY_SECONDS, ge=1, le=REAL_DAY_SECONDS)
    followup_jitter_seconds: float = Field(300, ge=0, le=3_600)
    unknown_deadline_seconds: int = Field(900, ge=1)

    whatsapp_cloud_base_url: str = PROVIDER_BASE_URLS["whatsapp_cloud"]
    whatsapp_cloud_version: str = Field("v23.0", pattern=r"^v\d+\.\d+$")
    twilio_base_url: str = PROVIDER_BASE_URLS["twilio"]
    messagebird_base_url: str = PROVIDER_BASE_URLS["messagebird"]
    sendgrid_base_url: str = PROVIDER_BASE_URLS["sendgrid"]
    mailgun_base_url: str = PROVIDER_BASE_URLS["mailgun"]
    resend_base_url: str = PROVIDER_BASE_URLS["resend"]
    smtp_base_url: str = ""  # every tenant names a server of its own

    send_concurrency: int = Field(100, ge=1, le=1_000)
    provider_timeout_seconds: float = Field(15, gt=0)
    max_body_bytes: int = Field(1_000_000, ge=1_000)
    max_webhook_bytes: int = Field(3_500_000, ge=1_000)
    max_mail_bytes: int = Field(31_000_000, ge=1_000)
    max_import_bytes: int = Field(512_000_000, ge=1_000)
    drain_seconds: float = Field(25, gt=0)
    log_level: str = "INFO"
    log_json: bool = False

    @field_validator(*(f"{provider}_base_url" for provider in PROVIDER_BASE_URLS), "public_url", "temporal_ui_url")
    @classmethod
    def _is_an_http_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("smtp_base_url")
    @classmethod
    def _is_a_mail_server(cls, value: str) -> str:
        if value:
            address = urlsplit(value)
            plain = not (address.path.strip("/") or address.query or address.username)
            if address.scheme not in ("smtp", "smtps") or not address.hostname or not address.port or not plain:
                raise ValueError("must be smtp://host:port, or smtps:// for TLS from the first byte")
        return value.rstrip("/")

    @field_validator("master_keys")
    @classmethod
    def _are_256_bit_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_master_keys(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _derive_addresses(self) -> Self:
        if not self.public_url:
            self.public_url = f"http://{self.api_host}:{self.api_port}"
        if not self.temporal_ui_url:
            self.temporal_ui_url = f"http://127.0.0.1:{self.temporal_ui_port}"
        return self

    @property
    def moved_providers(self) -> frozenset[str]:
        """The providers whose API was moved off its real address; while a day is shortened only these may be used."""
        real = {**PROVIDER_BASE_URLS, "smtp": ""}
        return frozenset(name for name, address in real.items() if self.base_url(name) != address)

    @property
    def temporal_target(self) -> str:
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @cached_property
    def keys(self) -> dict[str, bytes]:
        """Master keys by id, the current one first; empty when none is set."""
        return parse_master_keys(self.master_keys.get_secret_value()) if self.master_keys else {}

    def base_url(self, provider: str) -> str:
        return str(getattr(self, f"{provider}_base_url"))


def parse_master_keys(text: str) -> dict[str, bytes]:
    """Read `kid:base64,…` into 32-byte keys by id, in order. Raises ValueError without repeating the key."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        kid, separator, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not separator or not kid or len(key) != 32:
            raise ValueError("must be kid:base64 pairs separated by commas, each key 32 bytes long")
        keys[kid] = key
    if not keys:
        raise ValueError("must hold at least one kid:base64 pair")
    return keys


def load_settings(**overrides: object) -> Settings:
    """Read the settings, or stop the process with one line that names what is wrong."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors()[0]
        name = "RELAY_" + "_".join(str(part) for part in problem["loc"]).upper() if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        sys.exit(f"relay: {name + ': ' if name else ''}{message}")


def require_sandbox(settings: Settings) -> Settings:
    """For what sends: stop the process when a day is shortened and no provider was moved off its real address, because
    it would write to real people every few seconds."""
    if settings.day_seconds < REAL_DAY_SECONDS and not settings.moved_providers:
        sys.exit(
            f"relay: RELAY_DAY_SECONDS={settings.day_seconds}: a day may be shortened only in the sandbox; point at "
            f"least one RELAY_<PROVIDER>_BASE_URL at a simulator, or leave it at {REAL_DAY_SECONDS}"
        )
    return settings
