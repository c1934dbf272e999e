"""The templates that Meta keeps: how they are listed, and what is reported of them."""

from typing import Any

import httpx
import pytest

from app.channels.base import EventKind
from app.channels.provider_templates import ListsTemplates
from app.channels.whatsapp.cloud import WhatsAppCloud
from app.errors import ProviderMisconfigured, ProviderUnavailable, RateLimited, SendError
from tests.channels.contract import offline
from tests.channels.samples import context, recorded, webhook
from tests.channels.scripted import Reply, ScriptedProvider
from tests.channels.whatsapp.test_cloud import CREDENTIALS, refusal

WELCOME: dict[str, Any] = {
    "id": "700800900",
    "name": "welcome",
    "language": "en_US",
    "category": "MARKETING",
    "status": "APPROVED",
    "components": [{"type": "BODY", "text": "Welcome {{1}}!"}],
    "rejected_reason": "NONE",
    "quality_score": {"score": "GREEN", "date": 1790000000},
}
REJECTED = {"name": "sale", "language": "pt_PT", "status": "REJECTED", "rejected_reason": "PROMOTIONAL"}


def page(*items: Any, after: str = "", more: bool = False) -> Reply:
    paging: dict[str, Any] = {"cursors": {"before": "b", "after": after}}
    return Reply(200, {"data": list(items), "paging": {**paging, "next": "https://next"} if more else paging})


@pytest.fixture
def sender(provider: ScriptedProvider, http: httpx.AsyncClient) -> ListsTemplates:
    return WhatsAppCloud(CREDENTIALS, context(http, provider.url))


class TestListTemplates:
    async def test_every_page_is_read(self, provider: ScriptedProvider, sender: ListsTemplates) -> None:
        provider.will(page(WELCOME, after="MjQZD", more=True), page(REJECTED, "odd", after="last"))
        welcome, sale = await sender.list_templates()
        assert (welcome.name, welcome.language, welcome.status, welcome.reason) == ("welcome", "en_US", "APPROVED", "")
        assert (welcome.provider_id, welcome.category, welcome.quality) == ("700800900", "MARKETING", "GREEN")
        assert welcome.components == WELCOME["components"]
        assert (sale.status, sale.reason, sale.components) == ("REJECTED", "PROMOTIONAL", None)
        first, second = provider.requests
        assert first.method == "GET"
        assert first.target.startswith("/v23.0/200300400500600/message_templates?fields=id,name,")
        assert first.headers["authorization"] == "Bearer EAAB-token"
        assert "after=" not in first.target
        assert "after=MjQZD" in second.target

    async def test_a_full_page_with_a_cursor_is_not_the_last(
        self, provider: ScriptedProvider, sender: ListsTemplates
    ) -> None:
        full = [{**WELCOME, "name": f"welcome_{number}"} for number in range(100)]
        provider.will(page(*full, after="MjQZD"), page(WELCOME, after="last"))
        assert len(await sender.list_templates()) == 101
        assert len(provider.requests) == 2

    async def test_one_name_gives_its_languages_and_no_similar_names(
        self, provider: ScriptedProvider, sender: ListsTemplates
    ) -> None:
        provider.will(page(WELCOME, {**WELCOME, "language": "pt_PT"}, {**WELCOME, "name": "welcome_back"}))
        assert [it.language for it in await sender.list_templates("welcome")] == ["en_US", "pt_PT"]
        assert "name=welcome" in provider.requests[0].target

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (refusal(190, 401), ProviderMisconfigured),
            (refusal(200, 403), ProviderMisconfigured),
            (refusal(80008), RateLimited),
            (refusal(2, 503), ProviderUnavailable),
            (Reply(502, b"<html>"), ProviderUnavailable),
            (Reply(404, b"no such page"), SendError),
            (Reply(200, {"messages": []}), ProviderMisconfigured),
            (Reply(200, b"hello"), ProviderMisconfigured),
        ],
    )
    async def test_what_is_no_list_is_an_error(
        self, provider: ScriptedProvider, sender: ListsTemplates, reply: Reply, error: type[SendError]
    ) -> None:
        provider.will(reply)
        with pytest.raises(error):
            await sender.list_templates()

    async def test_a_list_without_an_end_is_given_up(self, provider: ScriptedProvider, sender: ListsTemplates) -> None:
        provider.will(page(WELCOME, after="again", more=True))
        with pytest.raises(SendError, match="does not end"):
            await sender.list_templates()


class TestReports:
    @pytest.mark.parametrize(
        ("file", "facts"),
        [
            ("template_rejected.json", {"event": "REJECTED", "category": "UTILITY", "reason": "INVALID_FORMAT"}),
            ("template_category.json", {"category": "MARKETING"}),
            ("quality_update.json", {"quality": "YELLOW"}),
        ],
    )
    def test_each_kind_names_the_template_and_what_changed(self, file: str, facts: dict[str, str]) -> None:
        receiver = WhatsAppCloud(CREDENTIALS, context(offline(), "http://127.0.0.1:9"))
        [event] = receiver.parse(webhook(recorded("whatsapp_cloud", file)))
        assert event.kind is EventKind.TEMPLATE_STATUS
        assert (event.data["name"], event.data["language"]) == ("order_update_v2", "en_US")
        assert event.data["business_account"] == receiver.business_account
        changed = ("event", "category", "reason", "quality")
        assert {name: event.data[name] for name in changed if name in event.data} == facts
