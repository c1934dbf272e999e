from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlmodel import col
from temporalio.client import Client

from app.db import Sessions
from app.domain.status import Channel, Direction, MessageStatus, MessageType
from app.ids import outbox_id
from app.models import Campaign, CampaignRecipient, CampaignStep, Decision, Message, Tenant
from tests.routes.conftest import CORE_SCHEMA, TWILIO, WHATSAPP, Api, add_sender, make_contact, make_template, pointers

NOBODY = "0199a1b0-0000-7000-8000-000000000001"


@pytest.fixture
async def plan(api: Api) -> dict[str, Any]:
    """A campaign that may be launched."""
    await add_sender(api)
    template = await make_template(api)
    return {"name": "Spring", "primary_channel": "sms", "template_id": template["id"], "variables": {"code": "S10"}}


async def create(api: Api, plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await api.post("/v1/campaigns", json={**plan, **changes})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def put(sessions: Sessions, tenant: Tenant, campaign_id: str, **values: Any) -> None:
    async with sessions.begin(tenant.id) as session:
        await session.execute(update(Campaign).where(col(Campaign.id) == UUID(campaign_id)).values(**values))


class TestCreate:
    async def test_a_draft_waits(self, api: Api, plan: dict[str, Any]) -> None:
        followups = [{"afterDays": 1, "templateId": plan["template_id"]}]
        made = await create(api, plan, followups=followups, segment={"field": "lang", "op": "eq", "value": "pt"})
        assert (made["status"], made["exit_on"], made["quiet_hours"]) == ("draft", ["reply", "conversion"], None)
        assert [(step["position"], step["after_days"]) for step in made["followups"]] == [(1, 1.0)]
        assert made["counts"]["recipients"] == 0
        listed = (await api.get("/v1/campaigns")).json()
        assert [row["id"] for row in listed["items"]] == [made["id"]]
        assert (await api.get("/v1/campaigns?status=running")).json()["total"] == 0

    async def test_quiet_hours_are_the_tenants_own_ones_or_none(self, api: Api, plan: dict[str, Any]) -> None:
        own = {"start": "22:00", "end": "07:30"}
        assert (await create(api, plan, quiet_hours=own))["quiet_hours"] == own
        assert (await create(api, plan, quiet_hours=None))["quiet_hours"] == {}

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"template_id": NOBODY}, ["/template_id"]),
            ({"segment": {"all": [{"field": "shoe", "op": "eq", "value": 1}]}}, ["/segment/all/0/field"]),
            ({"scheduled_at_utc": "2020-01-01T00:00:00Z"}, ["/scheduled_at_utc"]),
            ({"variables": {}}, ["/variables/code"]),
            ({"fallback_order": ["sms"]}, ["/fallback_order/0"]),
            ({"quiet_hours": {"start": "25:00", "end": "08:00"}}, ["/quiet_hours/start"]),
            ({"exit_on": ["never"]}, ["/exit_on/0"]),
            ({"followups": [{"after_days": 0, "template_id": NOBODY}]}, ["/followups/0/after_days"]),
            (
                {"followups": [{"after_days": 3, "template_id": NOBODY}, {"after_days": 1, "template_id": NOBODY}]},
                ["/followups/1/after_days", "/followups/0/template_id", "/followups/1/template_id"],
            ),
            ({"launch": True, "fallback_order": ["email"]}, ["/fallback_order/0"]),
            ({"primaryChannel": "sms"}, ["/primaryChannel"]),
        ],
    )
    async def test_every_mistake_is_named_and_nothing_written(
        self,
        api: Api,
        sessions: Sessions,
        tenant: Tenant,
        plan: dict[str, Any],
        changes: dict[str, Any],
        expected: list[str],
    ) -> None:
        answer = await api.post("/v1/campaigns", json={**plan, **changes})
        assert (answer.status_code, pointers(answer)) == (422, expected)
        async with sessions.begin(tenant.id) as session:
            for table in (Campaign, CampaignStep):
                assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0

    async def test_a_repeat_with_the_same_key_launches_one_campaign(self, api: Api, plan: dict[str, Any]) -> None:
        answers = [
            await api.post("/v1/campaigns", json={**plan, "launch": True}, headers={"Idempotency-Key": "spring"})
            for _ in range(2)
        ]
        assert answers[0].json() == answers[1].json()
        assert (await api.get("/v1/campaigns")).json()["total"] == 1


