import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.channels.email.sendgrid import SendGridEmail
from app.domain.status import (
    Channel,
    Direction,
    MessageStatus,
    MessageType,
    Purpose,
    StopReason,
    SuppressionReason,
)
from app.models import CampaignRecipient, Contact, Conversation, Message
from app.services import consents
from app.services.projections.signals import StopSequence
from tests import factories, providers
from tests.inbox import Inbox
from tests.providers import Post


def phone() -> str:
    return f"+3519{str(uuid4().int)[:8]}"


async def in_campaign(inbox: Inbox, channel: Channel = Channel.WHATSAPP, **message: Any) -> tuple[Contact, Message]:
    """A contact whom a running campaign has written to."""
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        contact = await factories.make_contact(session, inbox.tenant_id, phone=phone())
        campaign = await factories.make_campaign(session, inbox.tenant_id)
        await factories.make_recipient(session, inbox.tenant_id, campaign.id, contact.id)
        address = contact.email if channel is Channel.EMAIL else contact.phone
        made = await factories.make_message(
            session, inbox.tenant_id, contact.id, campaign_id=campaign.id, channel=channel, address=address, **message
        )
    return contact, made


async def mail_from(inbox: Inbox, address: str, text: str, answers: str = "") -> None:
    """What Inbound Parse posts; anybody can write any address behind `from`."""
    fields = {"from": f"<{address}>", "text": text, "headers": f"In-Reply-To: <{answers}@geopod-ismtpd-1>"}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    setting = inbox.senders[Channel.EMAIL]
    url = SendGridEmail.inbound_url(providers.sendgrid_credentials(), setting.id, f"/v1/webhooks/email/{setting.id}")
    body = "\r\n".join([*parts, "--b--", ""]).encode()
    await inbox.receive(Channel.EMAIL, Post(url, body, {"content-type": "multipart/form-data; boundary=b"}))


async def recipient(inbox: Inbox) -> CampaignRecipient:
    (row,) = await inbox.rows(CampaignRecipient)
    return row


