import io

import pytest

from app.db import Sessions
from app.domain.contact_file.types import PIECE, Dedupe
from app.errors import InvalidInput, NotFound
from app.ids import new_id
from app.models import ImportStatus, Tenant
from app.repositories import imports as import_rows
from app.services import imports
from tests import factories, importing


class TestReadOptions:
    def test_tenant_gives_the_region_when_nobody_else_does(self, tenant: Tenant) -> None:
        assert imports.read_options({}, tenant).default_region == "PT"

    def test_both_spellings_are_understood(self, tenant: Tenant) -> None:
        assert imports.read_options({"defaultRegion": "br", "dedupe": "email"}, tenant) == imports.ImportOptions(
            default_region="BR", dedupe=Dedupe.EMAIL
        )

    @pytest.mark.parametrize(
        ("given", "pointer"), [({"default_region": "XX"}, "?default_region"), ({"dedupe": "name"}, "?dedupe")]
    )
    def test_unknown_value_is_named(self, given: dict[str, str], pointer: str, tenant: Tenant) -> None:
        with pytest.raises(InvalidInput) as error:
            imports.read_options(given, tenant)
        assert error.value.errors[0].pointer == pointer


class TestStore:
    async def test_file_is_kept_in_pieces_and_given_back_from_any_byte(
        self, sessions: Sessions, tenant: Tenant
    ) -> None:
        data = b"phone\n" + b"x" * (2 * PIECE)
        id = await importing.store(sessions, tenant, data)
        read = b""
        async with sessions.begin(tenant.id) as session:
            while piece := await import_rows.piece_at(session, tenant.id, id, len(read)):
                read += piece
            middle = await import_rows.piece_at(session, tenant.id, id, PIECE + 3)
        assert read == data
        assert middle == data[PIECE + 3 : 2 * PIECE]

    async def test_second_time_under_the_same_id_writes_nothing(self, sessions: Sessions, tenant: Tenant) -> None:
        id = new_id()
        for data in (b"phone\n1\n", b"email\n2\n"):
            upload = imports.look_through(io.BytesIO(data), None)
            async with sessions.begin(tenant.id) as session:
                await imports.store(session, tenant.id, id, upload, imports.ImportOptions())
        async with sessions.begin(tenant.id) as session:
            assert await import_rows.piece_at(session, tenant.id, id, 0) == b"phone\n1\n"

    async def test_import_of_another_tenant_is_not_found(self, sessions: Sessions, tenant: Tenant) -> None:
        id = await importing.store(sessions, tenant, "phone\n")
        async with sessions.system() as session:
            other = await factories.make_tenant(session)
        async with sessions.begin(other.id) as session:
            with pytest.raises(NotFound):
                await imports.get(session, other.id, id)


class TestFinish:
    async def test_file_goes_and_the_verdicts_stay(self, sessions: Sessions, tenant: Tenant) -> None:
        done = await importing.run(sessions, tenant, "phone\n+351912345678\n")
        assert (done.status, done.offset) == (ImportStatus.DONE, done.size_bytes)
        assert await importing.query(sessions, tenant, "SELECT count(*) FROM import_chunks") == [(0,)]
        assert len(await importing.verdicts(sessions, tenant, done.id)) == 1

    async def test_first_end_stays(self, sessions: Sessions, tenant: Tenant) -> None:
        done = await importing.run(sessions, tenant, "phone\n+351912345678\n")
        async with sessions.begin(tenant.id) as session:
            await imports.finish(session, tenant.id, done.id, error="cancelled")
        assert (await importing.read(sessions, tenant, done.id)).status is ImportStatus.DONE


class TestRowSource:
    async def test_file_of_several_pieces_is_read_whole(self, sessions: Sessions, tenant: Tenant) -> None:
        count = 30_000
        data = "phone,note\n" + "".join(f"+3519{10_000_000 + n},{'x' * 40}\n" for n in range(count))
        assert len(data) > PIECE
        id = await importing.store(sessions, tenant, data)
        source = imports.RowSource(sessions, imports.job(await importing.read(sessions, tenant, id)))
        numbers = []
        while batch := await source.take(7_000):
            numbers += [row.number for row in batch]
        assert numbers == list(range(1, count + 1))

    async def test_break_in_the_file_comes_after_the_rows_before_it(self, sessions: Sessions, tenant: Tenant) -> None:
        good = ",".join(f'{{"phone":"+3519{10_000_000 + n}","note":"{"x" * 200}"}}' for n in range(25_000))
        id = await importing.store(sessions, tenant, f"[{good},!")  # beyond what is read before a file is taken
        await importing.work(sessions, tenant, id, batch=10_000)
        ended = await importing.read(sessions, tenant, id)
        assert (ended.status, ended.created) == (ImportStatus.FAILED, 25_000)
        assert "Not valid JSON at byte" in ended.error
