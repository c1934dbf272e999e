import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from app.cli import app as program
from app.domain.gate import CAMPAIGN_ENDED, RULES, STOPPED
from app.domain.segment import parse_segment
from app.domain.status import ALLOWED_MOVES, SuppressionReason
from app.domain.template import compile_template
from app.settings import Settings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"postgres", "temporal", "temporal-ui", "api", "worker"}
ONE_SHOTS = {"temporal-schema", "temporal-namespace", "migrate"}

OF_THE_COMMANDS = {"RELAY_API_KEY", "RELAY_URL"}  # for clients of the API, which need no settings

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PLACES = ("app/", "workflows/", "activities/", "tests/", "docs/", "deploy/", "examples/", ".ci/")
FILES = {"api.py", "worker.py", "Dockerfile", "Makefile", "docker-compose.yml", "README.md"}


def prose(page: Path) -> str:
    """Without the fenced blocks, in which brackets and backticks mean something else."""
    return FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The names by which its headings can be linked to, as code hosts make them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose(page))}


def services() -> dict[str, Any]:
    """The services of docker-compose.yml by name."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def json_blocks(page: Path) -> list[Any]:
    return [json.loads(text) for lang, text in FENCED.findall(page.read_text()) if lang == "json"]


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_link_leads_to_a_file_and_a_heading_that_exist(self, page: Path) -> None:
        for target in LINK.findall(prose(page)):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.is_file(), target
            assert not anchor or anchor in anchors(linked), target


class TestFiles:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_file_that_is_named_exists(self, page: Path) -> None:
        for name in CODE.findall(prose(page)):
            if name in FILES or (name.startswith(PLACES) and " " not in name):
                assert (ROOT / name).exists(), name

    def test_every_file_that_the_tour_sends_exists(self) -> None:
        sent = re.findall(r"@(examples/\S+?)(?= |\)|\|)", README.read_text())
        assert sent
        for name in sent:
            for channel in ("whatsapp", "sms", "email"):
                assert (ROOT / name.replace("$channel", channel)).is_file(), name


class TestSettings:
    def test_every_setting_is_in_the_readme(self) -> None:
        documented = set(re.findall(r"`(RELAY_[A-Z_]+)`", README.read_text()))
        assert {f"RELAY_{name.upper()}" for name in Settings.model_fields} - documented == set()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_no_page_names_a_setting_that_does_not_exist(self, page: Path) -> None:
        known = {f"RELAY_{name.upper()}" for name in Settings.model_fields} | OF_THE_COMMANDS
        assert set(re.findall(r"\bRELAY_[A-Z_]+[A-Z]\b", page.read_text())) - known == set()


class TestCommands:
    def test_every_command_that_is_named_exists(self) -> None:
        commands = {info.name or info.callback.__name__ for info in program.registered_commands if info.callback}
        groups = {group.typer_instance.info.name for group in program.registered_groups if group.typer_instance}
        for page in PAGES:
            named = set(re.findall(r"(?:`|bin/|exec api |^)relay ([a-z]+)", page.read_text(), re.MULTILINE))
            assert named - commands - groups == set(), page.name


class TestMake:
    def test_every_target_that_is_named_exists(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        for page in PAGES:
            named = set(re.findall(r"(?:`|^|; )(?:\w+=\S+ )*make ([a-z-]+)", page.read_text(), re.MULTILINE))
            assert named - targets == set(), page.name

    def test_ci_runs_checks_and_tests(self) -> None:
        script = ROOT / ".ci/run"
        assert script.stat().st_mode & 0o111
        assert re.findall(r"^make (\w+)$", script.read_text(), re.MULTILINE) == ["check", "test"]


class TestArchitecture:
    def test_every_rule_of_the_gate_is_explained_in_its_order(self) -> None:
        section = ARCHITECTURE.read_text().partition("## The gate")[2].partition("\n## ")[0]
        rules = re.findall(r"^\| \d+ \| (\w+) \|", section, re.MULTILINE)
        assert rules == [rule.__name__ for rule in RULES]
        reasons = {*CAMPAIGN_ENDED.values(), *STOPPED.values(), *(f"suppressed_{r.value}" for r in SuppressionReason)}
        assert reasons - set(re.findall(r"`(\w+)`", section)) == set()

    def test_the_table_of_moves_is_the_one_of_the_code(self) -> None:
        section = ARCHITECTURE.read_text().partition("## Statuses")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)
        told = {status: set(re.findall(r"[a-z]+", moves.partition(":")[0])) for status, moves in rows}
        assert told == {status.value: {move.value for move in moves} for status, moves in ALLOWED_MOVES.items()}


class TestApiGuide:
    def test_every_example_of_a_segment_is_one(self) -> None:
        segments = [block for block in json_blocks(ROOT / "docs/api.md") if {"all", "any", "not"} & set(block)]
        assert len(segments) == 3
        for segment in segments:
            parse_segment(segment)

    def test_every_template_compiles(self) -> None:
        shown = [block for block in json_blocks(ROOT / "docs/api.md") if "core_schema" in block]
        files = [json.loads((ROOT / "examples/tour/template.json").read_text())]
        assert shown
        for template in shown + files:
            compile_template(template["core_schema"], lang=template["lang"])


class TestContainers:
    def test_every_program_runs_with_a_health_check(self) -> None:
        assert set(services()) == PROGRAMS | ONE_SHOTS
        for name in PROGRAMS:
            assert services()[name]["healthcheck"]["test"], name
            assert services()[name]["restart"] == "unless-stopped", name

    def test_programs_wait_for_what_they_need(self) -> None:
        for service in services().values():
            for needed, how in service.get("depends_on", {}).items():
                wanted = "service_completed_successfully" if needed in ONE_SHOTS else "service_healthy"
                assert how["condition"] == wanted

    def test_every_mounted_file_exists(self) -> None:
        mounts = [volume for service in services().values() for volume in service.get("volumes", [])]
        files = [source for source, _, _ in (mount.partition(":") for mount in mounts) if source.startswith("./")]
        assert len(files) == 4
        for source in files:
            assert (ROOT / source).is_file(), source

    def test_every_needed_value_has_no_default_and_is_in_the_example(self) -> None:
        text = (ROOT / "docker-compose.yml").read_text()
        needed = set(re.findall(r"\$\{([A-Z_]+):\?", text))
        given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
        assert needed == set(given)
        assert not any(given.values())
        secret = {name for name in re.findall(r"\$\{([A-Z_]+):-", text) if re.search("PASSWORD|KEY|SECRET", name)}
        assert secret == set()

    def test_every_setting_given_to_a_container_exists(self) -> None:
        known = {f"RELAY_{name.upper()}" for name in Settings.model_fields} | {"RELAY_READY_FILE"}
        for name in ("api", "worker", "migrate"):
            assert set(services()[name]["environment"]) - known == set()

    def test_only_loopback_is_published(self) -> None:
        for service in services().values():
            for port in service.get("ports", []):
                assert port.startswith("127.0.0.1:")

    def test_the_image_has_the_locked_packages_no_root_and_no_secrets(self) -> None:
        dockerfile = (ROOT / "Dockerfile").read_text()
        assert "pip install --require-hashes -r requirements.lock" in dockerfile
        assert re.search(r"^USER relay$", dockerfile, re.MULTILINE)
        assert "HEALTHCHECK" in dockerfile
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert "*" in ignored
        assert "!.env" not in ignored
