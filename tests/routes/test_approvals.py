"""Approved WhatsApp templates behind what is launched and sent. The provider is the simulator, or one that does exactly
what a test tells it to."""

import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from app.db import Sessions
from app.domain.status import MessageStatus
from app.models import Role, Tenant
from app.services import api_keys
from app.settings import Settings
from app.simulator.accounts import WHATSAPP
from app.simulator.server import serving
from tests import factories
from tests.channels.scripted import Hang, Reply, ScriptedProvider, Step
from tests.routes.conftest import add_sender, make_contact, pointers
from tests.routes.shop import BLOCKS, CREDENTIALS, ENGLISH, SPRING, Shop, open_shop

BOTH = {**ENGLISH, "i18n": {"pt": {"body": "Olá", "whatsapp": {"language": "pt_PT"}}}}
LISTED = {
    "id": "7",
    "name": "spring_offer",
    "language": "en_US",
    "category": "MARKETING",
    "status": "APPROVED",
    "components": [{"type": "BODY", "text": "{{1}} {{2}}"}],
}
REFUSED = {"error": {"message": "(#200) Permissions error", "type": "OAuthException", "code": 200}}


@pytest.fixture
async def shop(settings: Settings, temporal_address: str, sessions: Sessions, tenant: Tenant) -> AsyncIterator[Shop]:
    """Its provider is the simulator."""
    async with serving() as running, open_shop(settings, temporal_address, sessions, tenant, running.url) as opened:
        yield opened


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider().listening() as listening:
        yield listening


@pytest.fixture
async def scripted(
    settings: Settings, temporal_address: str, sessions: Sessions, tenant: Tenant, provider: ScriptedProvider
) -> AsyncIterator[Shop]:
    """Its provider is `provider`."""
    async with open_shop(settings, temporal_address, sessions, tenant, provider.url) as opened:
        yield opened


class TestRefresh:
    async def test_the_whole_list_is_read_and_templates_show_it(self, shop: Shop) -> None:
        await shop.add_template(BOTH)
        await shop.decide(status="REJECTED", reason="PROMOTIONAL", quality="RED")
        shown = await shop.refresh()
        assert shown["total"] == len(shown["items"]) == shown["settings"][0]["total"] > 60
        assert shown["counts"] == {"APPROVED": shown["total"] - 1, "REJECTED": 1}
        (rejected,) = (item for item in shown["items"] if item["status"] == "REJECTED")
        assert (rejected["name"], rejected["reason"], rejected["quality"]) == ("spring_offer", "PROMOTIONAL", "RED")
        (template,) = (await shop.api.get("/v1/templates")).json()["items"]
        states = [(it["lang"], it["language"], it["status"], it["reason"]) for it in template["approvals"]]
        assert states == [("en", "en_US", "REJECTED", "PROMOTIONAL"), ("pt", "pt_PT", "APPROVED", "")]
        assert template["approvals"][0]["refreshed_at"]
        one = (await shop.api.get(f"/v1/templates/{template['id']}")).json()
        assert one["approvals"] == template["approvals"]

    async def test_what_the_provider_has_no_more_is_gone(self, shop: Shop) -> None:
        await shop.refresh()
        await shop.simulator.post("/sandbox/accounts", json={"provider": WHATSAPP, "templates": [LISTED]})
        assert [item["name"] for item in (await shop.refresh())["items"]] == ["spring_offer"]

    async def test_another_tenant_sees_nothing_of_it(self, shop: Shop, sessions: Sessions) -> None:
        await shop.refresh()
        async with sessions.system() as session:
            stranger = await factories.make_tenant(session)
            key = (await api_keys.create(session, stranger.id, name="test", role=Role.OWNER))[1]
        shop.api.headers["Authorization"] = f"Bearer {key}"
        assert (await shop.refresh()) == {"settings": [], "counts": {}, "items": [], "total": 0}
        await shop.add_template()
        (template,) = (await shop.api.get("/v1/templates")).json()["items"]
        assert template["approvals"][0]["status"] is None

    async def test_a_provider_that_shows_nothing_is_named(self, scripted: Shop, provider: ScriptedProvider) -> None:
        provider.will(Reply(403, REFUSED))
        answer = await scripted.api.post("/v1/templates/refresh")
        assert (answer.status_code, answer.json()["code"]) == (502, "provider_misconfigured")
        assert "Permissions error" in answer.json()["detail"]

    async def test_one_sender_of_several_fails_alone(self, shop: Shop) -> None:
        other = {**CREDENTIALS, "phone_number_id": "3" + str(secrets.randbelow(10**14)), "access_token": "expired"}
        setting = {"channel": "whatsapp", "provider": "whatsapp_cloud", "name": "old", "credentials": other}
        await add_sender(shop.api, setting)
        good, bad = (await shop.refresh())["settings"]
        assert (good["error"], bad["total"], bad["error"]["code"]) == (None, 0, "190")


