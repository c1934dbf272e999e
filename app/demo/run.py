"""The demo from its first request to its report, on a platform that is up."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app import temporal
from app.db import Sessions, create_engine
from app.demo import cast, report, story
from app.demo.checks import Sides, compare
from app.demo.clients import JsonClient
from app.demo.facts import Facts, read_facts
from app.demo.place import Place
from app.demo.roster import read_roster
from app.demo.watch import Watch
from app.embedded import resolve_database_url

# Beyond the days between two steps, when nothing moves; and beyond the whole campaign, on a slow or busy machine.
PATIENCE_SECONDS, LONGEST_SECONDS = 90, 1_200
EXPLAINED = 25  # recipients whose `why` is read over the API


async def play(place: Place, *, contacts: int | None, began: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Play the campaign with the first `contacts` rows of the file and compare all counts; writes and returns the
    report. `began` is the monotonic time at which the command began. Raises DemoFailed."""
    file = first_rows(story.read_example("contacts.csv"), contacts)
    settings = place.resolved
    engine = create_engine(resolve_database_url(settings), pool_size=3)
    sessions = Sessions(engine)
    try:
        customer = await story.make_customer(sessions)
        async with JsonClient(place.api, customer.api_key) as api, JsonClient(place.simulator) as simulator:
            await cast.cast_people(simulator, day_seconds=settings.day_seconds)
            await story.connect_senders(api, simulator)
            await cast.open_shop(simulator, f"{place.api}/v1/conversions", customer.shop_key)
            templates = await story.add_templates(api)
            say(f"Tenant {customer.slug}: senders for {', '.join(story.CHANNELS)}, {len(templates)} templates")
            imported = await story.import_contacts(api, file)
            campaign = await story.launch(api, templates)
            say(
                "Launched over WhatsApp, then SMS, then e-mail; follow-ups at "
                f"{', '.join(f'J+{days}' for days, _ in story.FOLLOWUPS)}, a day lasts {settings.day_seconds} s, "
                "no quiet hours"
            )
            watch = Watch(
                api=api,
                simulator=simulator,
                sessions=sessions,
                engine=await temporal.connect(settings),
                tenant_id=customer.tenant_id,
                campaign=campaign,
                day_seconds=settings.day_seconds,
            )
            length = max(days for days, _ in story.FOLLOWUPS) * settings.day_seconds
            await watch.until_over(patience_seconds=length + PATIENCE_SECONDS, longest_seconds=length + LONGEST_SECONDS)
            facts = await read_facts(sessions, customer.tenant_id)
            sides = Sides(
                imported=imported,
                roster=read_roster(file, imported),
                facts=facts,
                stats=await simulator.get("/stats"),
                campaign=await api.get(f"/v1/campaigns/{campaign['id']}"),
                overview=await api.get("/v1/analytics/overview"),
                engine=await watch.workflows(),
                launched_at=datetime.fromisoformat(campaign["launched_at"]),
                day=timedelta(seconds=settings.day_seconds),
            )
            differences = compare(sides) + await explained(api, campaign["id"], facts)
    finally:
        await engine.dispose()
    result = {
        "ok": not differences,
        "seconds": round(time.monotonic() - began, 1),
        "tenant": {"id": str(customer.tenant_id), "slug": customer.slug},
        "campaign_id": campaign["id"],
        "day_seconds": settings.day_seconds,
        **report.summarize(sides),
        "addresses": {"api": place.api, "docs": f"{place.api}/docs", "temporal_ui": settings.temporal_ui_url},
        "differences": differences,
    }
    report.write(place.report, result)
    return result


def first_rows(file: bytes, contacts: int | None) -> bytes:
    """The header and so many lines; the example has no line breaks within cells."""
    lines = file.splitlines(keepends=True)
    return file if contacts is None else b"".join(lines[: contacts + 1])


async def explained(api: JsonClient, campaign_id: str, facts: Facts) -> list[dict[str, str]]:
    """Ask the API why for some recipients, one of each kind first, and compare the answer with the rows."""
    kinds: dict[tuple[str, ...], UUID] = {}
    for row in facts.recipients.values():
        kinds.setdefault((row.state.value, row.reason, str(row.stop_reason), str(row.step)), row.contact_id)
    found = []
    for contact_id in list(kinds.values())[:EXPLAINED]:
        why = await api.get(f"/v1/campaigns/{campaign_id}/recipients/{contact_id}/why")
        told = (len(why["decisions"]), len(why["messages"]))
        held = (len(facts.decisions[contact_id]), sum(one.contact_id == contact_id for one in facts.sent))
        if told != held:
            detail = f"contact {contact_id}: {told} decisions and messages, the database has {held}"
            found.append({"check": "why", "detail": detail})
    return found
