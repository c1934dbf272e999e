from typing import Any

import pytest

from app.domain.status import Channel, MessageStatus, Purpose
from app.models import Message, Tenant
from tests import providers
from tests.inbox import Inbox
from tests.services.projections.test_people import phone

OURS = {"stop": "You get no more from us.", "start": "Welcome back."}


async def decide(inbox: Inbox, **changes: Any) -> None:
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        tenant = await session.get_one(Tenant, inbox.tenant_id)
        for name, value in changes.items():
            setattr(tenant, name, value)


async def answers(inbox: Inbox) -> list[Message]:
    return await inbox.rows(Message, direction="out")


class TestHelp:
    async def test_is_answered_once_on_its_channel_to_its_sender(self, inbox: Inbox) -> None:
        await decide(inbox, name="Casa Azul", default_lang="pt")
        number = phone()
        await inbox.whatsapp(messages=[providers.whatsapp_text(number, "Ajuda!")])
        await inbox.project(times=3)
        (answer,) = await answers(inbox)
        assert answer.payload_json["text"].startswith("Casa Azul: recebe estas mensagens")
        assert (answer.channel, answer.address, answer.status) == (Channel.WHATSAPP, number, MessageStatus.QUEUED)
        assert (answer.purpose, answer.workflow_started_at) == (Purpose.TRANSACTIONAL, None)
        assert answer.payload_json["answers"]["webhook_event_id"] == str((await inbox.stored())[0].id)

    async def test_asked_again_at_once_it_is_not_answered_again(self, inbox: Inbox) -> None:
        number = phone()
        for _ in range(3):
            await inbox.sms_from(number, "ajuda")
        await inbox.project()
        await inbox.sms_from(number, "ajuda")
        await inbox.project()
        assert len(await answers(inbox)) == 1

    async def test_the_tenants_own_words_win(self, inbox: Inbox) -> None:
        await decide(inbox, settings_json={"keyword_replies": {"help": "Call 800 100."}})
        await inbox.sms_from(phone(), "aide")
        await inbox.project()
        assert [answer.payload_json["text"] for answer in await answers(inbox)] == ["Call 800 100."]

    async def test_changes_no_consent(self, inbox: Inbox) -> None:
        number = phone()
        await inbox.sms_from(number, "HELP")
        await inbox.project()
        contact = await inbox.contact(phone=number)
        assert await inbox.consent(contact.id, Channel.SMS) is None
        assert await inbox.suppression(number) is None


class TestStopAndStart:
    async def test_are_not_answered_unless_the_tenant_says_with_what(self, inbox: Inbox) -> None:
        for word in ("parar", "voltar"):
            await inbox.sms_from(phone(), word)
        await inbox.project()
        assert await answers(inbox) == []

    async def test_are_confirmed_with_the_tenants_words_a_stop_once_a_day(self, inbox: Inbox) -> None:
        await decide(inbox, settings_json={"keyword_replies": OURS})
        number = phone()
        for word in ("parar", "PARE", "voltar"):
            await inbox.sms_from(number, word)
            await inbox.project()
        assert [answer.payload_json["text"] for answer in await answers(inbox)] == [OURS["stop"], OURS["start"]]


class TestWhatTheProviderAnswers:
    @pytest.mark.parametrize(
        ("text", "changes"),
        [
            ("STOP", {}),
            (" help ", {}),
            ("info", {}),
            ("ajuda", {"OptOutType": "HELP"}),
            ("ZZZ", {"OptOutType": "HELP"}),
            ("parar", {"OptOutType": "STOP"}),
        ],
    )
    async def test_is_not_answered_again(self, inbox: Inbox, text: str, changes: dict[str, str]) -> None:
        await decide(inbox, settings_json={"keyword_replies": OURS})
        await inbox.sms_from(phone(), text, **changes)
        await inbox.project()
        assert await answers(inbox) == []

    @pytest.mark.parametrize(("text", "to"), [("HELP", "72345"), ("Help, please", "+15005550006")])
    async def test_what_twilio_leaves_to_us_is(self, inbox: Inbox, text: str, to: str) -> None:
        await inbox.sms_from(phone(), text, To=to)
        await inbox.project()
        assert len(await answers(inbox)) == 1

    async def test_its_own_word_for_help_is_no_reply(self, inbox: Inbox) -> None:
        await inbox.sms_from(phone(), "ZZZ", OptOutType="HELP")
        await inbox.project()
        assert len(await inbox.facts("help")) == 1
