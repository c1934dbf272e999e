import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer, Worker

from activities import imports as import_activities
from activities.imports import ImportActivities
from app import ids
from app.contracts.contact_import import ImportInput, ImportResult
from app.contracts.sequence import CONTACT_STOPPED, SEQUENCE_WORKFLOW
from app.db import Sessions
from app.domain.status import CampaignStatus
from app.models import ImportStatus, Tenant
from app.settings import Settings
from app.temporal import Workflows
from tests import factories, importing
from tests.conftest import MASTER_KEYS
from workflows.contact_import import ImportWorkflow, describe

HISTORY = Path(__file__).parent.parent / "histories" / "contact_import.json"
ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60


def many(count: int) -> str:
    return "phone,first_name\n" + "".join(f"+3519{10_000_000 + n},N{n}\n" for n in range(count))


@asynccontextmanager
async def worker(client: Client, sessions: Sessions) -> AsyncIterator[None]:
    activities = ImportActivities(sessions, Workflows(client))
    async with Worker(
        client,
        task_queue=ids.TASK_QUEUE,
        workflows=[ImportWorkflow],
        activities=[activities.import_rows, activities.fail_import],
        graceful_shutdown_timeout=timedelta(seconds=20),
    ):
        yield


async def begin(client: Client, tenant: Tenant, id: UUID) -> WorkflowHandle[ImportWorkflow, ImportResult]:
    await Workflows(client).start_import(ImportInput(tenant_id=tenant.id, import_id=id))
    return client.get_workflow_handle_for(ImportWorkflow.run, ids.import_workflow_id(tenant.id, id))


async def until_rows(sessions: Sessions, tenant: Tenant, id: UUID) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not (await importing.read(sessions, tenant, id)).rows:
        assert asyncio.get_running_loop().time() < deadline, "no row was imported"
        await asyncio.sleep(0.02)


async def expect_each_once(sessions: Sessions, tenant: Tenant, id: UUID, count: int) -> None:
    done = await importing.read(sessions, tenant, id)
    assert (done.status, done.rows, done.created) == (ImportStatus.DONE, count, count)
    found = await importing.query(
        sessions,
        tenant,
        "SELECT count(*), count(DISTINCT number), max(number), count(DISTINCT contact_id) FROM ("
        "  SELECT first_number + place - 1 AS number, contact_id "
        "  FROM import_verdicts, unnest(contact_ids) WITH ORDINALITY AS r (contact_id, place)"
        ") AS verdicts",
    )
    assert found == [(count, count, count, count)]
    assert await importing.query(sessions, tenant, "SELECT count(*) FROM contacts") == [(count,)]