class TestLaunch:
    async def test_what_was_never_heard_of_is_asked_for(self, shop: Shop) -> None:
        answer = await shop.create(await shop.add_template(BOTH))
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        (template,) = (await shop.api.get("/v1/templates")).json()["items"]
        assert [it["status"] for it in template["approvals"]] == ["APPROVED", "APPROVED"]

    async def test_a_draft_needs_no_approval_until_it_is_launched(self, shop: Shop) -> None:
        await shop.decide(status="REJECTED", reason="PROMOTIONAL")
        draft = (await shop.create(await shop.add_template(), launch=False)).json()
        refused = await shop.api.post(f"/v1/campaigns/{draft['id']}/launch")
        assert (refused.status_code, pointers(refused)) == (422, ["/template_id"])
        assert "'spring_offer' in en_US is REJECTED (PROMOTIONAL)" in refused.json()["detail"]
        assert (await shop.api.get(f"/v1/campaigns/{draft['id']}")).json()["status"] == "draft"
        await shop.decide(status="APPROVED")
        assert (await shop.api.post(f"/v1/campaigns/{draft['id']}/launch")).status_code == 422  # nobody told us
        await shop.refresh()
        assert (await shop.api.post(f"/v1/campaigns/{draft['id']}/launch")).status_code == 202
        await shop.decide(status="PAUSED")
        await shop.refresh()
        assert (await shop.api.post(f"/v1/campaigns/{draft['id']}/launch")).status_code == 202  # it is launched

    async def test_every_language_of_every_step_counts(self, shop: Shop) -> None:
        await shop.decide(language="pt_PT", status="PAUSED", reason="LOW_QUALITY")
        good, bad = await shop.add_template(), await shop.add_template(BOTH, "both")
        answer = await shop.create(good, followups=[{"after_days": 1, "template_id": bad}])
        assert (answer.status_code, pointers(answer)) == (422, ["/followups/0/template_id"])
        assert "in pt_PT is PAUSED (LOW_QUALITY)" in answer.json()["detail"]
        assert (await shop.api.get("/v1/campaigns")).json()["total"] == 0

    async def test_what_the_provider_does_not_have_is_named(self, shop: Shop) -> None:
        answer = await shop.create(await shop.add_template({**BLOCKS, "whatsapp": {**SPRING, "language": "ja"}}))
        assert (answer.status_code, pointers(answer)) == (422, ["/template_id"])
        assert "no WhatsApp template 'spring_offer' in ja (/core_schema/whatsapp)" in answer.json()["detail"]

    async def test_values_that_do_not_fit_are_named(self, shop: Shop) -> None:
        answer = await shop.create(await shop.add_template({**BLOCKS, "whatsapp": {**SPRING, "body": ["one"]}}))
        assert (answer.status_code, pointers(answer)) == (422, ["/template_id"])
        assert "/core_schema/whatsapp/body: the approved body has 2 placeholders" in answer.json()["detail"]

    async def test_one_that_came_back_is_asked_for(self, scripted: Shop, provider: ScriptedProvider) -> None:
        provider.will(Reply(200, {"data": [{**LISTED, "status": "REINSTATED"}]}))
        template = await scripted.add_template()
        refused = await scripted.create(template)
        assert (refused.status_code, pointers(refused)) == (422, ["/template_id"])
        provider.will(Reply(200, {"data": [LISTED]}))
        assert (await scripted.create(template)).status_code == 201

    async def test_a_campaign_without_whatsapp_asks_nobody(self, scripted: Shop, provider: ScriptedProvider) -> None:
        await add_sender(scripted.api)
        answer = await scripted.create(await scripted.add_template(), primary_channel="sms")
        assert (answer.status_code, provider.requests) == (201, [])

    async def test_while_the_provider_is_away_the_last_word_counts(
        self, scripted: Shop, provider: ScriptedProvider
    ) -> None:
        template = await scripted.add_template()
        provider.will(Reply(503))
        answer = await scripted.create(template)
        assert (answer.status_code, answer.json()["code"]) == (503, "approval_unknown")
        assert answer.headers["retry-after"]
        provider.will(Reply(200, {"data": [LISTED]}))
        assert (await scripted.create(template)).status_code == 201
        provider.will(Reply(503))
        asked = len(provider.requests)
        assert (await scripted.create(template)).status_code == 201
        assert len(provider.requests) == asked

    @pytest.mark.parametrize("reply", [Reply(403, REFUSED), Reply(404, b"no"), Reply(200, {})])
    async def test_credentials_that_are_shown_no_templates_hold_nothing_back(
        self, scripted: Shop, provider: ScriptedProvider, reply: Reply
    ) -> None:
        provider.will(reply)
        template = await scripted.add_template()
        assert (await scripted.create(template)).status_code == 201
        assert (await scripted.create(template)).status_code == 201
        assert len(provider.requests) == 1  # and they are not tried again at once


