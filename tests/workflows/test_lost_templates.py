"""A WhatsApp template that the provider took back after the launch."""

from app.domain.status import Channel
from tests.world import World

SPRING = {
    "name": "spring_offer",
    "language": "en_US",
    "category": "MARKETING",
    "components": [{"type": "BODY", "text": "Hi {{1}}: {{2}}"}],
}


class TestPaused:
    async def test_its_messages_fail_in_metas_words_and_the_next_channel_is_tried(self, relay: World) -> None:
        account = {"provider": "whatsapp_cloud", "credentials": relay.credentials[Channel.WHATSAPP]}
        paused = [{**SPRING, "status": "PAUSED"}]
        answer = await relay.http.post(f"{relay.simulator}/sandbox/accounts", json={**account, "templates": paused})
        assert answer.is_success, answer.text
        contacts = await relay.add_contacts(3)
        campaign = await relay.launch(fallback_order_json=["sms"])
        await relay.ended(campaign)
        for contact in contacts:
            await relay.until_sent(campaign, contact, 0, Channel.SMS)
        failed = await relay.rows(
            "SELECT DISTINCT status, error_code, error_detail FROM messages "
            "WHERE campaign_id = :id AND channel = 'whatsapp'",
            id=campaign.id,
        )
        assert [(status, code) for status, code, _ in failed] == [("failed", "132015")]
        assert "spring_offer" in failed[0][2]
