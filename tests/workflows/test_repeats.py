"""A provider that knows our keys: the same request is sent again, through the gate, until it is settled."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel, Purpose, SuppressionReason
from app.models import Campaign, Contact, Message
from app.services import consents
from app.settings import Settings
from tests.world import World, working, world

LOSE_ALL = {"kind": "reset", "provider": "resend", "share": 1.0}


@pytest.fixture
async def relay(settings: Settings, sessions: Sessions, client: Client) -> AsyncIterator[World]:
    """E-mail goes over Resend, nobody reports, and an unknown outcome has a deadline of two seconds."""
    async with world(
        settings, sessions, client, day_seconds=2, followup_jitter_seconds=0, unknown_deadline_seconds=2
    ) as place:
        place.providers[Channel.EMAIL] = "resend"
        await place.at_any_hour()
        await place.add_senders()
        async with working(place):
            yield place


async def launch_by_email(relay: World, fallbacks: Sequence[str] = (), **options: Any) -> tuple[Contact, Campaign]:
    (contact,) = await relay.add_contacts(1)
    options |= {"primary_channel": Channel.EMAIL, "fallback_order_json": list(fallbacks)}
    return contact, await relay.launch(**options)


async def until_repeated(relay: World, times: int = 2) -> None:
    """Wait until the message was sent so often, and nobody knows what became of it."""
    await relay.until("SELECT attempts >= :times, status FROM messages", (True, "unknown"), times=times)


async def change(relay: World, sql: str, **values: Any) -> None:
    async with relay.sessions.begin(relay.tenant.id) as session:
        await session.execute(text(sql), values)


async def opt_out(relay: World, contact: Contact) -> None:
    async with relay.sessions.begin(relay.tenant.id) as session:
        await consents.record_opt_out(
            session,
            relay.tenant.id,
            contact.id,
            Channel.EMAIL,
            at=datetime.now(UTC),
            source="test",
            reason=SuppressionReason.UNSUBSCRIBE,
            address=contact.email or "",
        )


async def refusals(relay: World) -> dict[str, int]:
    stats = (await relay.http.get(f"{relay.simulator}/stats?summary=1")).json()
    found: dict[str, int] = stats["totals"]["resend"]["rejected"]
    return found


async def until_at_rest(relay: World) -> None:
    """Wait until it is unknown for good: marketing after the deadline."""
    await relay.until(
        "SELECT status, unresolved_since IS NULL, frozen_json IS NULL FROM messages", ("unknown", True, True)
    )


class TestCampaign:
    async def test_what_was_rendered_first_is_sent_again_whatever_changed_since(self, relay: World) -> None:
        await relay.faults(LOSE_ALL)
        contact, campaign = await launch_by_email(relay)
        await until_repeated(relay)
        await change(relay, "UPDATE contacts SET first_name = 'Beatriz'")
        await until_repeated(relay, times=4)
        await relay.faults()
        await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
        assert await relay.sent_to(contact) == [(0, "email", 1)]
        assert await refusals(relay) == {}
        assert await relay.rows("SELECT payload_json->>'subject', frozen_json FROM messages") == [("For Ana", None)]

    async def test_a_follow_up_too(self, relay: World) -> None:
        contact, campaign = await launch_by_email(relay, followups=(1,))
        await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
        await relay.faults({"kind": "reset", "provider": "resend", "next": 2})
        await relay.until_sent(campaign, contact, 1, Channel.EMAIL)
        assert await relay.sent_to(contact) == [(0, "email", 1), (1, "email", 1)]

    async def test_one_that_never_arrived_is_sent_by_the_repeat(self, relay: World) -> None:
        await relay.faults({"kind": "error", "provider": "resend", "next": 2, "status": 500})
        contact, campaign = await launch_by_email(relay)
        await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
        assert await relay.sent_to(contact) == [(0, "email", 1)]

    async def test_a_refusal_that_passes_leaves_it_open(self, relay: World) -> None:
        await relay.faults(
            {"kind": "reset", "provider": "resend", "next": 1},
            {"kind": "throttle", "provider": "resend", "next": 1, "retry_after": 1},
            {"kind": "error", "provider": "resend", "next": 1, "status": 409},
        )
        contact, campaign = await launch_by_email(relay, ["sms"])
        await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
        assert await relay.sent_to(contact) == [(0, "email", 1)]

    async def test_whoever_opted_out_meanwhile_is_not_written_to_again_on_any_channel(self, relay: World) -> None:
        await relay.faults(LOSE_ALL)
        contact, campaign = await launch_by_email(relay, ["sms", "whatsapp"])
        await until_repeated(relay)
        await opt_out(relay, contact)
        await until_at_rest(relay)
        assert await relay.sent_to(contact) == [(0, "email", 1)]
        verdicts = await relay.rows("SELECT verdict, reason FROM decisions ORDER BY created_at DESC LIMIT 1")
        assert verdicts == [("skip", "suppressed_unsubscribe")]

    async def test_when_the_key_has_expired_it_is_unknown_as_elsewhere(self, relay: World) -> None:
        await relay.faults(LOSE_ALL)
        contact, _ = await launch_by_email(relay, ["sms"])
        await until_repeated(relay)
        await change(relay, "UPDATE messages SET repeat_until = now()")
        await until_at_rest(relay)
        assert await relay.sent_to(contact) == [(0, "email", 1)]

    async def test_a_key_that_was_used_for_something_else_settles_nothing(self, relay: World) -> None:
        await relay.faults(LOSE_ALL)
        contact, _ = await launch_by_email(relay, ["sms"])
        await until_repeated(relay)
        await change(relay, "UPDATE messages SET frozen_json = jsonb_set(frozen_json, '{content,text}', '\"other\"')")
        await until_at_rest(relay)
        assert await relay.sent_to(contact) == [(0, "email", 1)]
        assert await refusals(relay) == {"invalid_idempotent_request": 1}

    async def test_one_that_everybody_left_is_handed_back_by_the_resolver(self, relay: World) -> None:
        await relay.faults(LOSE_ALL)
        contact, campaign = await launch_by_email(relay)
        await until_repeated(relay)
        # as when the activity that holds step 0 back died: nobody looks at the recipient any more
        await change(relay, "UPDATE campaign_recipients SET state = 'queued', hold_until = NULL")
        await relay.faults()
        await change(relay, "UPDATE messages SET next_attempt_at = now() - interval '10 minutes'")
        await relay.until_sent(campaign, contact, 0, Channel.EMAIL)
        assert await relay.sent_to(contact) == [(0, "email", 1)]


class TestSingleSend:
    @pytest.mark.parametrize("purpose", Purpose)
    async def test_lost_answers_are_asked_for_again(self, relay: World, purpose: Purpose) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults({"kind": "reset", "provider": "resend", "next": 3})
        message = await send(relay, contact, purpose)
        await change(relay, "UPDATE contacts SET first_name = 'Beatriz'")
        assert await relay.outcome(message) == "sent"
        assert await relay.accepted() == {(contact.email, str(message.id)): 1}
        assert await refusals(relay) == {}

    async def test_whoever_opted_out_meanwhile_is_not_written_to_again(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults(LOSE_ALL)
        await send(relay, contact, Purpose.MARKETING)
        await until_repeated(relay)
        await opt_out(relay, contact)
        await until_at_rest(relay)
        assert set((await relay.accepted()).values()) == {1}

    async def test_after_the_key_has_expired_transactional_follows_its_policy(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults(LOSE_ALL)
        message = await send(relay, contact, Purpose.TRANSACTIONAL)
        await until_repeated(relay)
        await relay.behave(resend_key_seconds=0.001)
        await change(relay, "UPDATE messages SET repeat_until = now()")
        await relay.faults()
        assert await relay.outcome(message) == "sent"
        assert await relay.accepted() == {(contact.email, str(message.id)): 2}


async def send(relay: World, contact: Contact, purpose: Purpose) -> Message:
    return await relay.send(contact, Channel.EMAIL, purpose=purpose)
