from uuid import uuid4, uuid5

from app import ids


class TestWebhookEventId:
    def test_the_id_stays_what_it_is_in_stored_rows(self) -> None:
        settings_id, key = uuid4(), "wamid.É:delivered"
        assert ids.webhook_event_id(settings_id, key) == uuid5(settings_id, key)
