"""`relay campaign watch`: how a campaign goes, through the API of a running Relay."""

import time
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli.errors import CommandError
from app.cli.remote import call, connected, local_url
from app.meter import Meter
from app.settings import load_settings

POLL_SECONDS = 0.5
ENDED = {"done", "failed", "cancelled"}

campaign = typer.Typer(name="campaign", help="Campaigns.", no_args_is_help=True)


@campaign.callback()
def _group() -> None:
    """Keeps `watch` a command of its own while it is the only one."""


@campaign.command()
def watch(
    campaign_id: Annotated[UUID, typer.Argument(metavar="ID", help="The campaign.")],
    api_key: Annotated[str, typer.Option(envvar="RELAY_API_KEY", help="An API key (rk_…).")] = "",
    url: Annotated[str, typer.Option(envvar="RELAY_URL", help="Address of the API; this machine's if absent.")] = "",
) -> None:
    """Follow a campaign until it is done: everybody decided, every follow-up armed. Sequences go on after that.

    Exits with 1 when the campaign failed or was cancelled.
    """
    if not api_key:
        raise CommandError("give an API key: RELAY_API_KEY or --api-key")
    with connected(url or local_url(load_settings()), api_key) as client, Meter("Campaign") as meter:
        while True:
            found = call(client, "GET", f"/v1/campaigns/{campaign_id}")
            decided, words = progress(found)
            meter.show(decided, found["counts"]["recipients"], words)
            if found["status"] in ENDED:
                break
            time.sleep(POLL_SECONDS)
    if found["status"] != "done":
        raise CommandError(f"the campaign is {found['status']}: {found['status_detail'] or 'see its workflow'}")
    if found["status_detail"]:
        typer.echo(found["status_detail"])


def progress(found: dict[str, Any]) -> tuple[int, str]:
    """How many recipients have an outcome, and the counts in words."""
    counts = found["counts"]
    names = ("sent", "delivered", "read", "replied", "converted", "failed", "skipped", "opted_out", "armed")
    waiting = [name for name in ("held", "unknown") if counts[name]]
    shown = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in (*names, *waiting))
    decided = max(counts["recipients"] - counts["queued"] - counts["held"], 0)
    return decided, f"{found['status']}: {shown}"
