"""Every marketing e-mail, whichever way it takes, can be unsubscribed from with one click (RFC 8058).

The simulator's people press the button that a mailbox shows for the two headers: there is one for nobody else.
"""

from typing import Any

import pytest
from temporalio.client import Client

from app.channels.registry import PROVIDERS, adapter_class
from app.db import Sessions
from app.domain.status import Channel, MessageType, Purpose
from app.models import Contact
from app.settings import Settings
from tests.world import World, working, world

SPRING: dict[str, Any] = {"blocks": {"subject": "Spring", "body": "Hi {{ contact.first_name }}"}}
TEMPLATE = {"core_schema": SPRING, "template_lang": "en"}
WRITTEN = {"text": "Hello", "subject": "Hello"}


async def unsubscribes(relay: World, contact: Contact, *, after: int = 1) -> Contact:
    await relay.script(contact, Channel.EMAIL, {"do": "unsubscribe", "after": after, "delay_ms": 10})
    return contact


class TestOneClick:
    @pytest.mark.parametrize("provider", PROVIDERS[Channel.EMAIL])
    async def test_is_offered_on_every_path(
        self, settings: Settings, sessions: Sessions, client: Client, provider: str
    ) -> None:
        async with world(settings, sessions, client, webhooks=True, day_seconds=2, followup_jitter_seconds=0) as relay:
            relay.providers[Channel.EMAIL] = provider
            await relay.at_any_hour()
            most = adapter_class(Channel.EMAIL, provider).most_per_request  # in a campaign; the others go one by one
            await relay.add_senders([Channel.EMAIL], messages_per_request=most)
            await relay.behave(email_unsubscribe="one_click")
            launched, followed, written, templated, receipt = await relay.add_contacts(5, consents=[Channel.EMAIL])
            for contact in (launched, written, templated, receipt):
                await unsubscribes(relay, contact)
            await unsubscribes(relay, followed, after=2)
            marketing: dict[str, Any] = {"purpose": Purpose.MARKETING}
            async with working(relay):
                await relay.send(written, Channel.EMAIL, type=MessageType.TEXT, payload_json=WRITTEN, **marketing)
                await relay.send(templated, Channel.EMAIL, payload_json=TEMPLATE, **marketing)
                code = await relay.send(receipt, Channel.EMAIL, payload_json=TEMPLATE)
                segment = {"any": [{"field": "email", "op": "eq", "value": it.email} for it in (launched, followed)]}
                await relay.launch(
                    core=SPRING, primary_channel=Channel.EMAIL, fallback_order_json=[], segment_json=segment,
                    variables_json={}, followups=(1,), exit_on_json=[],
                )  # fmt: skip
                out = "SELECT count(*) FROM consents WHERE opt_out_at_utc IS NOT NULL AND source = 'list_unsubscribe'"
                await relay.until(out, (4,))
                assert await relay.outcome(code) == "sent"
            stayed = await relay.rows("SELECT contact_id FROM consents WHERE opt_out_at_utc IS NULL")
            assert stayed == [(receipt.id,)]  # a receipt offers nothing to unsubscribe from
            assert await relay.rows("SELECT DISTINCT reason, channel FROM suppressions") == [("unsubscribe", "email")]
