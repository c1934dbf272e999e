"""PostgreSQL that dies in the middle of an import: a batch that hadn't reached the disk is imported again."""

from app.contracts.contact_import import ImportInput
from app.ids import import_workflow_id
from app.models import ImportStatus
from app.settings import Settings
from tests import importing
from tests.crash.processes import Stores, product
from workflows.contact_import import ImportWorkflow

ROWS = 60_000
ONCE = """
    SELECT count(*) AS total, count(DISTINCT number), max(number), count(DISTINCT contact_id)
    FROM (SELECT first_number + place - 1 AS number, contact_id
          FROM import_verdicts, unnest(contact_ids) WITH ORDINALITY AS r (contact_id, place)) AS verdicts
"""


class TestStoreIsKilled:
    async def test_every_row_is_there_once(self, settings: Settings, stores: Stores) -> None:
        data = "phone,consent_sms\n" + "".join(f"+3519{10_000_000 + n},yes\n" for n in range(ROWS))
        async with product(settings, stores) as relay:
            world = relay.world
            await relay.start_worker()
            id = await importing.store(world.sessions, world.tenant, data)
            await world.workflows.start_import(ImportInput(tenant_id=world.tenant.id, import_id=id))
            await world.until("SELECT rows > 0 FROM imports", (True,))
            stores.kill_postgres()
            stores.postgres.start()
            place, verdicts = (await world.rows(f"SELECT (SELECT rows FROM imports), total FROM ({ONCE}) AS kept"))[0]
            assert place == verdicts < ROWS
            handle = world.client.get_workflow_handle_for(ImportWorkflow.run, import_workflow_id(world.tenant.id, id))
            await handle.result()
            done = await importing.read(world.sessions, world.tenant, id)
            assert (done.status, done.rows, done.created) == (ImportStatus.DONE, ROWS, ROWS)
            assert await importing.query(world.sessions, world.tenant, ONCE) == [(ROWS,) * 4]
            for table in ("contacts", "consents", "events"):
                assert await importing.query(world.sessions, world.tenant, f"SELECT count(*) FROM {table}") == [(ROWS,)]