class TestSend:
    async def test_the_language_that_is_sent_has_to_be_approved(self, shop: Shop) -> None:
        await shop.decide(language="pt_PT", status="REJECTED", reason="INVALID_FORMAT")
        await shop.add_template(BOTH)
        refused = await shop.send(lang="pt")
        assert (refused.status_code, pointers(refused)) == (422, ["/template_name"])
        assert "in pt_PT is REJECTED (INVALID_FORMAT)" in refused.json()["detail"]
        assert (await shop.send(lang="en")).status_code == 202
        await make_contact(shop.api, phone="916111222", lang="pt")
        assert (await shop.send(phone="916111222")).status_code == 422

    @pytest.mark.parametrize("step", [Reply(503), Hang()])
    async def test_a_message_is_stored_while_the_provider_is_away(
        self, scripted: Shop, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, step: Step
    ) -> None:
        monkeypatch.setattr("app.routes.messages.MESSAGE_SECONDS", 0.1)
        await scripted.add_template()
        provider.will(step)
        assert (await scripted.send()).status_code == 202


class TestWaiting:
    async def test_a_running_campaign_says_that_its_template_is_lost(self, shop: Shop, sessions: Sessions) -> None:
        template = await shop.add_template()
        made = (await shop.create(template, followups=[{"after_days": 1, "template_id": template}])).json()
        async with sessions.begin(shop.tenant.id) as session:
            contact = await factories.make_contact(session, shop.tenant.id)
            await factories.make_message(
                session,
                shop.tenant.id,
                contact.id,
                campaign_id=UUID(made["id"]),
                status=MessageStatus.FAILED,
                error_code="132015",
                template_name="spring_offer",
                payload_json={"name": "spring_offer", "language": "en_US"},
            )
        assert not await _lost(shop, made["id"])
        await shop.decide(status="PAUSED", reason="LOW_QUALITY")
        await shop.refresh()
        (lost,) = await _lost(shop, made["id"])
        assert lost["count"] == 1
        assert "'spring_offer' in en_US is PAUSED (LOW_QUALITY)" in lost["detail"]
        assert lost["until"] is None
        await shop.api.post(f"/v1/campaigns/{made['id']}/cancel")
        assert not await _lost(shop, made["id"])


async def _lost(shop: Shop, campaign_id: str) -> list[dict[str, Any]]:
    waiting = (await shop.api.get(f"/v1/campaigns/{campaign_id}")).json()["waiting"]
    return [it for it in waiting if it["reason"] == "template_not_approved"]
