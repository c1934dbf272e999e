"""`relay campaign watch`: how a campaign goes, through the API of a running Relay."""

import time
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer

from app.cli.errors import CommandError
from app.cli.remote import call, connected, local_url
from app.cli.watching import View
from app.settings import load_settings

POLL_SECONDS = 0.5
READY_EVERY_SECONDS = 5.0
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
    follow_ups: Annotated[bool, typer.Option("--follow-ups", help="Go on until every follow-up is over.")] = False,
) -> None:
    """Follow a campaign: its counts, how fast it goes, what stands still and why. It goes on while the API is away.

    Ends with 0 when it is done: everybody decided, every follow-up armed (with --follow-ups: over). Ends with 1 when it
    failed or was cancelled.
    """
    if not api_key:
        raise CommandError("give an API key: RELAY_API_KEY or --api-key")
    with connected(url or local_url(load_settings()), api_key) as client, View() as view:
        found = call(client, "GET", f"/v1/campaigns/{campaign_id}")
        while True:
            view.show(found)
            if found["status"] in ENDED and not (
                follow_ups and found["status"] == "done" and found["counts"]["active"]
            ):
                break
            time.sleep(POLL_SECONDS)
            found = _next(client, campaign_id, view, found)
    if found["status"] != "done":
        raise CommandError(f"the campaign is {found['status']}: {found['status_detail'] or 'see its workflow'}")
    if found["status_detail"]:
        typer.echo(found["status_detail"])


def _next(client: httpx.Client, campaign_id: UUID, view: View, last: dict[str, Any]) -> dict[str, Any]:
    """The campaign as it is now; as it was last while the API or the database is away. Raises CommandError for what
    waiting does not mend."""
    try:
        answer = client.get(f"/v1/campaigns/{campaign_id}")
        if view.ready_is_due(READY_EVERY_SECONDS):
            view.note_away(_away(client.get("/ready")))
    except httpx.TransportError as error:
        view.note_away([f"the API at {client.base_url} does not answer ({error})"])
        return last
    if answer.status_code in {502, 503, 504}:
        view.note_away(["the database does not answer"])
        return last
    return call(client, "GET", f"/v1/campaigns/{campaign_id}") if answer.is_error else dict(answer.json())


def _away(ready: httpx.Response) -> list[str]:
    """What the API says is away."""
    if ready.status_code != 503:
        return []
    names = {"engine": "the workflow engine", "database": "the database"}
    return [
        f"{names.get(error['pointer'], error['pointer'])} is away: {error['detail']}"
        for error in ready.json()["errors"]
    ]