class TestLaunch:
    async def test_the_workflow_starts_with_a_copy_of_the_templates(
        self, api: Api, sessions: Sessions, tenant: Tenant, client: Client, plan: dict[str, Any]
    ) -> None:
        made = await create(api, plan)
        await make_template(api, core_schema={**CORE_SCHEMA, "blocks": {"body": "Changed {{ code }}"}})
        answer = await api.post(f"/v1/campaigns/{made['id']}/launch")
        assert answer.status_code == 202, answer.text
        launched = answer.json()
        assert (launched["status"], launched["workflow_id"]) == ("pending", f"camp/{tenant.id}/{made['id']}")
        assert (await client.get_workflow_handle(launched["workflow_id"]).describe()).workflow_type == "campaign"
        async with sessions.begin(tenant.id) as session:
            campaign = (await session.execute(select(Campaign))).scalar_one()
            step = (await session.execute(select(CampaignStep))).scalar_one()
        assert campaign.workflow_started_at is not None
        assert campaign.launched_at is not None
        assert (step.template_version, step.core_schema_json["blocks"]["body"]) == (2, "Changed {{ code }}")
        again = await api.post(f"/v1/campaigns/{made['id']}/launch")
        assert (again.status_code, again.json()["launched_at"]) == (202, launched["launched_at"])

    async def test_a_scheduled_one_is_reckoned_from_its_schedule(self, api: Api, plan: dict[str, Any]) -> None:
        later = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
        made = await create(api, plan, scheduled_at_utc=later.isoformat(), launch=True)
        assert datetime.fromisoformat(made["launched_at"]) == later

    async def test_each_channel_without_a_sender_is_named(self, api: Api, plan: dict[str, Any]) -> None:
        followups = [{"after_days": 1, "template_id": plan["template_id"], "channel": "email"}]
        made = await create(api, plan, fallback_order=["whatsapp"], followups=followups)
        answer = await api.post(f"/v1/campaigns/{made['id']}/launch")
        assert (answer.status_code, pointers(answer)) == (422, ["/fallback_order/0", "/followups/0/channel"])
        assert "POST /v1/onboarding/channel-settings" in answer.json()["detail"]
        assert (await api.get(f"/v1/campaigns/{made['id']}")).json()["status"] == "draft"

    async def test_a_cancelled_one_stays_cancelled(self, api: Api, plan: dict[str, Any]) -> None:
        made = await create(api, plan)
        assert (await api.post(f"/v1/campaigns/{made['id']}/cancel")).json()["status"] == "cancelled"
        answer = await api.post(f"/v1/campaigns/{made['id']}/launch")
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")

    async def test_an_unknown_one_is_not_found(self, api: Api) -> None:
        assert (await api.post(f"/v1/campaigns/{NOBODY}/launch")).status_code == 404


