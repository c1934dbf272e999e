"""The five minutes of the README, as a reader would paste them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.embedded.ports import free_port

ROOT = Path(__file__).parents[2]
RELAY = Path(sys.executable).parent / "relay"
PORTS = {"API_PORT": "8000", "TEMPORAL_PORT": "7233", "TEMPORAL_UI_PORT": "8233", "SIMULATOR_PORT": "8900",
         "SIMULATOR_SMTP_PORT": "2525"}  # fmt: skip
# What the tour says will be seen; reports and signals take their time.
SEEN = """
for _ in $(seq 120); do
  call GET /v1/campaigns/$CAMPAIGN > campaign.json
  [ "$(grep -oE '"(opted_out|converted)":1|"delivered":3' campaign.json | sort -u | wc -l)" = 3 ] && break
  sleep 0.5
done
call GET /v1/campaigns/$CAMPAIGN/recipients/$RUI/why > why.json
"""


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A directory below which `relay up` runs on ports of its own, and the shell's environment."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp"))
        ports = {f"RELAY_{name}": str(free_port()) for name in PORTS}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        given = {**plain, **ports, "RELAY_DATA_DIR": f"{directory}/data", "PYTHONPATH": str(ROOT)}
        platform = stack.enter_context(
            subprocess.Popen([RELAY, "up"], env=given, cwd=directory, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(platform.send_signal, signal.SIGTERM)
        assert platform.stdout is not None
        told = []
        for line in platform.stdout:
            told.append(line)
            if line.startswith("Relay is running"):
                break
        assert told[-1].startswith("Relay is running"), "".join(told)
        yield given


def tour(environment: dict[str, str]) -> str:
    """The blocks between the marks, with the ports of this run and the program of this installation."""
    page = (ROOT / "README.md").read_text()
    part = page.partition("<!-- tour:begin -->")[2].partition("<!-- tour:end -->")[0]
    script = "\n".join(re.findall(r"```bash\n(.*?)```", part, re.DOTALL))
    for name, port in PORTS.items():
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{environment[f'RELAY_{name}']}")
    return (
        script.replace(".venv/bin/relay", str(RELAY))
        .replace("@examples/", f"@{ROOT}/examples/")
        .replace("< examples/", f"< {ROOT}/examples/")
    )


class TestTour:
    def test_every_command_works_and_shows_what_the_readme_says(self, environment: dict[str, str]) -> None:
        directory = Path(environment["RELAY_DATA_DIR"]).parent
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", tour(environment) + SEEN],
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        campaign = json.loads((directory / "campaign.json").read_text())
        counts = {name: campaign["counts"][name] for name in ("sent", "delivered", "opted_out", "converted", "armed")}
        assert counts == {"sent": 3, "delivered": 3, "opted_out": 1, "converted": 1, "armed": 3}
        assert campaign["skipped_by_reason"] == {"no_consent": 1}
        assert {name: channel["sent"] for name, channel in campaign["by_channel"].items()} == {"whatsapp": 2, "sms": 1}
        why = json.loads((directory / "why.json").read_text())
        verdicts = [(one["channel"], one["verdict"], one["reason"]) for one in why["decisions"]]
        assert verdicts == [("whatsapp", "skip", "suppressed_stop"), ("sms", "send", "allowed")]
