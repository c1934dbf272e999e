"""With the simulator on, the providers' addresses are the simulator's, unless the operator moved them himself."""

import os
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from app.settings import PROVIDER_BASE_URLS, Settings, load_settings, require_sandbox


class _Given(BaseSettings):
    """What the environment and `.env` say, unchecked: `Settings` is built, and complains, later."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", env_file=".env", extra="allow")

    simulator_port: str = str(Settings.model_fields["simulator_port"].default)
    simulator_smtp_port: str = str(Settings.model_fields["simulator_smtp_port"].default)
    whatsapp_cloud_base_url: str = ""
    twilio_base_url: str = ""
    messagebird_base_url: str = ""
    sendgrid_base_url: str = ""
    mailgun_base_url: str = ""
    resend_base_url: str = ""
    smtp_base_url: str = ""


def simulator_addresses(port: int | str, smtp_port: int | str) -> dict[str, str]:
    """Where the simulator is, for each provider."""
    return {**dict.fromkeys(PROVIDER_BASE_URLS, f"http://127.0.0.1:{port}"), "smtp": f"smtp://127.0.0.1:{smtp_port}"}


def platform_settings(*, simulator: bool, data_dir: Path | None = None) -> Settings:
    """The settings of `relay up` and `relay demo`, or an exit with one line that names what is wrong.

    The addresses go into the environment before the settings are read: a short day is refused without them.
    """
    if data_dir is not None:
        os.environ["RELAY_DATA_DIR"] = str(data_dir.expanduser().resolve())
    if simulator:
        given = _Given()
        for provider, address in simulator_addresses(given.simulator_port, given.simulator_smtp_port).items():
            if not getattr(given, f"{provider}_base_url"):
                os.environ[f"RELAY_{provider.upper()}_BASE_URL"] = address
    return require_sandbox(load_settings())


def child_environment(settings: Settings, *, simulator: bool) -> dict[str, str]:
    """The environment that gives a child exactly these settings, wherever they came from."""
    environment = dict(os.environ)
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            text = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
            environment[f"RELAY_{name.upper()}"] = text
    if simulator:
        for provider, address in simulator_addresses(settings.simulator_port, settings.simulator_smtp_port).items():
            if f"{provider}_base_url" not in settings.model_fields_set:
                environment[f"RELAY_{provider.upper()}_BASE_URL"] = address
    return environment