class TestInbound:
    async def test_an_unknown_writer_becomes_a_contact_with_a_conversation(self, inbox: Inbox) -> None:
        number = phone()
        await inbox.whatsapp(messages=[providers.whatsapp_text(number, "Where is my order?")])
        await inbox.project(times=2)
        contact = await inbox.contact(phone=number)
        assert (contact.first_name, contact.country) == ("Ana", "PT")
        assert contact.last_inbound_at == contact.whatsapp_inbound_at is not None
        (conversation,) = await inbox.rows(Conversation)
        assert (conversation.id, conversation.unread_count) == (contact.id, 1)
        (message,) = await inbox.rows(Message)
        assert (message.direction, message.status, message.type) == (
            Direction.IN,
            MessageStatus.RECEIVED,
            MessageType.TEXT,
        )
        assert message.payload_json["text"] == "Where is my order?"
        assert (message.conversation_id, message.id) == (contact.id, (await inbox.stored())[0].id)
        assert [fact.message_id for fact in await inbox.facts("inbound")] == [message.id]

    async def test_several_messages_of_one_writer_are_one_contact(self, inbox: Inbox) -> None:
        number = phone()
        await inbox.whatsapp(messages=[providers.whatsapp_text(number, word) for word in ("one", "two")])
        await inbox.sms_from(number, "three")
        await inbox.project()
        (conversation,) = await inbox.rows(Conversation)
        assert conversation.unread_count == 3
        assert [row.payload_json["text"] for row in await inbox.rows(Message)] == ["one", "two", "three"]

    async def test_an_sms_does_not_open_the_whatsapp_window(self, inbox: Inbox) -> None:
        number = phone()
        await inbox.sms_from(number, "hello")
        await inbox.project()
        contact = await inbox.contact(phone=number)
        assert contact.last_inbound_at
        assert contact.whatsapp_inbound_at is None

    async def test_the_last_inbound_time_never_moves_back(self, inbox: Inbox) -> None:
        number = phone()
        for seconds in (10, 500):
            text = providers.whatsapp_text(number, "hi", timestamp=str(int(time.time()) - seconds))
            await inbox.whatsapp(messages=[text])
            await inbox.project()
        contact = await inbox.contact(phone=number)
        assert contact.last_inbound_at is not None
        assert datetime.now(UTC) - contact.last_inbound_at < timedelta(seconds=100)

    async def test_a_time_in_the_future_does_not_lengthen_the_window(self, inbox: Inbox) -> None:
        number = phone()
        future = str(int(time.time()) + 86_400)
        await inbox.whatsapp(messages=[providers.whatsapp_text(number, "hi", timestamp=future)])
        await inbox.project()
        contact = await inbox.contact(phone=number)
        assert contact.whatsapp_inbound_at is not None
        assert contact.whatsapp_inbound_at <= datetime.now(UTC)

    @pytest.mark.parametrize(
        ("changes", "type"),
        [
            ({"type": "image", "image": {"id": "9", "mime_type": "image/jpeg"}}, MessageType.MEDIA),
            ({"type": "audio", "audio": {"id": "9", "voice": True}}, MessageType.AUDIO),
            ({"type": "location", "location": {"latitude": 1.5, "longitude": 2.5}}, MessageType.LOCATION),
            ({"type": "hologram", "hologram": {}}, MessageType.TEXT),
        ],
    )
    async def test_every_kind_is_kept(self, inbox: Inbox, changes: dict[str, Any], type: MessageType) -> None:
        await inbox.whatsapp(messages=[providers.whatsapp_text(phone(), "", **changes)])
        await inbox.project()
        (message,) = await inbox.rows(Message)
        assert message.type == type
        assert message.payload_json["kind"]

    async def test_a_user_who_hides_the_number_is_one_contact(self, inbox: Inbox) -> None:
        for word in ("one", "two"):
            message = providers.whatsapp_text("", word, from_user_id="US.90000000000000000001")
            del message["from"]
            await inbox.whatsapp(messages=[message])
            await inbox.project()
        (contact,) = await inbox.rows(Contact)
        assert contact.attributes_json == {"whatsapp_user_id": "US.90000000000000000001"}
        assert contact.phone is None
        assert len(await inbox.rows(Message, contact_id=contact.id)) == 2

    async def test_a_user_who_hides_the_number_but_answers_us_is_the_one_we_wrote_to(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox, provider_message_id=f"wamid.{uuid4()}")
        context = {"id": ours.provider_message_id}
        message = providers.whatsapp_text("", "yes", from_user_id="US.9", context=context)
        del message["from"]
        await inbox.whatsapp(messages=[message])
        await inbox.project()
        assert len(await inbox.rows(Message, contact_id=contact.id, direction=Direction.IN)) == 1

    async def test_a_short_code_is_noted_but_is_no_contact(self, inbox: Inbox) -> None:
        await inbox.sms_from("72345", "Your data plan ends")
        await inbox.project()
        assert await inbox.rows(Contact) == []
        (fact,) = await inbox.facts("inbound")
        assert fact.payload_json["address"] == "72345"


