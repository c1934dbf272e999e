"""Webhooks about templates: what a launch knows of them afterwards."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from app.channels.base import WebhookRequest
from app.channels.provider_templates import ProviderTemplate as Listed
from app.domain.status import Channel
from app.models import ProviderTemplate
from app.repositories import provider_templates
from tests.inbox import Inbox
from tests.providers import whatsapp_raw

NAMED = {"message_template_id": 7, "message_template_name": "spring_offer", "message_template_language": "en_US"}
STATUS, CATEGORY = "message_template_status_update", "template_category_update"
QUALITY = "message_template_quality_update"


def listed(status: str = "APPROVED", **changes: Any) -> Listed:
    values = {"provider_id": "7", "name": "spring_offer", "language": "en_US", "category": "MARKETING", **changes}
    return Listed(status=status, components=[{"type": "BODY", "text": "{{1}}"}], **values)


async def keep(inbox: Inbox, *items: Listed, asked_at: datetime | None = None, name: str = "") -> None:
    sender = inbox.senders[Channel.WHATSAPP]
    async with inbox.sessions.begin(inbox.tenant_id) as session:
        await provider_templates.keep(
            session,
            inbox.tenant_id,
            sender.id,
            "200300400500600",
            items,
            asked_at=asked_at or datetime.now(UTC),
            name=name,
        )


async def report(inbox: Inbox, field: str, *, age: float = 0, addressed: bool = True, **value: Any) -> None:
    change = {"field": field, "value": {**NAMED, **value}}
    entry = {"id": "200300400500600", "time": int(time.time() - age), "changes": [change]}
    body = orjson.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    sender = inbox.senders[Channel.WHATSAPP].id
    post = whatsapp_raw(sender if addressed else "", body)
    url = inbox.settings.public_url + post.path
    request = WebhookRequest(method="POST", url=url, headers=post.headers, query={}, body=post.body)
    await inbox.intake.receive(Channel.WHATSAPP, sender if addressed else None, request)
    await inbox.project(times=2)


async def known(inbox: Inbox) -> ProviderTemplate:
    (row,) = await inbox.rows(ProviderTemplate)
    return row


class TestProjectTemplates:
    async def test_a_decision_is_known_at_once(self, inbox: Inbox) -> None:
        await keep(inbox, listed())
        await report(
            inbox,
            STATUS,
            event="REJECTED",
            reason="INVALID_FORMAT",
            message_template_category="UTILITY",
            rejection_info={"reason": "A variable stands at the end.", "recommendation": "Move it."},
        )
        row = await known(inbox)
        assert (row.status, row.category) == ("REJECTED", "UTILITY")
        assert row.reason == "INVALID_FORMAT: A variable stands at the end."
        assert row.components_json == [{"type": "BODY", "text": "{{1}}"}]
        await report(inbox, STATUS, event="APPROVED", reason="NONE")
        row = await known(inbox)
        assert (row.status, row.reason) == ("APPROVED", "")

    async def test_category_and_quality_leave_the_status(self, inbox: Inbox) -> None:
        await keep(inbox, listed("PAUSED", reason="LOW_QUALITY"))
        await report(inbox, CATEGORY, new_category="UTILITY")
        await report(inbox, QUALITY, new_quality_score="RED")
        row = await known(inbox)
        assert (row.status, row.reason) == ("PAUSED", "LOW_QUALITY")
        assert (row.category, row.quality) == ("UTILITY", "RED")

    async def test_the_first_word_of_a_template_is_kept(self, inbox: Inbox) -> None:
        await report(inbox, STATUS, event="PENDING")
        row = await known(inbox)
        assert (row.name, row.language, row.status, row.provider_id) == ("spring_offer", "en_US", "PENDING", "7")
        assert row.components_json is None

    async def test_a_late_report_changes_nothing(self, inbox: Inbox) -> None:
        await report(inbox, STATUS, event="APPROVED")
        await report(inbox, STATUS, event="PENDING", age=3_600)
        assert (await known(inbox)).status == "APPROVED"
        await keep(inbox, listed("PAUSED"))
        await report(inbox, STATUS, event="REJECTED", age=600)
        assert (await known(inbox)).status == "PAUSED"

    async def test_a_report_that_crossed_a_list_stays(self, inbox: Inbox) -> None:
        asked_at = datetime.fromtimestamp(time.time() - 30, UTC)
        await report(inbox, STATUS, event="PAUSED", reason="LOW_QUALITY")
        await keep(inbox, listed(), asked_at=asked_at)
        row = await known(inbox)
        assert (row.status, row.components_json is not None) == ("PAUSED", True)
        await keep(inbox, asked_at=asked_at)  # a list from before it was heard of
        assert (await known(inbox)).status == "PAUSED"

    async def test_a_list_of_one_name_forgets_only_that(self, inbox: Inbox) -> None:
        await keep(inbox, listed(), listed(name="welcome"))
        await keep(inbox, name="welcome")
        assert (await known(inbox)).name == "spring_offer"
        await keep(inbox)
        assert await inbox.rows(ProviderTemplate) == []

    async def test_a_webhook_for_nobody_finds_the_business_account(self, inbox: Inbox) -> None:
        await report(inbox, STATUS, addressed=False, event="APPROVED")
        assert (await known(inbox)).status == "APPROVED"
