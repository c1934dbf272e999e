"""Every kind of message that a person can send."""

from typing import Any

import pytest

from app.channels.base import EventKind, WebhookEvent
from app.channels.whatsapp.cloud import WhatsAppCloud
from tests.channels.contract import offline
from tests.channels.samples import context, recorded, webhook
from tests.channels.whatsapp.test_cloud import CREDENTIALS


def parse(name: str) -> list[WebhookEvent]:
    receiver = WhatsAppCloud(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))
    return receiver.parse(webhook(recorded("whatsapp_cloud", name)))


class TestParse:
    def test_video_sticker_and_picture_keep_what_finds_them(self) -> None:
        video, sticker, picture = parse("inbound_video.json")
        assert (video.message_type, video.text, video.data["media"]["kind"]) == ("media", "Look", "video")
        assert sticker.data["media"] == {
            "kind": "sticker",
            "id": "900104",
            "mime_type": "image/webp",
            "sha256": "c2hh",
            "animated": True,
        }
        assert picture.data["media"]["url"] == "https://lookaside.example.test/900105"

    def test_a_location_needs_no_name(self) -> None:
        [event] = parse("inbound_plain_location.json")
        assert (event.message_type, event.text) == ("location", "")
        assert event.data["location"] == {"latitude": -33.4, "longitude": -70.6}

    def test_an_order_has_its_items_and_a_note(self) -> None:
        [event] = parse("inbound_order.json")
        assert (event.kind, event.message_type, event.text) == (EventKind.INBOUND, "order", "Before noon, please")
        assert event.data["order"]["product_items"][0]["quantity"] == 2
        assert event.context_id == "wamid.OUT9"

    def test_an_answered_form_keeps_its_answers(self) -> None:
        [event] = parse("inbound_flow.json")
        assert (event.message_type, event.text) == ("interactive", "Sent")
        assert event.data["reply"]["response_json"] == '{"day":"mon"}'

    def test_a_button_may_come_without_its_context(self) -> None:
        [event] = parse("inbound_bare_button.json")
        assert (event.message_type, event.text, event.context_id) == ("button", "Stop promotions", "")
        assert event.data["payload"] == "STOP"

    def test_a_reaction_taken_back_is_no_reply(self) -> None:
        for event in parse("inbound_unreacted.json"):
            assert (event.kind, event.message_type, event.text) == (EventKind.UNKNOWN, "reaction", "")
            assert event.context_id == "wamid.OUT9"

    def test_an_edited_or_deleted_message_is_no_reply(self) -> None:
        edit, revoke = parse("inbound_changed.json")
        assert (edit.kind, edit.message_type) == (EventKind.UNKNOWN, "edit")
        assert (revoke.kind, revoke.message_type) == (EventKind.UNKNOWN, "revoke")
        assert edit.data["edit"]["original_message_id"] == revoke.data["revoke"]["original_message_id"] == "wamid.IN001"

    def test_forwarding_and_the_ad_are_kept(self) -> None:
        forwarded, from_ad = parse("inbound_forwarded.json")
        assert forwarded.data["forwarded"] is True
        assert "forwarded" not in from_ad.data
        assert from_ad.data["referral"]["ctwa_clid"] == "AaBb"

    @pytest.mark.parametrize(("place", "kept"), [(0, {"type": "unknown"}), (1, {"type": "hologram"})])
    def test_what_nobody_knows_is_a_reply_all_the_same(self, place: int, kept: dict[str, Any]) -> None:
        event = parse("inbound_unknown.json")[place]
        assert (event.kind, event.message_type) == (EventKind.INBOUND, "unknown")
        assert event.data["type"] == kept["type"]
        assert event.raw["type"] == kept["type"]