class TestReply:
    async def test_a_reply_stops_the_campaign_and_marks_the_message(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox)
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "Tell me more")])
        (pending,) = await inbox.project(times=2)
        assert isinstance(pending.signal, StopSequence)
        assert pending.signal.stopped.reason == StopReason.REPLIED
        assert (await recipient(inbox)).stop_reason == StopReason.REPLIED
        assert (await inbox.message(ours.id)).replied_at
        assert await inbox.consent(contact.id, Channel.WHATSAPP) is None

    async def test_the_message_it_names_is_the_one_answered(self, inbox: Inbox) -> None:
        contact, named = await in_campaign(inbox, provider_message_id=f"wamid.{uuid4()}")
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            later = await factories.make_message(session, inbox.tenant_id, contact.id)
        reply = providers.whatsapp_text(contact.phone or "", "yes", context={"id": named.provider_message_id})
        await inbox.whatsapp(messages=[reply])
        await inbox.project()
        assert (await inbox.message(named.id)).replied_at
        assert (await inbox.message(later.id)).replied_at is None

    async def test_a_reply_on_another_channel_stops_too_but_answers_no_message(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox)
        await inbox.sms_from(contact.phone or "", "Tell me more")
        await inbox.project()
        assert (await recipient(inbox)).stop_reason == StopReason.REPLIED
        assert (await inbox.message(ours.id)).replied_at is None

    async def test_a_reaction_is_kept_and_stops_nothing(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox, provider_message_id=f"wamid.{uuid4()}")
        reaction = {"message_id": ours.provider_message_id, "emoji": "👍"}
        message = providers.whatsapp_text(contact.phone or "", "", type="reaction", reaction=reaction)
        await inbox.whatsapp(messages=[message])
        assert await inbox.project() == []
        assert (await recipient(inbox)).stop_reason is None
        assert len(await inbox.rows(Message, direction=Direction.IN)) == 1
        found = await inbox.contact(id=contact.id)
        assert found.last_inbound_at
        assert found.whatsapp_inbound_at is None


