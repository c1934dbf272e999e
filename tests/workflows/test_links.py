"""Links from the template to the click: a campaign by SMS whose people open them."""

import re
from typing import Any

from temporalio.client import Client

from app.db import Sessions
from app.domain.status import CampaignStatus, Channel, MessageType, Purpose
from app.models import Message, Role
from app.services import api_keys
from app.settings import Settings
from tests.world import World, working, world

SHOP = "https://shop.example/spring?utm_source=sms&utm_campaign=spring-collection-2026"
CORE: dict[str, Any] = {
    "blocks": {
        "subject": "Spring",
        "body": f"Hi {{{{ contact.first_name }}}}, look: {SHOP}. No more: {{{{ unsubscribe_url }}}}",
        "buttons": [{"type": "url", "text": "Shoes", "url": "https://shop.example/shoes"}],
    }
}
# long after the sending was written down, on a machine that has much else to do
UNHURRIED = {"click_delay_ms": [5_000, 5_500]}
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
SHORT = re.compile(r"http://127\.0\.0\.1:\d+/r/[0-9A-Za-z]{10}")


async def texts(relay: World) -> dict[str, str]:
    """The SMS that the provider has, by recipient."""
    account = relay.credentials[Channel.SMS]
    answer = await relay.http.get(
        f"{relay.simulator}/2010-04-01/Accounts/{account['account_sid']}/Messages.json",
        auth=(account["account_sid"], account["auth_token"]),
    )
    return {message["to"]: message["body"] for message in answer.json()["messages"]}


async def body_of(relay: World, message: Message) -> str:
    assert await relay.outcome(message) == "sent"
    return (await texts(relay))[message.address]


class TestCampaign:
    async def test_people_who_click_are_counted_once(self, heard: World) -> None:
        await heard.behave(**UNHURRIED)
        clicking = await heard.add_contacts(3)
        others = await heard.add_contacts(2)
        for contact in clicking:
            await heard.script(contact, Channel.SMS, "click")
        campaign = await heard.launch(core=CORE, primary_channel=Channel.SMS, fallback_order_json=[], variables_json={})
        clicked = "SELECT count(clicked_at) FROM messages WHERE campaign_id = :id"
        await heard.until(clicked, (3,), id=campaign.id)
        await heard.until_status(campaign, CampaignStatus.DONE)
        sent = await texts(heard)
        assert sent.keys() == {contact.phone for contact in clicking + others}
        assert all(len(SHORT.findall(body)) == 3 and SHOP not in body for body in sent.values())
        facts = await heard.rows(
            "SELECT contact_id, payload_json ->> 'url', source FROM events "
            "WHERE kind = 'clicked' AND campaign_id = :id",
            id=campaign.id,
        )
        assert sorted(facts) == sorted((contact.id, SHOP, "sms") for contact in clicking)
        links = await heard.rows("SELECT clicks, count(*) FROM short_links GROUP BY 1 ORDER BY 1")
        assert links == [(0, 12), (1, 3)]
        async with heard.sessions.system() as session:
            key = (await api_keys.create(session, heard.tenant.id, name="test", role=Role.VIEWER))[1]
        answer = await heard.http.get(
            f"{heard.settings.public_url}/v1/campaigns/{campaign.id}", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.json()["counts"]["clicked"] == 3
        stats = (await heard.http.get(f"{heard.simulator}/stats?summary=1")).json()
        assert stats["people_by_channel"]["sms"]["clicked"] == 3

    async def test_the_way_out_of_an_sms_is_short_and_counts_for_nothing(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(core=CORE, primary_channel=Channel.SMS, fallback_order_json=[], variables_json={})
        await heard.until_sent(campaign, contact, 0, Channel.SMS)
        (body,) = (await texts(heard)).values()
        way_out = SHORT.findall(body.partition("No more: ")[2])[0]
        page = await heard.http.get(way_out, headers=BROWSER, follow_redirects=True)
        assert page.status_code == 200
        assert str(page.url).startswith(f"{heard.settings.public_url}/u/")
        assert f"SMS: …{(contact.phone or '')[-3:]}" in page.text
        assert (await heard.http.post(str(page.url), data={"intent": "unsubscribe"})).status_code == 200
        assert await heard.rows("SELECT channel, reason FROM suppressions") == [("sms", "unsubscribe")]
        assert await heard.rows("SELECT sum(clicks) FROM short_links") == [(0,)]


class TestEmail:
    async def test_clicks_are_counted_where_the_provider_counts_none(
        self, settings: Settings, sessions: Sessions, client: Client
    ) -> None:
        async with world(settings, sessions, client, webhooks=True) as place:
            place.providers[Channel.EMAIL] = "smtp"
            await place.at_any_hour()
            await place.add_senders([Channel.EMAIL])
            (contact,) = await place.add_contacts(1)
            await place.behave(**UNHURRIED)
            await place.script(contact, Channel.EMAIL, "click")
            schema = {"core_schema": CORE, "template_lang": "en"}
            async with working(place):
                message = await place.send(
                    contact, Channel.EMAIL, payload_json=schema, purpose=Purpose.MARKETING, address=contact.email
                )
                await place.until("SELECT count(clicked_at), min(status) FROM messages", (1, "delivered"))
            assert await place.rows("SELECT sum(clicks), count(*) FROM short_links") == [(1, 2)]
            (sent,) = await place.rows(
                "SELECT payload_json -> 'sent' ->> 'text' FROM messages WHERE id = :id", id=message.id
            )
            assert len(SHORT.findall(sent[0])) == 2
            assert SHOP not in sent[0]
            assert f"{place.settings.public_url}/u/" in sent[0]


class TestSingleMessages:
    async def test_a_text_written_by_hand_keeps_its_links_unless_it_says_otherwise(self, relay: World) -> None:
        first, second = await relay.add_contacts(2)
        written: dict[str, Any] = {"type": MessageType.TEXT, "channel": Channel.SMS}
        as_it_is = await relay.send(first, payload_json={"text": SHOP}, address=first.phone, **written)
        short = await relay.send(
            second, payload_json={"text": SHOP, "short_links": True}, address=second.phone, **written
        )
        assert await body_of(relay, as_it_is) == SHOP
        assert re.fullmatch(r"http://127\.0\.0\.1:9/r/[0-9A-Za-z]{10}", await body_of(relay, short))
        rows = await relay.rows("SELECT url, message_id FROM short_links")
        assert rows == [(SHOP, short.id)]

    async def test_a_receipt_is_only_made_shorter(self, relay: World) -> None:
        (contact,) = await relay.add_contacts(1)
        core = {"blocks": {"body": f"Your parcel: {SHOP} http://a.example"}}
        message = await relay.send(
            contact,
            Channel.SMS,
            payload_json={"core_schema": core, "template_lang": "en"},
            purpose=Purpose.TRANSACTIONAL,
            address=contact.phone,
        )
        body = await body_of(relay, message)
        assert SHOP not in body
        assert body.endswith(" http://a.example")
