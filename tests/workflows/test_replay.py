"""Code of today on histories of yesterday.

The files in tests/histories are kept for good: a workflow that was running when the code changed goes on with them, so
a change that breaks one belongs behind `workflow.patched`. To record the scenarios below anew, which adds what the
code does now, run

    RELAY_RECORD_HISTORIES=1 .venv/bin/python -m pytest tests/workflows/test_replay.py
"""

import os
import re
import socket
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

import worker
from app.domain.status import CampaignStatus, Channel, Purpose
from app.ids import campaign_workflow_id, message_workflow_id, sequence_workflow_id
from tests.world import World

HISTORIES = Path(__file__).parent.parent / "histories"
RECORDED = sorted(HISTORIES.glob("*.json"))


async def replay(history: WorkflowHistory) -> None:
    replayer = Replayer(workflows=worker.WORKFLOWS, data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history)


async def replay_new(relay: World, workflow_id: str, name: str) -> None:
    """Replay what has just happened; keep it when asked to, without the name of this machine."""
    history = await relay.client.get_workflow_handle(workflow_id).fetch_history()
    await replay(history)
    if os.environ.get("RELAY_RECORD_HISTORIES"):
        text = re.sub(rf"@{re.escape(socket.gethostname())}\b", "@worker", history.to_json())
        (HISTORIES / f"{name}.json").write_text(text + "\n")


def started_workflow(path: Path) -> str:
    first = WorkflowHistory.from_json(path.stem, path.read_text()).events[0]
    return first.workflow_execution_started_event_attributes.workflow_type.name


class TestRecorded:
    @pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
    async def test_it_replays(self, path: Path) -> None:
        await replay(WorkflowHistory.from_json(path.stem, path.read_text()))

    def test_every_workflow_has_one(self) -> None:
        started = {started_workflow(path) for path in RECORDED}
        assert started == {"campaign", "sequence", "message", "import"}


class TestNew:
    async def test_a_sequence_with_a_fallback_and_a_follow_up(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        await heard.script(contact, Channel.WHATSAPP, {"do": "fail", "after": 1})
        campaign = await heard.launch(followups=(2, 3))
        assert await heard.sequence_result(campaign, contact) == "exhausted"
        assert [step for step, _, _ in await heard.sent_to(contact)] == [0, 0, 1, 2]
        id = sequence_workflow_id(heard.tenant.id, campaign.id, contact.id)
        await replay_new(heard, id, "sequence_fallback")

    async def test_a_sequence_that_a_reply_stopped(self, heard: World) -> None:
        (contact,) = await heard.add_contacts(1)
        campaign = await heard.launch(followups=(1, 60))
        await heard.until_sent(campaign, contact, 1, Channel.WHATSAPP)
        await heard.write(contact, "Yes")
        assert await heard.sequence_result(campaign, contact) == "replied"
        id = sequence_workflow_id(heard.tenant.id, campaign.id, contact.id)
        await replay_new(heard, id, "sequence_replied")

    async def test_a_campaign_that_was_paused_and_resumed(self, relay: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("activities.campaigns.PAGE", 20)
        await relay.behave(latency_ms=150)
        await relay.add_contacts(200)
        campaign = await relay.launch(followups=(60,))
        await relay.until_accepted(40)
        await relay.steer(campaign, CampaignStatus.PAUSED)
        await relay.until("SELECT count(*) FROM messages WHERE status = 'sending'", (0,))
        await relay.steer(campaign, CampaignStatus.RUNNING)
        assert await relay.ended(campaign) == {"status": "done", "recipients": 200, "armed": 200}
        await replay_new(relay, campaign_workflow_id(relay.tenant.id, campaign.id), "campaign_paused")

    async def test_a_campaign_that_was_cancelled(self, relay: World) -> None:
        await relay.add_contacts(10)
        campaign = await relay.launch(followups=(60,))
        await relay.until_armed(campaign, 10)
        await relay.ended(campaign)
        await relay.steer(campaign, CampaignStatus.CANCELLED)
        await relay.until_closed(campaign)
        await replay_new(relay, campaign_workflow_id(relay.tenant.id, campaign.id), "campaign_cancelled")

    async def test_a_single_message_whose_outcome_was_unknown(self, heard: World) -> None:
        await heard.behave(webhook_delay_ms=[1_000, 1_000])
        await heard.at_any_hour()
        (contact,) = await heard.add_contacts(1)
        await heard.faults({"kind": "reset", "provider": "whatsapp_cloud", "next": 1})
        message = await heard.send(contact, purpose=Purpose.MARKETING)
        assert await heard.outcome(message) == "sent"
        await replay_new(heard, message_workflow_id(heard.tenant.id, message.id), "message_unknown")