class TestSteering:
    @pytest.mark.parametrize(
        ("before", "command", "after"),
        [
            ({"status": "pending"}, "pause", "paused"),
            ({"status": "running"}, "pause", "paused"),
            ({"status": "paused"}, "pause", "paused"),
            ({"status": "draft"}, "pause", None),
            ({"status": "cancelled"}, "pause", None),
            ({"status": "failed"}, "pause", None),
            ({"status": "paused"}, "resume", "running"),
            ({"status": "running"}, "resume", "running"),
            ({"status": "draft"}, "resume", None),
            ({"status": "cancelled"}, "resume", None),
            ({"status": "draft"}, "cancel", "cancelled"),
            ({"status": "running"}, "cancel", "cancelled"),
            ({"status": "paused"}, "cancel", "cancelled"),
            ({"status": "done"}, "cancel", "cancelled"),
            ({"status": "cancelled"}, "cancel", "cancelled"),
            ({"status": "failed"}, "cancel", None),
        ],
    )
    async def test_moves_only_as_allowed(
        self,
        api: Api,
        sessions: Sessions,
        tenant: Tenant,
        plan: dict[str, Any],
        before: dict[str, Any],
        command: str,
        after: str | None,
    ) -> None:
        made = await create(api, plan)
        await put(sessions, tenant, made["id"], launched_at=datetime.now(UTC), **before)
        answer = await api.post(f"/v1/campaigns/{made['id']}/{command}")
        if after is None:
            assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
            assert before["status"] in answer.json()["detail"]
        else:
            assert (answer.status_code, answer.json()["status"]) == (202, after)

    async def test_a_finished_one_is_finished_again_after_pause_and_resume(
        self, api: Api, sessions: Sessions, tenant: Tenant, plan: dict[str, Any]
    ) -> None:
        made = await create(api, plan)
        await put(sessions, tenant, made["id"], status="done", launched_at=datetime.now(UTC))
        assert (await api.post(f"/v1/campaigns/{made['id']}/pause")).json()["status"] == "paused"
        assert (await api.post(f"/v1/campaigns/{made['id']}/resume")).json()["status"] == "done"

    async def test_one_that_waits_for_its_time_waits_again_after_a_resume(self, api: Api, plan: dict[str, Any]) -> None:
        later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        made = await create(api, plan, scheduled_at_utc=later, launch=True)
        assert (await api.post(f"/v1/campaigns/{made['id']}/pause")).json()["status"] == "paused"
        assert (await api.post(f"/v1/campaigns/{made['id']}/resume")).json()["status"] == "pending"


