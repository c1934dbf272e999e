from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from app.channels.base import EventKind, WebhookEvent
from app.channels.email.mailgun import events as mailgun
from app.channels.email.resend import events as resend
from app.channels.email.sendgrid import events as sendgrid
from app.channels.email.smtp import events as smtp
from app.domain.bounces import is_soft
from app.domain.status import Channel
from app.models import Contact, Message, Tenant
from tests import factories
from tests.channels.samples import recorded, webhook
from tests.inbox import Inbox
from tests.services.projections.test_people import phone

FULL = {"type": "blocked", "status": "4.2.2", "reason": "452 mailbox full", "bounce_classification": "Unclassified"}


async def mails(inbox: Inbox, count: int, **changes: Any) -> tuple[Contact, list[Message]]:
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        contact = await factories.make_contact(session, inbox.tenant_id, phone=phone())
        made = [
            await factories.make_message(
                session, inbox.tenant_id, contact.id, channel=Channel.EMAIL, address=contact.email, **changes
            )
            for _ in range(count)
        ]
    return contact, made


async def tell(inbox: Inbox, contact: Contact, message: Message, event: str = "bounce", **changes: Any) -> None:
    await inbox.email(event, contact.email or "", message_id=message.id, **changes)
    await inbox.project(times=2)


class TestSoftBounces:
    async def test_the_fifth_in_a_row_ends_the_address(self, inbox: Inbox) -> None:
        contact, made = await mails(inbox, 5)
        for message in made[:4]:
            await tell(inbox, contact, message, **FULL)
        assert await inbox.suppression(contact.email or "") is None
        await tell(inbox, contact, made[4], **FULL)
        suppression = await inbox.suppression(contact.email or "")
        assert suppression is not None
        assert (suppression.reason, suppression.source) == ("bounce", "sendgrid: 5 soft bounces in 14 days")

    async def test_a_delivery_in_between_begins_anew(self, inbox: Inbox) -> None:
        contact, made = await mails(inbox, 6)
        now = int(datetime.now(UTC).timestamp())
        for place, message in enumerate(made[:4]):
            await tell(inbox, contact, message, **FULL, timestamp=now - 600 + place)
        await tell(inbox, contact, made[4], "delivered", timestamp=now - 300)
        await tell(inbox, contact, made[5], **FULL, timestamp=now - 100)
        assert await inbox.suppression(contact.email or "") is None

    async def test_a_message_counts_once_however_often_it_is_told(self, inbox: Inbox) -> None:
        contact, (message,) = await mails(inbox, 1)
        for _ in range(6):
            await tell(inbox, contact, message, **FULL)
        assert await inbox.suppression(contact.email or "") is None

    async def test_what_is_older_than_the_period_does_not_count(self, inbox: Inbox) -> None:
        contact, made = await mails(inbox, 5)
        old = int((datetime.now(UTC) - timedelta(days=15)).timestamp())
        for message in made[:4]:
            await tell(inbox, contact, message, **FULL, timestamp=old)
        await tell(inbox, contact, made[4], **FULL)
        assert await inbox.suppression(contact.email or "") is None

    async def test_the_tenant_sets_how_many(self, inbox: Inbox) -> None:
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            tenant = await session.get_one(Tenant, inbox.tenant_id)
            tenant.settings_json = {"soft_bounces": {"count": 2}}
        contact, made = await mails(inbox, 2)
        for message in made:
            await tell(inbox, contact, message, **FULL)
        assert await inbox.suppression(contact.email or "") is not None

    async def test_a_block_that_is_our_fault_and_a_deferral_do_not_count(self, inbox: Inbox) -> None:
        contact, made = await mails(inbox, 12)
        for message in made[:6]:
            await tell(inbox, contact, message, **{**FULL, "bounce_classification": "Reputation"})
        for message in made[6:]:
            await tell(inbox, contact, message, "deferred", response="451 greylisted")
        assert await inbox.suppression(contact.email or "") is None


def only(events: list[WebhookEvent]) -> WebhookEvent:
    (event,) = events
    return event


def soft_one(event: WebhookEvent) -> bool:
    counts = event.kind is EventKind.FAILED
    return counts and is_soft(str(event.data.get("bounce", "")), event.error_code, event.suppress)


class TestEachProvider:
    """What its own payloads say of an address: ended at once, counted, or nothing."""

    @pytest.mark.parametrize(
        ("name", "suppress", "soft"),
        [
            ("bounced", "bounce", False),
            ("complained", "complaint", False),
            ("suppressed_bounce", "bounce", False),
            ("suppressed_complaint", "complaint", False),
            ("bounced_mailbox_full", "", True),
            ("bounced_undetermined", "", True),
            ("bounced_content", "", False),
            ("failed_quota", "", False),
        ],
    )
    def test_resend(self, name: str, suppress: str, soft: bool) -> None:
        event = only(resend.parse(webhook(recorded("resend", f"{name}.json"), svix_id="msg_1")))
        assert (event.suppress, soft_one(event)) == (suppress, soft)

    @pytest.mark.parametrize(
        ("name", "suppress", "soft"),
        [
            ("bounced", "bounce", False),
            ("complained", "complaint", False),
            ("suppressed_bounce", "bounce", False),
            ("suppressed_complaint", "complaint", False),
            ("suppressed_unsubscribe", "unsubscribe", False),
            ("gave_up", "", True),
            ("mailbox_full", "", True),
            ("refused_policy", "", False),
            ("deferred", "", False),
        ],
    )
    def test_mailgun(self, name: str, suppress: str, soft: bool) -> None:
        event = mailgun.parse(orjson.loads(recorded("mailgun", f"{name}.json"))["event-data"])
        assert (event.suppress, soft_one(event)) == (suppress, soft)

    def test_sendgrid(self) -> None:
        told = [
            (event.suppress, soft_one(event))
            for event in sendgrid.parse(webhook(recorded("sendgrid", "failures.json")))
        ]
        assert told == [
            ("", False),  # a block of ours
            ("", True),  # a full mailbox
            ("", False),  # our reputation
            ("unsubscribe", False),
            ("bounce", False),
            ("complaint", False),
            ("invalid", False),
            ("", False),
            ("", False),
        ]
        full = {"event": "bounce", "email": "ana@example.com", "timestamp": 1_772_442_904, **FULL}
        assert soft_one(only(sendgrid.parse(webhook(orjson.dumps([full])))))

    @pytest.mark.parametrize(
        ("name", "suppress", "soft"),
        [
            ("bounced", "bounce", False),
            ("complained", "complaint", False),
            ("bounced_mailbox_full", "", True),
            ("bounced_policy", "", False),
            ("delayed", "", False),
        ],
    )
    def test_smtp(self, name: str, suppress: str, soft: bool) -> None:
        event = only(smtp.parse(recorded("smtp", f"{name}.eml"), "sixteen-letters-at-least"))
        assert (event.suppress, soft_one(event)) == (suppress, soft)

    @pytest.mark.parametrize(
        ("bounce", "code", "soft"),
        [
            ("soft", "5.2.2", True),
            ("", "4.2.2", True),
            ("hard", "4.2.2", False),
            ("", "5.1.1", False),
            ("", "421", False),
        ],
    )
    def test_any_other_by_its_word_or_its_enhanced_code(self, bounce: str, code: str, soft: bool) -> None:
        assert is_soft(bounce, code, "") is soft
        assert not is_soft(bounce, code, "bounce")