class TestStopAndStart:
    @pytest.mark.parametrize("word", ["STOP", " stop. ", "PARAR", "Désabonner", "unsubscribe"])
    async def test_stop_opts_out_suppresses_and_ends_the_campaign(self, inbox: Inbox, word: str) -> None:
        contact, ours = await in_campaign(inbox)
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", word)])
        (pending,) = await inbox.project(times=2)
        assert isinstance(pending.signal, StopSequence)
        assert (await recipient(inbox)).stop_reason == StopReason.OPTED_OUT
        assert (await recipient(inbox)).replied_at is None
        assert (await inbox.message(ours.id)).replied_at is None
        consent = await inbox.consent(contact.id, Channel.WHATSAPP)
        assert consent is not None
        assert consent.opt_out_at_utc
        suppression = await inbox.suppression(contact.phone or "")
        assert suppression is not None
        assert (suppression.reason, suppression.channel) == (SuppressionReason.STOP, Channel.WHATSAPP)
        assert len(await inbox.facts("opted_out")) == 1

    async def test_the_providers_own_verdict_counts(self, inbox: Inbox) -> None:
        contact, _ = await in_campaign(inbox, Channel.SMS)
        await inbox.sms_from(contact.phone or "", "arrêtez tout", OptOutType="STOP")
        await inbox.project()
        assert (await recipient(inbox)).stop_reason == StopReason.OPTED_OUT
        assert len(await inbox.rows(Message, direction=Direction.IN)) == 1

    async def test_start_lifts_what_stop_did(self, inbox: Inbox) -> None:
        contact, _ = await in_campaign(inbox, Channel.SMS)
        await inbox.sms_from(contact.phone or "", "STOP")
        await inbox.sms_from(contact.phone or "", "START")
        await inbox.project(times=2)
        consent = await inbox.consent(contact.id, Channel.SMS)
        assert consent is not None
        assert consent.opt_in_at_utc is not None
        assert consent.opt_out_at_utc is not None
        assert consent.opt_in_at_utc > consent.opt_out_at_utc
        suppression = await inbox.suppression(contact.phone or "")
        assert suppression is not None
        assert suppression.lifted_at

    async def test_a_stop_in_the_second_of_the_opt_in_is_not_taken_for_older(self, inbox: Inbox) -> None:
        contact, _ = await in_campaign(inbox)
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            await consents.record_opt_in(
                session, inbox.tenant_id, contact.id, Channel.WHATSAPP, at=datetime.now(UTC), source="form"
            )
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "STOP")])
        await inbox.project()
        consent = await inbox.consent(contact.id, Channel.WHATSAPP)
        assert consent is not None
        assert consent.opt_out_at_utc is not None
        assert consent.opt_in_at_utc is not None
        assert consent.opt_out_at_utc > consent.opt_in_at_utc
        assert await inbox.suppression(contact.phone or "") is not None

    async def test_help_is_noted_and_changes_nothing(self, inbox: Inbox) -> None:
        contact, _ = await in_campaign(inbox, Channel.SMS)
        await inbox.sms_from(contact.phone or "", "HELP")
        assert await inbox.project() == []
        assert (await recipient(inbox)).stop_reason is None
        assert len(await inbox.facts("help")) == 1

    @pytest.mark.parametrize(
        ("event", "reason"),
        [("unsubscribe", SuppressionReason.UNSUBSCRIBE), ("spamreport", SuppressionReason.COMPLAINT)],
    )
    async def test_an_email_unsubscribe_or_complaint_opts_out(
        self, inbox: Inbox, event: str, reason: SuppressionReason
    ) -> None:
        contact, ours = await in_campaign(inbox, Channel.EMAIL)
        await inbox.email(event, contact.email or "", message_id=ours.id)
        await inbox.project(times=2)
        suppression = await inbox.suppression(contact.email or "")
        assert suppression is not None
        assert suppression.reason == reason
        assert (await recipient(inbox)).stop_reason == StopReason.OPTED_OUT

    async def test_a_hard_bounce_suppresses_the_address_and_is_no_opt_out(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox, Channel.EMAIL)
        await inbox.email(
            "bounce",
            contact.email or "",
            message_id=ours.id,
            type="bounce",
            status="5.1.1",
            bounce_classification="Invalid Address",
        )
        await inbox.project()
        suppression = await inbox.suppression(contact.email or "")
        assert suppression is not None
        assert suppression.reason == SuppressionReason.BOUNCE
        assert (await recipient(inbox)).stop_reason is None
        assert await inbox.consent(contact.id, Channel.EMAIL) is None
        assert (await inbox.message(ours.id)).status == MessageStatus.FAILED

    async def test_the_unsubscribe_of_a_stranger_suppresses_the_address(self, inbox: Inbox) -> None:
        await inbox.email("unsubscribe", "stranger@example.com", message_id=uuid4())
        await inbox.project()
        assert await inbox.suppression("stranger@example.com") is not None
        assert await inbox.rows(Contact) == []

    async def test_a_transactional_campaign_goes_on_after_stop(self, inbox: Inbox) -> None:
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            contact = await factories.make_contact(session, inbox.tenant_id, phone=phone())
            campaign = await factories.make_campaign(session, inbox.tenant_id, purpose=Purpose.TRANSACTIONAL)
            await factories.make_recipient(session, inbox.tenant_id, campaign.id, contact.id)
            await factories.make_message(session, inbox.tenant_id, contact.id, campaign_id=campaign.id)
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "STOP")])
        assert await inbox.project() == []

    @pytest.mark.parametrize(("answers", "again"), [("Zq1x", True), ("", False), ("other", False)])
    async def test_a_start_by_mail_counts_in_answer_to_ours_only(self, inbox: Inbox, answers: str, again: bool) -> None:
        contact, ours = await in_campaign(inbox, Channel.EMAIL, provider_message_id="Zq1x")
        await in_campaign(inbox, Channel.EMAIL, provider_message_id="Zq1x")  # of the same batch
        _, other = await in_campaign(inbox, Channel.EMAIL, provider_message_id="other")
        address = contact.email or ""
        await inbox.email("unsubscribe", address, message_id=ours.id)
        await inbox.project()
        await mail_from(inbox, address, "Start", answers)
        await inbox.project(times=2)
        suppression = await inbox.suppression(address)
        assert suppression is not None
        assert (suppression.lifted_at is not None) is again
        consent = await inbox.consent(contact.id, Channel.EMAIL)
        assert consent is not None
        assert (consent.opt_in_at_utc is not None) is again

    async def test_a_stop_from_the_number_that_whatsapp_knows_is_the_contacts(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox)
        known_as = phone()
        await inbox.whatsapp(providers.whatsapp_status(ours.id, "delivered", recipient_id=known_as[1:]))
        await inbox.project(times=2)
        await inbox.whatsapp(messages=[providers.whatsapp_text(known_as, "STOP")])
        await inbox.project(times=2)
        assert [row.id for row in await inbox.rows(Contact)] == [contact.id]
        consent = await inbox.consent(contact.id, Channel.WHATSAPP)
        assert consent is not None
        assert consent.opt_out_at_utc is not None
        assert (await recipient(inbox)).stop_reason == StopReason.OPTED_OUT

    async def test_a_number_that_is_somebodys_own_is_theirs_first(self, inbox: Inbox) -> None:
        contact, ours = await in_campaign(inbox)
        known_as = phone()
        async with inbox.sessions.begin(inbox.tenant_id) as session:
            owner = await factories.make_contact(session, inbox.tenant_id, phone=known_as)
        await inbox.whatsapp(providers.whatsapp_status(ours.id, "delivered", recipient_id=known_as[1:]))
        await inbox.project()
        await inbox.whatsapp(messages=[providers.whatsapp_text(known_as, "STOP")])
        await inbox.project()
        assert [row.contact_id for row in await inbox.rows(Conversation)] == [owner.id]
        for id in (owner.id, contact.id):  # one person, known twice
            assert await inbox.consent(id, Channel.WHATSAPP) is not None


