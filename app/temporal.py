"""The engine's client, and typed helpers that start and signal workflows by name."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from app import ids
from app.contracts.campaign import CAMPAIGN_WORKFLOW, CampaignInput
from app.contracts.contact_import import IMPORT_WORKFLOW, ImportInput
from app.contracts.message import MESSAGE_CHANGED, MESSAGE_WORKFLOW, MessageInput
from app.contracts.sequence import (
    CONTACT_STOPPED,
    DELIVERY_FAILED,
    SEQUENCE_WORKFLOW,
    ContactStopped,
    DeliveryFailed,
    SequenceInput,
)
from app.settings import Settings

TENANT = SearchAttributeKey.for_keyword("TenantId")
CAMPAIGN = SearchAttributeKey.for_keyword("CampaignId")
CONTACT = SearchAttributeKey.for_keyword("ContactId")

TRANSACTIONAL_PRIORITY = 1
CAMPAIGN_PRIORITY = 3
ARMING_PRIORITY = 5


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """Open the engine's client. With `lazy` the first call connects, so that the API starts while the engine is
    away."""
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
        tls=_tls(settings),
        data_converter=pydantic_data_converter,
        lazy=lazy,
    )


def _tls(settings: Settings) -> bool | TLSConfig:
    if not (settings.temporal_tls_cert_file or settings.temporal_tls_ca_file):
        return settings.temporal_api_key is not None  # an API key travels only encrypted
    return TLSConfig(
        server_root_ca_cert=_read(settings.temporal_tls_ca_file),
        client_cert=_read(settings.temporal_tls_cert_file),
        client_private_key=_read(settings.temporal_tls_key_file),
    )


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


@dataclass(frozen=True)
class Workflows:
    """Starts are idempotent: the id is made from what the thing is, and a repeated start finds the first one."""

    client: Client

    async def start_campaign(self, input: CampaignInput) -> None:
        await self._start(
            CAMPAIGN_WORKFLOW,
            input,
            id=ids.campaign_workflow_id(input.tenant_id, input.campaign_id),
            priority=_priority(CAMPAIGN_PRIORITY, input.tenant_id),
            summary="Campaign",
            attributes=_attributes(input.tenant_id, campaign_id=input.campaign_id),
        )

    async def start_import(self, input: ImportInput) -> None:
        await self._start(
            IMPORT_WORKFLOW,
            input,
            id=ids.import_workflow_id(input.tenant_id, input.import_id),
            priority=_priority(CAMPAIGN_PRIORITY, input.tenant_id),
            summary="Contact import",
            attributes=_attributes(input.tenant_id),
        )

    async def start_message(self, input: MessageInput) -> None:
        await self._start(
            MESSAGE_WORKFLOW,
            input,
            id=ids.message_workflow_id(input.tenant_id, input.message_id),
            priority=_priority(TRANSACTIONAL_PRIORITY, input.tenant_id),
            summary="Single message",
            attributes=_attributes(input.tenant_id),
        )

    async def arm_sequence(self, input: SequenceInput, now: datetime) -> None:
        """Start a contact's sequence, asleep until its first follow-up is due."""
        await self._start(
            SEQUENCE_WORKFLOW,
            input,
            id=ids.sequence_workflow_id(input.tenant_id, input.campaign_id, input.contact_id),
            priority=_priority(ARMING_PRIORITY, input.tenant_id),
            summary=f"Follow-ups for contact {input.contact_id}",
            attributes=_attributes(input.tenant_id, campaign_id=input.campaign_id, contact_id=input.contact_id),
            start_delay=max(input.steps[0].due_at - now, timedelta(0)) if input.steps else None,
        )

    async def wake_sequence(self, input: SequenceInput, failed: DeliveryFailed) -> None:
        """Have a sequence try the next channel at once: wakes a delayed one, starts one that isn't there (any more)."""
        await self.client.start_workflow(
            SEQUENCE_WORKFLOW,
            input,
            id=ids.sequence_workflow_id(input.tenant_id, input.campaign_id, input.contact_id),
            task_queue=ids.TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=DELIVERY_FAILED,
            start_signal_args=[failed],
            priority=_priority(CAMPAIGN_PRIORITY, input.tenant_id),
            static_summary=f"Follow-ups for contact {input.contact_id}",
            search_attributes=_attributes(input.tenant_id, campaign_id=input.campaign_id, contact_id=input.contact_id),
        )

    async def stop_sequence(self, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, reason: str) -> None:
        handle = self.client.get_workflow_handle(ids.sequence_workflow_id(tenant_id, campaign_id, contact_id))
        await _signal_if_open(handle, CONTACT_STOPPED, ContactStopped(reason=reason))

    async def end_sequence(self, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, reason: str) -> None:
        """End it at once, even while it is delayed, when a signal would wait."""
        handle = self.client.get_workflow_handle(ids.sequence_workflow_id(tenant_id, campaign_id, contact_id))
        try:
            await handle.terminate(reason=reason)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    async def signal_sequence(self, tenant_id: UUID, campaign_id: UUID, contact_id: UUID, signal: str) -> None:
        handle = self.client.get_workflow_handle(ids.sequence_workflow_id(tenant_id, campaign_id, contact_id))
        await _signal_if_open(handle, signal)

    async def signal_campaign(self, tenant_id: UUID, campaign_id: UUID, signal: str) -> None:
        """Tell a campaign that its state was changed in PostgreSQL. One that had ended runs again to carry it out on
        the sequences it armed."""
        await self.client.start_workflow(
            CAMPAIGN_WORKFLOW,
            CampaignInput(tenant_id=tenant_id, campaign_id=campaign_id),
            id=ids.campaign_workflow_id(tenant_id, campaign_id),
            task_queue=ids.TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
            priority=_priority(CAMPAIGN_PRIORITY, tenant_id),
            static_summary="Campaign",
            search_attributes=_attributes(tenant_id, campaign_id=campaign_id),
        )

    async def wake_message(self, input: MessageInput) -> None:
        """Have a single send look at its message again (resolved, or failed after the provider took it)."""
        await self.client.start_workflow(
            MESSAGE_WORKFLOW,
            input,
            id=ids.message_workflow_id(input.tenant_id, input.message_id),
            task_queue=ids.TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=MESSAGE_CHANGED,
            priority=_priority(TRANSACTIONAL_PRIORITY, input.tenant_id),
            static_summary="Single message",
            search_attributes=_attributes(input.tenant_id),
        )

    async def _start(
        self,
        workflow: str,
        input: object,
        *,
        id: str,
        priority: Priority,
        summary: str,
        attributes: TypedSearchAttributes,
        start_delay: timedelta | None = None,
    ) -> None:
        try:
            await self.client.start_workflow(
                workflow,
                input,
                id=id,
                task_queue=ids.TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                priority=priority,
                static_summary=summary,
                search_attributes=attributes,
                start_delay=start_delay,
            )
        except WorkflowAlreadyStartedError:
            return  # an earlier start of the same thing: that one counts


async def _signal_if_open(handle: WorkflowHandle[Any, Any], signal: str, *args: object) -> None:
    """A workflow that has ended, or never was, needs no signal: PostgreSQL already holds what it would have said."""
    try:
        await handle.signal(signal, args=list(args))
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


def _priority(key: int, tenant_id: UUID) -> Priority:
    return Priority(priority_key=key, fairness_key=str(tenant_id))


def _attributes(
    tenant_id: UUID, *, campaign_id: UUID | None = None, contact_id: UUID | None = None
) -> TypedSearchAttributes:
    pairs = [SearchAttributePair(TENANT, str(tenant_id))]
    if campaign_id:
        pairs.append(SearchAttributePair(CAMPAIGN, str(campaign_id)))
    if contact_id:
        pairs.append(SearchAttributePair(CONTACT, str(contact_id)))
    return TypedSearchAttributes(pairs)
