"""A file of contacts into the database."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.imports import ImportActivities
    from app.contracts.contact_import import IMPORT_WORKFLOW, ImportFailed, ImportInput, ImportResult
    from workflows.options import BULK, DATABASE

RUNNING = "running"


@workflow.defn(name=IMPORT_WORKFLOW)
class ImportWorkflow:
    """Imports slice by slice until the file ends. PostgreSQL holds the place in the file, so any slice may be
    repeated."""

    @workflow.run
    async def run(self, input: ImportInput) -> ImportResult:
        workflow.set_current_details("Waiting for a worker.")
        try:
            while True:
                result = await workflow.execute_activity_method(ImportActivities.import_rows, input, **BULK)
                workflow.set_current_details(describe(result))
                if result.status != RUNNING:
                    return result
        except ActivityError as error:
            # cancelled, or beyond repeating: the import must not look as if it still ran
            words = "was cancelled" if is_cancelled_exception(error) else f"stopped: {error.cause}"
            failed = ImportFailed(tenant_id=input.tenant_id, import_id=input.import_id, error=f"The import {words}.")
            result = await workflow.execute_activity_method(ImportActivities.fail_import, failed, **DATABASE)
            workflow.set_current_details(describe(result))
            raise


def describe(result: ImportResult) -> str:
    """Where the import stands, for the engine's UI."""
    read = f"{result.offset / result.size:.0%} of the file read" if result.size else "nothing read"
    return (
        f"**{result.status}**: {read}, {result.rows:,} rows: {result.created:,} created, {result.updated:,} updated, "
        f"{result.merged:,} merged, {result.rejected:,} rejected" + (f"\n\n{result.error}" if result.error else "")
    )
