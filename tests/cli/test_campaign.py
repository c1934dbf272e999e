"""`relay campaign watch` against a running API."""

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console

from app.cli.watching import View, progress
from app.schemas.campaigns import READ_EXAMPLE

EXAMPLE: dict[str, Any] = dict(READ_EXAMPLE)
CAMPAIGN_ID = UUID(EXAMPLE["id"])


@contextmanager
def api(*answers: dict[str, Any]) -> Iterator[str]:
    """Answers the documented example with these changes, one after the other and then the last one again."""
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ours = self.headers["Authorization"] == "Bearer rk_test"
            if self.path == "/ready":
                status, body = 200, b"{}"
            else:
                changes = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                status, body = changes.get("http", 200), orjson.dumps({**EXAMPLE, **changes})
                ours = ours and self.path == f"/v1/campaigns/{CAMPAIGN_ID}"
            self.send_response(status if ours else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the tests' screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def watch(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", "campaign", "watch", str(CAMPAIGN_ID), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


class TestWatch:
    def test_it_follows_the_campaign_until_it_is_done(self) -> None:
        with api({"status": "running"}, {"status": "done", "status_detail": "The audience was empty."}) as url:
            done = watch("--url", url, "--api-key", "rk_test")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith("Campaign: 100 of 100, running: 90 sent, 80 delivered, 40 read")
        assert lines[-2].startswith("Campaign: 100 of 100, done: 90 sent")
        assert lines[-1] == "The audience was empty."

    def test_what_stands_still_is_said_once_with_what_to_do_and_when_it_is_over(self) -> None:
        refused = {
            "reason": "sender_refused",
            "detail": "whatsapp sender 'main' is refused by its provider: Session has expired (code 190)",
            "count": 40,
            "since": "2026-05-01T12:00:05.123Z",
            "until": None,
            "what_to_do": "PATCH the channel setting.",
            "channel_setting_id": EXAMPLE["id"],
        }
        running = {"status": "running", "waiting": [refused]}
        with api(running, running, {"status": "running", "waiting": []}, {"status": "done", "waiting": []}) as url:
            done = watch("--url", url, "--api-key", "rk_test")
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stdout.splitlines() if not line.startswith("Campaign:")]
        words = f"{refused['detail']} [since 2026-05-01T12:00:05Z] PATCH the channel setting."
        assert said == [f"Standing still: {words}", f"Goes on: {words}"]

    def test_it_goes_on_while_the_database_is_away(self) -> None:
        with api({"status": "running"}, {"http": 503}, {"http": 503}, {"status": "done"}) as url:
            done = watch("--url", url, "--api-key", "rk_test")
        assert done.returncode == 0, done.stderr
        assert "the database does not answer" in done.stdout

    def test_with_follow_ups_it_ends_when_they_are_over(self) -> None:
        over = {**EXAMPLE["counts"], "active": 0}
        with api({"status": "done"}, {"status": "done", "counts": over}) as url:
            done = watch("--url", url, "--api-key", "rk_test", "--follow-ups")
        assert done.returncode == 0, done.stderr

    def test_a_failed_campaign_is_a_failure(self) -> None:
        with api({"status": "failed", "status_detail": "No sender."}) as url:
            done = watch("--url", url, "--api-key", "rk_test")
        assert done.returncode == 1
        assert done.stderr == "relay: the campaign is failed: No sender.\n"

    def test_it_needs_a_key(self) -> None:
        done = watch("--api-key", "")
        assert done.returncode == 1
        assert "RELAY_API_KEY" in done.stderr


class TestProgress:
    def test_held_recipients_are_not_decided_and_are_shown(self) -> None:
        counts = {**EXAMPLE["counts"], "queued": 3, "held": 7}
        decided, words = progress({**EXAMPLE, "counts": counts})
        assert decided == 90
        assert words.endswith("90 armed, 7 held")


class TestView:
    def test_on_a_terminal_counts_channels_steps_and_what_stands_still_are_on_one_screen(self) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=160, height=30)
        with View(console) as view:
            view.show(EXAMPLE)
            view.note_away(["the workflow engine is away: It can't be reached."])
            view.show(EXAMPLE)
        shown = screen.getvalue()
        for words in ("Spring sale", "whatsapp", "step 0", "7 people waiting for", "the workflow engine is away"):
            assert words in shown
