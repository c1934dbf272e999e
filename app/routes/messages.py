"""Single messages and conversations."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query

from app import ids
from app.contracts.message import MessageInput
from app.domain.status import Channel
from app.repositories import backlog
from app.routes.deps import CreatedIdDep, ResourcesDep, SessionsDep, TenantDep, reached_engine
from app.routes.endpoint import Endpoint
from app.routes.problems import COMMON, CREATING, documented
from app.schemas.base import LARGEST_SIZE
from app.schemas.examples import answer
from app.schemas.messages import (
    CONVERSATION_EXAMPLE,
    DETAIL_EXAMPLE,
    QUEUED_EXAMPLE,
    SEND_EXAMPLES,
    ConversationRead,
    MessageDetail,
    MessageQueued,
    MessageSend,
)
from app.services import messages
from app.services.approvals import MESSAGE_SECONDS

router = APIRouter(prefix="/v1", tags=["Messages"], route_class=Endpoint)


@router.post("/messages/send", status_code=202, responses={**CREATING, **answer(202, QUEUED_EXAMPLE)})
async def send_message(
    wanted: Annotated[MessageSend, Body(examples=SEND_EXAMPLES)],
    tenant: TenantDep,
    id: CreatedIdDep,
    relay: ResourcesDep,
) -> MessageQueued:
    """Send one message. It is stored before this answers and leaves as soon as the gate lets it, also when the workflow
    engine is away right now. Transactional messages skip quiet hours, never suppressions."""
    approvals = None
    if wanted.template_name is not None and Channel.WHATSAPP in {wanted.channel, *wanted.fallback_order}:
        async with relay.sessions.begin(tenant.id) as session:
            schemas = await messages.core_schemas(session, tenant.id, wanted)
        approvals = await relay.approvals.ask(tenant.id, schemas, patience=MESSAGE_SECONDS)
    async with relay.sessions.begin(tenant.id) as session:
        message = await messages.enqueue(session, tenant, wanted, id=id, approvals=approvals)
    input = MessageInput(tenant_id=tenant.id, message_id=message.id)
    if message.workflow_started_at is None and await reached_engine(relay.workflows.start_message(input)):
        async with relay.sessions.begin(tenant.id) as session:
            await backlog.mark_started(session, "messages", message.id)
    return MessageQueued(
        message_id=message.id, status=message.status, workflow_id=ids.message_workflow_id(tenant.id, message.id)
    )


@router.get("/messages/{message_id}", responses={**COMMON, **documented(404), **answer(200, DETAIL_EXAMPLE)})
async def get_message(message_id: UUID, tenant: TenantDep, relay: ResourcesDep) -> MessageDetail:
    """One message: status and times, the provider's error, every verdict of the gate, and what went out instead."""
    async with relay.sessions.begin(tenant.id) as session:
        return await messages.detail(session, tenant.id, message_id, relay.settings)


@router.get("/conversations/{contact_id}", responses={**COMMON, **documented(404), **answer(200, CONVERSATION_EXAMPLE)})
async def get_conversation(
    contact_id: UUID,
    tenant: TenantDep,
    db: SessionsDep,
    limit: Annotated[int, Query(ge=1, le=LARGEST_SIZE, description="How many of the last messages.")] = 50,
) -> ConversationRead:
    """The last messages with a contact on all channels, the newest last."""
    async with db.begin(tenant.id) as session:
        return await messages.conversation(session, tenant.id, contact_id, limit)