class TestReports:
    @pytest.fixture
    async def campaign(self, api: Api, sessions: Sessions, tenant: Tenant, plan: dict[str, Any]) -> dict[str, Any]:
        """Three recipients: one read it and replied, one failed on WhatsApp and got an SMS, one was skipped."""
        await add_sender(api, WHATSAPP)
        made = await create(api, plan)
        people = [await make_contact(api, email=f"p{n}@example.com", first_name=f"P{n}") for n in range(3)]
        now, campaign_id = datetime.now(UTC), UUID(made["id"])

        def recipient(n: int, **values: Any) -> CampaignRecipient:
            return CampaignRecipient(
                tenant_id=tenant.id, campaign_id=campaign_id, contact_id=UUID(people[n]["id"]), **values
            )

        def message(n: int, channel: Channel, status: MessageStatus, **values: Any) -> Message:
            contact_id = UUID(people[n]["id"])
            return Message(
                id=outbox_id(campaign_id, contact_id, 0, channel),
                tenant_id=tenant.id,
                conversation_id=contact_id,
                contact_id=contact_id,
                campaign_id=campaign_id,
                channel=channel,
                direction=Direction.OUT,
                type=MessageType.TEXT,
                status=status,
                **values,
            )

        async with sessions.begin(tenant.id) as session:
            session.add_all(
                [
                    recipient(0, state="sent", replied_at=now, stop_reason="replied", stopped_at=now, armed_at=now),
                    recipient(1, state="sent", armed_at=now),
                    recipient(2, state="skipped", reason="no_consent"),
                    message(
                        0,
                        Channel.WHATSAPP,
                        MessageStatus.READ,
                        sent_at=now,
                        delivered_at=now,
                        read_at=now,
                        replied_at=now,
                    ),
                    message(1, Channel.WHATSAPP, MessageStatus.FAILED, sent_at=now, failed_at=now, error_code="131026"),
                    message(1, Channel.SMS, MessageStatus.SENT, sent_at=now),
                ]
            )
            for channel in (Channel.WHATSAPP, Channel.SMS):
                session.add(
                    Decision(
                        tenant_id=tenant.id,
                        campaign_id=campaign_id,
                        contact_id=UUID(people[2]["id"]),
                        channel=channel,
                        verdict="skip",
                        reason="no_consent",
                        inputs_json={"purpose": "marketing"},
                    )
                )
        return {**made, "people": people}

    async def test_people_and_messages_are_counted(self, api: Api, campaign: dict[str, Any]) -> None:
        shown = (await api.get(f"/v1/campaigns/{campaign['id']}")).json()
        assert {name: number for name, number in shown["counts"].items() if number} == {
            "recipients": 3,
            "sent": 3,
            "delivered": 1,
            "read": 1,
            "replied": 1,
            "failed": 1,
            "skipped": 1,
            "armed": 2,
            "active": 2,
        }
        assert shown["skipped_by_reason"] == {"no_consent": 1}
        assert (shown["by_channel"]["whatsapp"]["sent"], shown["by_channel"]["sms"]["sent"]) == (2, 1)
        assert shown["by_step"]["0"]["sent"] == 3
        assert (await api.get("/v1/campaigns")).json()["items"][0]["counts"] == shown["counts"]

    async def test_recipients_are_listed_by_state(self, api: Api, campaign: dict[str, Any]) -> None:
        path = f"/v1/campaigns/{campaign['id']}/recipients"
        assert (await api.get(path)).json()["total"] == 3
        skipped = (await api.get(f"{path}?state=skipped")).json()
        assert [(row["first_name"], row["reason"]) for row in skipped["items"]] == [("P2", "no_consent")]
        assert (await api.get(f"/v1/campaigns/{NOBODY}/recipients")).status_code == 404

    async def test_why_tells_every_verdict_and_message(
        self, api: Api, tenant: Tenant, campaign: dict[str, Any]
    ) -> None:
        path = f"/v1/campaigns/{campaign['id']}/recipients"
        skipped = (await api.get(f"{path}/{campaign['people'][2]['id']}/why")).json()
        assert [(one["channel"], one["reason"]) for one in skipped["decisions"]] == [
            ("whatsapp", "no_consent"),
            ("sms", "no_consent"),
        ]
        fell_back = (await api.get(f"{path}/{campaign['people'][1]['id']}/why")).json()
        assert {one["channel"]: one["status"] for one in fell_back["messages"]} == {"whatsapp": "failed", "sms": "sent"}
        assert f"seq%2F{tenant.id}%2F{campaign['id']}" in fell_back["workflow_url"]
        assert (await api.get(f"{path}/{NOBODY}/why")).status_code == 404


class TestFallbackInTime:
    async def test_a_sender_that_reports_nothing_may_only_be_the_last(self, api: Api) -> None:
        smtp = {"host": "mail.example.org", "port": 587, "security": "starttls", "from_email": "a@example.org"}
        await add_sender(api, {"channel": "email", "provider": "smtp", "credentials": smtp})
        await add_sender(api, TWILIO)
        template = await make_template(api)
        wanted = {
            "name": "late",
            "template_id": template["id"],
            "variables": {"code": "X"},
            "fallback_after_minutes": 5,
            "launch": True,
        }
        refused = await api.post(
            "/v1/campaigns", json={**wanted, "primary_channel": "email", "fallback_order": ["sms"]}
        )
        assert (refused.status_code, pointers(refused)) == (422, ["/fallback_after_minutes"])
        assert "smtp" in refused.json()["detail"]
        taken = await api.post("/v1/campaigns", json={**wanted, "primary_channel": "sms", "fallback_order": ["email"]})
        assert taken.status_code == 201, taken.text

    async def test_without_a_fallback_there_is_nothing_to_wait_for(self, api: Api) -> None:
        await add_sender(api, TWILIO)
        template = await make_template(api)
        wanted = {"name": "x", "template_id": template["id"], "primary_channel": "sms", "fallback_after_minutes": 5}
        assert pointers(await api.post("/v1/campaigns", json={**wanted, "variables": {"code": "X"}})) == [
            "/fallback_after_minutes"
        ]
