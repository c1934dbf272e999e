from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from app.embedded.datadir import DataDir
from app.embedded.engine import RETENTION, EngineServer
from tests.embedded.places import processes_of


async def retention(client: Client) -> timedelta:
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    kept: Duration = found.config.workflow_execution_retention_ttl
    return kept.ToTimedelta()


class TestEngineServer:
    async def test_a_workflow_goes_on_after_a_restart(self, data: DataDir) -> None:
        tenant = SearchAttributeKey.for_keyword("TenantId")
        with EngineServer(data.root) as engine:
            client = await Client.connect(engine.address, namespace="relay")
            await client.start_workflow(
                "campaign",
                id="camp/kept",
                task_queue="relay",
                search_attributes=TypedSearchAttributes([SearchAttributePair(tenant, "t1")]),
            )
        assert processes_of(data) == []
        with EngineServer(data.root) as engine:
            client = await Client.connect(engine.address, namespace="relay")
            found = await client.get_workflow_handle("camp/kept").describe()
            assert found.status is WorkflowExecutionStatus.RUNNING
            assert found.typed_search_attributes[tenant] == "t1"
            assert await retention(client) == RETENTION

    async def test_the_namespace_keeps_a_month_and_knows_the_search_attributes(self, data: DataDir) -> None:
        with EngineServer(data.root, namespace="elsewhere") as engine:
            client = await Client.connect(engine.address, namespace="elsewhere")
            assert await retention(client) == RETENTION
            known = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace="elsewhere")
            )
            assert {"TenantId", "CampaignId", "ContactId"} <= set(known.custom_attributes)