class TestImportWorkflow:
    async def test_file_becomes_contacts(self, client: Client, sessions: Sessions, tenant: Tenant) -> None:
        id = await importing.store(sessions, tenant, many(5_000) + "12,Bad\n")
        async with worker(client, sessions):
            handle = await begin(client, tenant, id)
            result = await handle.result()
        assert (result.status, result.rows, result.created, result.rejected) == ("done", 5_001, 5_000, 1)

    async def test_started_twice_runs_once(self, client: Client, sessions: Sessions, tenant: Tenant) -> None:
        id = await importing.store(sessions, tenant, many(10))
        async with worker(client, sessions):
            await (await begin(client, tenant, id)).result()
            assert (await (await begin(client, tenant, id)).result()).rows == 10
        await expect_each_once(sessions, tenant, id, 10)

    async def test_long_file_is_told_slice_by_slice(
        self, client: Client, sessions: Sessions, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_activities, "SLICE_SECONDS", 0.0)
        id = await importing.store(sessions, tenant, many(7_000))
        async with worker(client, sessions):
            handle = await begin(client, tenant, id)
            await handle.result()
        slices = [
            event
            async for event in handle.fetch_history_events()
            if event.HasField("activity_task_completed_event_attributes")
        ]
        assert len(slices) > 1
        await expect_each_once(sessions, tenant, id, 7_000)

    async def test_worker_that_drains_hands_the_rest_to_the_next(
        self, client: Client, sessions: Sessions, tenant: Tenant
    ) -> None:
        id = await importing.store(sessions, tenant, many(40_000))
        async with worker(client, sessions):
            handle = await begin(client, tenant, id)
            await until_rows(sessions, tenant, id)
        drained = await importing.read(sessions, tenant, id)
        assert drained.status is ImportStatus.RUNNING
        async with worker(client, sessions):
            await handle.result()
        await expect_each_once(sessions, tenant, id, 40_000)

    async def test_worker_killed_in_the_middle_loses_and_repeats_nothing(
        self,
        client: Client,
        sessions: Sessions,
        tenant: Tenant,
        settings: Settings,
        temporal_address: str,
        tmp_path: Path,
    ) -> None:
        count = 60_000
        id = await importing.store(sessions, tenant, many(count))
        assert settings.database_url is not None
        environment = {
            **os.environ,
            "RELAY_DATABASE_URL": settings.database_url.get_secret_value(),
            "RELAY_TEMPORAL_ADDRESS": temporal_address,
            "RELAY_MASTER_KEYS": MASTER_KEYS,
            "RELAY_DATA_DIR": str(tmp_path),
        }
        with (tmp_path / "worker.log").open("w") as log:
            process = subprocess.Popen([sys.executable, "worker.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                handle = await begin(client, tenant, id)
                await until_rows(sessions, tenant, id)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert (await importing.read(sessions, tenant, id)).status is ImportStatus.RUNNING
        async with worker(client, sessions):
            await handle.result()
        await expect_each_once(sessions, tenant, id, count)

    async def test_break_in_the_file_ends_as_failed_and_keeps_what_came_before(
        self, client: Client, sessions: Sessions, tenant: Tenant
    ) -> None:
        rows = ",".join(f'{{"phone":"+3519{10_000_000 + n}","note":"{"x" * 300}"}}' for n in range(15_000))
        id = await importing.store(sessions, tenant, f"[{rows}")
        async with worker(client, sessions):
            result = await (await begin(client, tenant, id)).result()
        assert (result.status, result.created) == ("failed", 15_000)
        assert "the file ends before its closing ]" in result.error

    async def test_cancelled_import_says_so(
        self, client: Client, sessions: Sessions, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_activities, "BATCH", 20)  # the word comes with a heartbeat, seconds later
        id = await importing.store(sessions, tenant, many(40_000))
        async with worker(client, sessions):
            handle = await begin(client, tenant, id)
            await until_rows(sessions, tenant, id)
            await handle.cancel()
            with pytest.raises(WorkflowFailureError):
                await handle.result()
        ended = await importing.read(sessions, tenant, id)
        assert (ended.status, ended.error) == (ImportStatus.FAILED, "The import was cancelled.")

    async def test_no_in_the_file_signals_the_running_sequence(
        self, client: Client, sessions: Sessions, tenant: Tenant
    ) -> None:
        async with sessions.begin(tenant.id) as session:
            contact = await factories.make_contact(session, tenant.id, phone="+351910000001")
            campaign = await factories.make_campaign(session, tenant.id, status=CampaignStatus.DONE)
            await factories.make_recipient(session, tenant.id, campaign.id, contact.id, armed_at=datetime.now(UTC))
        sequence = await client.start_workflow(
            SEQUENCE_WORKFLOW,
            id=ids.sequence_workflow_id(tenant.id, campaign.id, contact.id),
            task_queue="nobody-works-here",
        )
        id = await importing.store(sessions, tenant, "phone,consent_sms\n+351910000001,no\n")
        async with worker(client, sessions):
            await (await begin(client, tenant, id)).result()
        signals = [
            event.workflow_execution_signaled_event_attributes.signal_name
            async for event in sequence.fetch_history_events()
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]
        await sequence.terminate()
        assert signals == [CONTACT_STOPPED]

    async def test_recorded_history_replays(self) -> None:
        history = WorkflowHistory.from_json("import", HISTORY.read_text())
        await Replayer(workflows=[ImportWorkflow]).replay_workflow(history)


class TestDescribe:
    def test_progress_and_counts_are_readable(self) -> None:
        result = ImportResult(status="running", rows=1_500, created=1_490, rejected=10, offset=50, size=200)
        assert describe(result) == (
            "**running**: 25% of the file read, 1,500 rows: 1,490 created, 0 updated, 0 merged, 10 rejected"
        )

    def test_error_is_told(self) -> None:
        assert describe(ImportResult(status="failed", error="Not valid JSON.")).endswith("Not valid JSON.")
