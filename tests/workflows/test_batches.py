"""Campaigns whose messages share requests, over SendGrid and Resend: everybody is written to once, come what may."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from app.channels.email.sendgrid import SendGridEmail
from app.db import Sessions
from app.domain.status import Channel
from app.settings import Settings
from tests.world import World, working, world

REQUESTS = {"sendgrid": "{api_key}", "resend": "resend {api_key}"}  # how the sandbox counts them


@pytest.fixture(params=REQUESTS)
async def relay(
    request: pytest.FixtureRequest, settings: Settings, sessions: Sessions, client: Client
) -> AsyncIterator[World]:
    async with world(settings, sessions, client, webhooks=True) as place:
        place.providers[Channel.EMAIL] = request.param
        await place.add_senders([Channel.EMAIL], messages_per_request=5)
        async with working(place):
            yield place


async def requests(relay: World) -> int:
    account = REQUESTS[relay.providers[Channel.EMAIL]].format(**relay.credentials[Channel.EMAIL])
    found = await relay.http.get(f"{relay.simulator}/sandbox/arrivals", params={"account": account})
    return len(found.json()["times"])


class TestLaunch:
    async def test_a_lost_answer_to_a_batch_doubles_nobody_and_leaves_nobody_out(self, relay: World) -> None:
        contacts = await relay.add_contacts(12)
        await relay.faults({"kind": "reset", "provider": relay.providers[Channel.EMAIL], "next": 1})
        await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[])
        await relay.until("SELECT count(*) FROM messages WHERE status = 'delivered'", (12,))
        accepted = await relay.accepted()
        assert {address for address, _ in accepted} == {contact.email for contact in contacts}
        assert set(accepted.values()) == {1}
        # the one that Resend was asked again for its answer; SendGrid's reports tell what became of its batch
        again = relay.providers[Channel.EMAIL] == "resend"
        assert await requests(relay) == 3 + again

    async def test_one_that_is_refused_takes_nobody_with_it(self, relay: World) -> None:
        contacts = await relay.add_contacts(4)
        (wrong,) = await relay.add_contacts(1, email="no,body@example.com")  # passes the gate
        await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[])
        await relay.until("SELECT count(*) FROM messages WHERE status = 'delivered'", (4,))
        await relay.until("SELECT status FROM messages WHERE contact_id = :id", ("failed",), id=wrong.id)
        assert {address for address, _ in await relay.accepted()} == {contact.email for contact in contacts}


@pytest.mark.parametrize("relay", ["sendgrid"], indirect=True)
class TestInboundParse:
    async def test_an_answer_lands_in_the_conversation_and_stops_the_follow_ups(self, relay: World) -> None:
        id, credentials = relay.senders[Channel.EMAIL], relay.credentials[Channel.EMAIL]
        webhook_url = f"{relay.settings.public_url}/v1/webhooks/email/{id}"
        inbound_url = SendGridEmail.inbound_url(credentials, id, webhook_url)
        await relay.put_account(Channel.EMAIL, credentials, inbound_url=inbound_url)
        (contact,) = await relay.add_contacts(1)
        campaign = await relay.launch(primary_channel=Channel.EMAIL, fallback_order_json=[], followups=(300,))
        await relay.until_armed(campaign, 1)
        said = {"provider": "sendgrid", "from": contact.email, "text": "Yes, please"}
        assert (await relay.http.post(f"{relay.simulator}/sandbox/inbound", json=said)).is_success
        await relay.until("SELECT stop_reason FROM campaign_recipients", ("replied",))
        answers = """
            SELECT i.payload_json->>'text', i.payload_json->>'context_id' = o.provider_message_id, o.replied_at IS NULL
            FROM messages i JOIN messages o USING (conversation_id) WHERE i.direction = 'in' AND o.direction = 'out'
        """
        assert await relay.rows(answers) == [("Yes, please", True, False)]
