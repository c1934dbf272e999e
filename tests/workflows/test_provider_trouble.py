"""What providers do wrong while a campaign runs: nothing is lost and nothing is sent twice."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import CampaignStatus, Channel
from app.ids import campaign_workflow_id
from app.models import Campaign
from app.settings import Settings
from tests.world import World, working, world

ONLY_WHATSAPP: dict[str, list[str]] = {"fallback_order_json": []}


async def assert_each_once(relay: World, count: int) -> None:
    accepted = await relay.accepted()
    assert len(accepted) == count
    assert set(accepted.values()) == {1}


@asynccontextmanager
async def forwarding(listener: socket.socket, to: str) -> AsyncIterator[None]:
    """The address of `listener`, bound but deaf until now, leads to `to`."""
    target = urlsplit(to)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # the other side has seen it too
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    listener.listen()
    server = await asyncio.start_server(serve, sock=listener)
    try:
        yield
    finally:
        server.close()


class TestLimits:
    async def test_429_slows_the_sender_and_loses_nothing(self, relay: World) -> None:
        await relay.add_contacts(60)
        await relay.faults({"kind": "throttle", "next": 25, "retry_after": 1})
        campaign = await relay.launch(**ONLY_WHATSAPP)
        await relay.until_status(campaign, CampaignStatus.DONE)
        await assert_each_once(relay, 60)
        blocked = await relay.rows(
            "SELECT blocked_until IS NOT NULL FROM rate_buckets WHERE blocked_until > '-infinity'"
        )
        assert blocked == [(True,)]

    async def test_a_limit_below_ours_is_found_and_everybody_is_reached(self, relay: World) -> None:
        await relay.put_account(Channel.SMS, relay.credentials[Channel.SMS], messages_per_second=30)
        await relay.add_contacts(80)
        campaign = await relay.launch(primary_channel=Channel.SMS, fallback_order_json=[])
        await relay.until_status(campaign, CampaignStatus.DONE)
        await assert_each_once(relay, 80)

    async def test_two_messages_to_one_person_at_once_only_wait_for_each_other(self, relay: World) -> None:
        await relay.behave(pair_burst=1, pair_seconds=1)
        await relay.add_contacts(3)
        first, second = await relay.launch(**ONLY_WHATSAPP), await relay.launch(**ONLY_WHATSAPP)
        await relay.until_status(first, CampaignStatus.DONE)
        await relay.until_status(second, CampaignStatus.DONE)
        await assert_each_once(relay, 6)


class TestOutage:
    async def test_a_provider_that_refuses_for_a_while_gets_everything_once(self, relay: World) -> None:
        await relay.add_contacts(40)
        await relay.faults({"kind": "error", "provider": "whatsapp_cloud", "next": 60, "status": 503, "code": 131016})
        campaign = await relay.launch(**ONLY_WHATSAPP)
        await relay.until_status(campaign, CampaignStatus.DONE)
        await assert_each_once(relay, 40)
        assert await relay.statuses(campaign) == {(0, "whatsapp", "sent"): 40}

    async def test_a_provider_that_cannot_be_reached_gets_everything_once_it_is_back(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with world(settings, sessions, client, whatsapp_cloud_base_url=address) as relay:
                await relay.add_senders([Channel.WHATSAPP])
                await relay.add_contacts(30)
                async with working(relay):
                    campaign = await relay.launch(**ONLY_WHATSAPP)
                    await relay.until("SELECT count(*) FROM messages WHERE status = 'queued' AND attempts > 1", (30,))
                    async with forwarding(listener, relay.simulator):
                        await relay.until_status(campaign, CampaignStatus.DONE)
                    await assert_each_once(relay, 30)


class TestMisconfigured:
    async def test_an_expired_token_waits_for_the_mend_and_says_so(
        self, relay: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for pause in ("app.repositories.sender_troubles.PROBE_EVERY", "app.services.sending.troubles.LOOK_AGAIN"):
            monkeypatch.setattr(pause, timedelta(seconds=1))
        await relay.add_contacts(25)
        good = relay.credentials[Channel.WHATSAPP]
        await relay.put_account(Channel.WHATSAPP, {**good, "access_token": "EAAanother"})
        campaign = await relay.launch(**ONLY_WHATSAPP)

        async def says_so() -> bool:
            return "once the channel setting or the account is mended" in await _trouble(relay, campaign)

        await relay.eventually(says_so, "the provider's words in the engine")
        assert await relay.accepted() == {}
        assert await relay.rows("SELECT DISTINCT status FROM messages") == [("queued",)]
        await relay.put_account(Channel.WHATSAPP, good)
        await relay.until_status(campaign, CampaignStatus.DONE)
        await assert_each_once(relay, 25)


class TestUnknownOutcome:
    async def test_accepted_but_never_answered_is_unknown_until_the_report_comes(self, heard: World) -> None:
        await heard.behave(webhook_delay_ms=[1_500, 1_500])
        await heard.add_contacts(20)
        await heard.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 5})
        campaign = await heard.launch(**ONLY_WHATSAPP)
        await heard.until("SELECT count(*) FROM messages WHERE status = 'unknown'", (5,))
        await heard.until("SELECT count(*) FROM messages WHERE status = 'delivered'", (20,))
        await assert_each_once(heard, 20)
        assert await heard.rows("SELECT count(*) FROM messages WHERE unresolved_since IS NOT NULL") == [(0,)]
        assert await heard.rows("SELECT state, count(*) FROM campaign_recipients GROUP BY 1") == [("sent", 20)]
        await heard.until_status(campaign, CampaignStatus.DONE)

    async def test_marketing_is_never_sent_again_and_rests_as_unknown(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        async with world(settings, sessions, client, provider_timeout_seconds=1.0, unknown_deadline_seconds=2) as relay:
            await relay.add_senders([Channel.WHATSAPP])
            await relay.add_contacts(10)
            await relay.faults({"kind": "hang", "provider": "whatsapp_cloud", "next": 3, "seconds": 30})
            async with working(relay):
                campaign = await relay.launch(**ONLY_WHATSAPP)
                await relay.until_status(campaign, CampaignStatus.DONE)
                await relay.until(
                    "SELECT count(*) FROM messages WHERE status = 'unknown' AND unresolved_since IS NULL", (3,)
                )
                await assert_each_once(relay, 10)
                assert await relay.statuses(campaign) == {(0, "whatsapp", "sent"): 7, (0, "whatsapp", "unknown"): 3}

    async def test_a_look_up_finds_what_was_accepted_and_falls_back_for_what_was_not(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        async with world(settings, sessions, client, unknown_deadline_seconds=3) as relay:
            await relay.add_senders([Channel.SMS, Channel.EMAIL])
            await relay.add_contacts(10)
            await relay.faults(
                {"kind": "reset", "provider": "twilio", "next": 3},
                {"kind": "error", "provider": "twilio", "next": 2, "status": 503},
            )
            async with working(relay):
                campaign = await relay.launch(primary_channel=Channel.SMS, fallback_order_json=["email"])
                await relay.until("SELECT count(*) FROM messages WHERE channel = 'email' AND status = 'sent'", (2,))
                await relay.until("SELECT count(*) FROM messages WHERE status = 'unknown'", (0,))
                assert await relay.statuses(campaign) == {
                    (0, "sms", "sent"): 8,
                    (0, "sms", "failed"): 2,
                    (0, "email", "sent"): 2,
                }
                await assert_each_once(relay, 10)

    async def test_a_follow_up_goes_on_after_an_unknown_step(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        await relay.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        campaign = await relay.launch(followups=(1,), **ONLY_WHATSAPP)
        assert await relay.sequence_result(campaign, contact) == "exhausted"
        assert await relay.statuses(campaign) == {(0, "whatsapp", "unknown"): 1, (1, "whatsapp", "sent"): 1}
        assert await relay.sent_to(contact) == [(0, "whatsapp", 1), (1, "whatsapp", 1)]


async def _trouble(relay: World, campaign: Campaign) -> str:
    """What the engine's UI shows of the campaign's activities that have to be tried again."""
    handle = relay.client.get_workflow_handle(campaign_workflow_id(relay.tenant.id, campaign.id))
    pending = (await handle.describe()).raw_description.pending_activities
    return " ".join(item.last_failure.message for item in pending)
