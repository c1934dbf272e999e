from pathlib import Path

import pytest
from pydantic import SecretStr

from app.embedded.datadir import DataDir
from app.embedded.sandbox import child_environment, platform_settings
from app.settings import PROVIDER_BASE_URLS, Settings

SIMULATOR = "http://127.0.0.1:9901"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The function under test writes to the environment: what it may write is put back afterwards."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *(f"{provider.upper()}_BASE_URL" for provider in (*PROVIDER_BASE_URLS, "smtp")),
        "DAY_SECONDS",
        "DATA_DIR",
    ):
        monkeypatch.setenv(f"RELAY_{name}", "")
        monkeypatch.delenv(f"RELAY_{name}")
    monkeypatch.setenv("RELAY_SIMULATOR_PORT", "9901")
    monkeypatch.setenv("RELAY_SIMULATOR_SMTP_PORT", "9902")


class TestPlatformSettings:
    def test_every_provider_is_the_simulator(self) -> None:
        settings = platform_settings(simulator=True)
        assert {settings.base_url(provider) for provider in PROVIDER_BASE_URLS} == {SIMULATOR}
        assert settings.smtp_base_url == "smtp://127.0.0.1:9902"
        assert settings.moved_providers == {*PROVIDER_BASE_URLS, "smtp"}

    def test_a_provider_the_operator_moved_stays_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RELAY_TWILIO_BASE_URL", "http://elsewhere:1")
        settings = platform_settings(simulator=True)
        assert settings.twilio_base_url == "http://elsewhere:1"
        assert settings.sendgrid_base_url == SIMULATOR

    def test_so_does_one_moved_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("RELAY_TWILIO_BASE_URL=http://elsewhere:1\n")
        assert platform_settings(simulator=True).twilio_base_url == "http://elsewhere:1"

    def test_a_short_day_is_accepted_with_the_simulator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RELAY_DAY_SECONDS", "3")
        assert platform_settings(simulator=True).day_seconds == 3

    def test_a_short_day_is_refused_without_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("RELAY_DAY_SECONDS", "3")
        with pytest.raises(SystemExit, match="RELAY_DAY_SECONDS"):
            platform_settings(simulator=False)

    def test_the_directory_of_the_command_line_wins(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RELAY_DATA_DIR", "elsewhere")
        assert platform_settings(simulator=False, data_dir=Path("here")).data_dir == tmp_path / "here"


class TestChildEnvironment:
    def test_settings_made_in_code_reach_the_children(self, data: DataDir) -> None:
        settings = Settings(
            _env_file=None, data_dir=data.root, api_port=8_123, log_json=True, database_url=SecretStr("postgresql://x")
        )
        environment = child_environment(settings, simulator=False)
        assert environment["RELAY_API_PORT"] == "8123"
        assert environment["RELAY_LOG_JSON"] == "True"
        assert environment["RELAY_DATABASE_URL"] == "postgresql://x"
        assert "RELAY_TWILIO_BASE_URL" not in environment
        assert "RELAY_MASTER_KEYS" not in environment

    def test_the_simulator_takes_the_place_of_providers_left_alone(self, data: DataDir) -> None:
        settings = Settings(_env_file=None, data_dir=data.root, twilio_base_url="http://elsewhere:1")
        environment = child_environment(settings, simulator=True)
        assert environment["RELAY_TWILIO_BASE_URL"] == "http://elsewhere:1"
        assert environment["RELAY_SENDGRID_BASE_URL"] == SIMULATOR
