import runpy
from pathlib import Path

from app.db import Sessions
from app.models import Tenant
from tests import importing

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "contacts.csv"


class TestContactsFile:
    def test_generator_writes_the_file_that_is_there(self) -> None:
        before = FILE.read_bytes()
        runpy.run_path(str(EXAMPLES / "make_contacts.py"), run_name="__main__")
        assert FILE.read_bytes() == before

    async def test_import_meets_every_kind_of_row(self, sessions: Sessions, tenant: Tenant) -> None:
        done = await importing.run(sessions, tenant, FILE.read_bytes())
        assert done.rows == 1_000
        assert done.merged == 10
        assert 0 < done.rejected < 10
        assert done.created == 1_000 - done.merged - done.rejected
        noted = [one for one in await importing.verdicts(sessions, tenant, done.id) if one.field]
        assert 20 <= len(noted) <= 40
        countries = await importing.query(
            sessions, tenant, "SELECT count(DISTINCT country), count(*) FILTER (WHERE timezone = '') FROM contacts"
        )
        assert countries[0][0] >= 8
        assert countries[0][1] > 100
        consents = await importing.query(
            sessions,
            tenant,
            "SELECT channel, count(opt_in_at_utc) > 100, count(opt_out_at_utc) > 20 FROM consents "
            "GROUP BY 1 ORDER BY 1",
        )
        assert consents == [("email", True, True), ("sms", True, True), ("whatsapp", True, True)]