class TestOtherReports:
    async def test_template_decisions_and_unknown_reports_are_kept(self, inbox: Inbox) -> None:
        await inbox.whatsapp(messages=[providers.whatsapp_text(phone(), "", type="system", system={"body": "moved"})])
        assert await inbox.project() == []
        (event,) = await inbox.stored()
        assert event.kind == "unknown"
        assert event.processed_at


class TestMarketingOnWhatsapp:
    async def test_a_limit_that_is_reported_holds_for_a_day_from_then_on(self, inbox: Inbox) -> None:
        contact, message = await in_campaign(inbox)
        failure = providers.whatsapp_failure(message.id, 131049)
        await inbox.whatsapp(failure)
        await inbox.project(times=2)
        assert (await inbox.message(message.id)).status == MessageStatus.FAILED
        limited = (await inbox.contact(id=contact.id)).whatsapp_limited_until
        assert limited == datetime.fromtimestamp(int(failure["timestamp"]), UTC) + timedelta(hours=24)
        assert await inbox.suppression(contact.phone or "") is None

    async def test_a_no_to_marketing_ends_campaigns_and_suppresses_nothing(self, inbox: Inbox) -> None:
        contact, message = await in_campaign(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(message.id, 131050))
        await inbox.project(times=2)
        assert (await recipient(inbox)).stop_reason is StopReason.OPTED_OUT
        consent = await inbox.consent(contact.id, Channel.WHATSAPP)
        assert consent is not None
        assert consent.opt_out_at_utc is not None
        assert consent.meta_json["scope"] == "marketing"
        assert await inbox.suppression(contact.phone or "") is None

    async def test_a_later_stop_is_a_no_to_everything(self, inbox: Inbox) -> None:
        contact, message = await in_campaign(inbox)
        await inbox.whatsapp(providers.whatsapp_failure(message.id, 131050))
        await inbox.project()
        await inbox.whatsapp(messages=[providers.whatsapp_text(contact.phone or "", "STOP")])
        await inbox.project()
        suppression = await inbox.suppression(contact.phone or "")
        assert suppression is not None
        assert suppression.reason is SuppressionReason.STOP
