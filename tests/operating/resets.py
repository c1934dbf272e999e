"""What an operator does to workflows in the engine's UI: reset, terminate, start again."""

import asyncio
from collections import Counter

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client

from app.ids import new_id
from tests.world import WAIT_SECONDS, World

Ledger = Counter[tuple[str, str]]


async def runs(client: Client, workflow_id: str) -> list[str]:
    """The ids of every run so far: the one that counts now, and those it was continued from."""
    found = []
    run_id: str | None = (await client.get_workflow_handle(workflow_id).describe()).run_id
    while run_id:
        found.append(run_id)
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        first = await anext(aiter(handle.fetch_history_events()))
        run_id = first.workflow_execution_started_event_attributes.continued_execution_run_id
    return found


async def decided_at(client: Client, workflow_id: str, run_id: str) -> list[int]:
    """Every event at which the workflow had decided something, so every one that it can be reset to."""
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    return [event.event_id for event in history.events if event.event_type == completed]


async def reset(client: Client, workflow_id: str, run_id: str, event_id: int) -> str:
    """A new run that goes on from the event; its id. A run that is open is ended by it."""
    answer = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="tried by a test",
            workflow_task_finish_event_id=event_id,
            request_id=str(new_id()),
        )
    )
    return answer.run_id


async def reset_everywhere(client: Client, workflow_id: str) -> int:
    """Reset every run at every decision, one after the other, each to its end; how many that were."""
    done = 0
    for run_id in await runs(client, workflow_id):
        for event_id in await decided_at(client, workflow_id, run_id):
            again = await reset(client, workflow_id, run_id, event_id)
            handle = client.get_workflow_handle(workflow_id, run_id=again)
            try:
                await asyncio.wait_for(handle.result(), WAIT_SECONDS)
            except TimeoutError:
                details = await handle.describe()
                raise AssertionError(f"{workflow_id}, reset to event {event_id}, does not end: {details}") from None
            done += 1
    return done


async def ledger(relay: World) -> Ledger:
    """What the simulator accepted of this tenant, by recipient and reference."""
    return Counter(await relay.accepted())


async def outcome(relay: World) -> list[tuple[object, ...]]:
    """Every message and where every recipient stands, as far as a reset must not change it."""
    messages = await relay.rows("SELECT id, step, channel, status, attempts FROM messages ORDER BY id")
    people = await relay.rows(
        "SELECT campaign_id, contact_id, state, step, reason, stop_reason, armed_at FROM campaign_recipients "
        "ORDER BY 1, 2"
    )
    return [tuple(row) for row in (*messages, *people)]
